"""Frames of a video with their place and time, from anywhere in it.

Index and time of a frame are those of the file, whatever was passed over: the index is counted
by the packets of data (one a frame), also of those that are not decoded, the time is the time
stamp. So the same frame has the same index when all is decoded, when only key frames are, and
when a stopped run goes on in the middle.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from visionkit.data.framing import Framing
from visionkit.data.problems import Problem
from visionkit.inference.video.cuts import Changes
from visionkit.inference.video.frames import Frame
from visionkit.inference.video.gaps import Gap, Gaps
from visionkit.inference.video.loss import Loss, Lost
from visionkit.inference.video.numbering import Numbers
from visionkit.inference.video.opening import (
    VideoError,
    info_of,
    is_matroska_file,
    is_mp4,
    numbered_pictures,
    opened,
    why,
)
from visionkit.inference.video.sampling import (
    EVERY_FRAME,
    KeyFrames,
    Rate,
    Sampling,
    may_skip_unreferenced,
    sampled,
)
from visionkit.inference.video.scaling import Scaler
from visionkit.inference.video.stamps import LATE_SECONDS, GoingOn

_MOST_HELD = 2000
"""Packets that are kept for the case that they are needed, on the way to a start."""
_REFERENCES_KNOWN = frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video"})
"""Codecs whose decoders leave out frames that no other refers to, and only those."""
_MISSING_SECONDS, _MISSING_PART = 2.0, 0.05
"""So much of a video may lack before that is said, where there is no index: sound often goes on a
little longer than the pictures."""
_TICK = 1e-6  # seconds; rounding of times


@dataclass(frozen=True)
class Place:
    """A frame of a video that was reached.

    Attributes:
        index: among its frames, from 0.
        time: seconds from its start.
        lost: what of the video could not be read up to it, by whoever reached it.
    """

    index: int
    time: float
    lost: Lost = field(default_factory=Lost)


@dataclass(frozen=True)
class Reading:
    """What is read of a video, and how.

    Attributes:
        sampling: which frames.
        start, end: seconds from the video's start, from `start` on and before `end`.
        after: a frame that was reached before; reading goes on behind it.
        framings: as which heads want the frames; made while they are read.
        whole: whether frames are also wanted with all their pixels.
        changes: whether it is measured how much each frame differs from the one before it, that
            of `after` included, if that need not be decoded only for this.
        threads: of the decoder; 0 lets it choose.
        timeout: seconds without data after which reading gives up; None waits.

    Raises:
        ValueError: the start does not come before the end.
    """

    sampling: Sampling = EVERY_FRAME
    start: float | None = None
    end: float | None = None
    after: Place | None = None
    framings: frozenset[Framing] = frozenset()
    whole: bool = False
    changes: bool = False
    threads: int = 1
    timeout: float | None = None

    def __post_init__(self) -> None:
        if (self.start or 0.0) < 0 or not (self.start or 0.0) < (
            math.inf if self.end is None else self.end
        ):
            raise ValueError(
                f"start and end must be seconds from 0 up, start before end, got {self.start} "
                f"and {self.end}"
            )


def read_frames(
    source: str | Path, reading: Reading | None = None, *, problems: list[Problem] | None = None
) -> Generator[Frame, None, None]:
    """The frames of a video that are asked for, one after the other.

    What can be read of a damaged video is given, and what is lost is said.

    Args:
        source: path, address, or pattern of numbered pictures (`shots/%04d.png`).
        reading: what is read; all of it by default.
        problems: what was lost is added here, at the latest when the last frame was given; with
            what was lost before the frame that was reached before.

    Raises:
        FileNotFoundError: there is no such file.
        VideoError: nothing of it can be read.
    """
    reading = Reading() if reading is None else reading
    loss = Loss(str(source), [] if problems is None else problems)
    if reading.after is not None:
        loss.lost = reading.after.lost
    scalers: dict[Framing | None, Scaler] = {framing: Scaler() for framing in reading.framings}
    if reading.whole:
        scalers[None] = Scaler()
    try:
        with opened(source, timeout=reading.timeout) as (container, stream):
            if container.format.name.endswith("_pipe"):
                loss.picture()
            decoding = _Decoding(container, stream, reading, loss)
            # Closed here and not by chance: a container must outlive what reads from it.
            with closing(_until(decoding.frames(), reading.end)) as decoded:
                changes = Changes(reading.framings) if reading.changes else None
                before: Frame | None = None
                for frame in sampled(decoded, reading.sampling):
                    if not _is_wanted(frame, reading):
                        before = frame
                        continue
                    frame.prepare(scalers)
                    if changes is not None:
                        if before is not None:
                            changes.see(before.prepare(scalers))
                        frame.change = changes.see(frame)
                    before = None
                    yield frame
            decoding.check()
    finally:
        loss.close()


def _until(frames: Iterator[Frame], end: float | None) -> Generator[Frame, None, None]:
    """The frames before `end` and the next, which says whether the one before it is nearest."""
    for frame in frames:
        yield frame
        if end is not None and frame.time >= end:
            return


def _is_wanted(frame: Frame, reading: Reading) -> bool:
    if reading.after is not None and frame.index <= reading.after.index:
        return False
    if reading.start is not None and frame.time < reading.start - _TICK:
        return False
    return reading.end is None or frame.time < reading.end


class _Decoding:
    """A video being decoded.

    Args:
        container, stream: opened, nothing read.
        reading: what is wanted.
        loss: where losses are counted.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, reading: Reading, loss: Loss
    ) -> None:
        self._container, self._stream, self._reading, self._loss = container, stream, reading, loss
        self._tick = float(stream.time_base or 0) or 1e-6
        self._info = info_of(container, stream)
        self._rate = self._info.frame_rate
        self._origin = stream.start_time
        self._numbers = Numbers()
        self._last_stamp: int | None = None
        usual = round(1 / (self._rate * self._tick)) if self._rate else 1
        self._going_on = GoingOn(self._tick, usual)
        path = loss.source if is_matroska_file(loss.source, container) else None
        self._gaps = Gaps(path, self._tick, usual)
        is_numbered = container.format.name == "image2"
        self._numbered = numbered_pictures(loss.source) if is_numbered else {}
        self._given = False
        self._ended = False
        context = stream.codec_context
        context.thread_type = "AUTO"
        context.thread_count = reading.threads
        if isinstance(reading.sampling, KeyFrames):
            context.skip_frame = "NONKEY"
        elif context.name in _REFERENCES_KNOWN and may_skip_unreferenced(
            reading.sampling, self._rate
        ):
            context.skip_frame = "NONREF"

    def frames(self) -> Iterator[Frame]:
        """All frames from the key frame before the start on that need to be decoded."""
        only_keys = isinstance(self._reading.sampling, KeyFrames)
        for packet in self._packets():
            if only_keys and packet is not None and not packet.is_keyframe:
                continue
            for decoded in self._decode(packet):
                frame = self._frame(decoded)
                if frame is not None:
                    yield frame

    def check(self) -> None:
        """Says what is missing, when all was asked for.

        Raises:
            VideoError: nothing could be decoded.
        """
        if not self._ended:
            return
        self._lose(self._gaps.begun())
        reading, info, found = self._reading, self._info, self._numbers.packets
        if not self._given and not reading.start and reading.after is None:
            raise VideoError(self._loss.source, self._why_nothing())
        if self._loss.is_stopped:
            return
        if self._numbered:
            self._check_numbered()
            return
        if reading.end is not None:
            return
        reached = self._numbers.reached(self._seconds)
        if info.frames is not None and info.frames > found:
            self._loss.short(f"{info.frames} frames", str(found))
        elif info.seconds is not None and not is_mp4(self._container):
            allowed = max(_MISSING_SECONDS, _MISSING_PART * info.seconds)
            if info.seconds - reached > allowed:
                self._loss.short(f"{info.seconds:.1f} s", f"{reached:.1f} s")

    def _check_numbered(self) -> None:
        """Says what is missing of numbered pictures: FFmpeg ends at a gap or an empty one."""
        expected, found = len(self._numbered), self._numbers.packets
        if self._reading.end is not None and self._rate:
            expected = min(expected, math.ceil((self._reading.end - _TICK) * self._rate))
        if found < expected:
            self._loss.short_of_pictures(len(self._numbered), found, self._what_ended())

    def _what_ended(self) -> str:
        """Which of numbered pictures is the first that was not read, and why."""
        number = min(self._numbered) + self._numbers.packets
        picture = self._numbered.get(number)
        if picture is None or not picture.is_file():
            return f"the one of number {number} is missing"
        is_empty = picture.stat().st_size == 0
        return f"{picture.name} {'is empty (0 bytes)' if is_empty else 'was not read'}"

    def _why_nothing(self) -> str:
        if self._numbers.packets:
            return "none of its frames can be decoded"
        return "it has no frames" + (f": {self._what_ended()}" if self._numbered else "")

    def _frame(self, decoded: VideoFrame) -> Frame | None:
        """A decoded frame with its place; None for one that comes late."""
        stamp = decoded.pts if decoded.pts is not None else decoded.dts
        if self._is_late(stamp):
            self._loss.undecoded(self._seconds(stamp or 0))
            return None
        self._last_stamp = stamp
        self._lose(self._gaps.begun(stamp))
        index = self._numbers.number(stamp)
        if stamp is None:
            time = index / self._rate if self._rate else 0.0
        else:
            time = self._seconds(stamp)
        if decoded.is_corrupt:
            self._loss.damaged(time)
        self._given = True
        after = self._reading.after
        if after is not None and index <= after.index:
            self._loss.lost = after.lost  # what is lost on the way there was counted before
        return Frame(index, time, decoded, lost=self._loss.lost)

    def _lose(self, gaps: Iterable[Gap]) -> None:
        """Counts what of gaps lies where reading was to read."""
        for gap in gaps:
            since = max(self._seconds(gap.since), self._reading.start or 0.0)
            until = min(self._seconds(gap.until), self._reading.end or math.inf)
            if since < until:
                self._loss.gap(since, until)

    def _is_late(self, stamp: int | None) -> bool:
        """Whether a frame comes after later ones, or twice: decoders do so behind damage."""
        last = self._last_stamp
        if stamp is None or last is None:
            return False
        return last - LATE_SECONDS / self._tick < stamp <= last

    def _seconds(self, stamp: int) -> float:
        if self._origin is None:
            self._origin = stamp
        return round((stamp - self._origin) * self._tick, 6)

    def _decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """The frames that a packet completes; the last ones for None."""
        try:
            return self._stream.decode(packet)
        except FFmpegError:
            self._loss.undecoded(self._numbers.reached(self._seconds))
            return []

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """From the key frame before what is wanted on; None at the end."""
        target = self._target()
        try:
            if target is None or self._seek(target):
                yield from self._demuxed()
            else:
                yield from _held_back(self._demuxed(), target)
        except FFmpegError as error:
            seconds = self._numbers.reached(self._seconds)
            self._loss.stopped(seconds, *why(error, self._reading.timeout))
        yield None
        self._ended = True

    def _demuxed(self) -> Iterator[Packet[VideoStream]]:
        """Packets in the order of the file, numbered."""
        for packet in self._container.demux(self._stream):
            if packet.size:
                self._going_on.see(packet)
                self._numbers.see(packet)
                self._gaps.see(packet)
                yield packet

    def _target(self) -> int | None:
        """Time stamp from which on frames must be decoded; None for all."""
        reading = self._reading
        if reading.after is not None:
            seconds = reading.after.time
        elif reading.start:
            # Which frame is nearest to the first instant hangs on the one before it, too.
            before = 1.5 / (self._rate or 1.0) if isinstance(reading.sampling, Rate) else 0.0
            seconds = reading.start - before
        else:
            return None
        return math.floor(seconds / self._tick + 0.5) + (self._origin or 0)

    def _seek(self, target: int) -> bool:
        """Whether reading goes on at the key frame before a time stamp, its index known.

        An index that holds all frames tells how many lie before a place. Only that of MP4 and MOV
        gives the time stamps that are met when all is read, in damaged files too.
        """
        entries = self._stream.index_entries
        is_whole = 0 < len(entries) == self._stream.frames
        if not is_whole or not is_mp4(self._container):
            return False
        place = entries.search_timestamp(target)
        while place > 0:
            stamp = entries[place].timestamp
            self._container.seek(stamp, stream=self._stream)
            first = next(iter(self._container.demux(self._stream)), None)
            if first is None or first.dts != stamp:
                break
            if first.pts is not None and first.pts <= target:
                self._container.seek(stamp, stream=self._stream)
                self._numbers.start(place, sum(entry.is_discard for entry in entries[:place]))
                return True
            place = entries.search_timestamp(stamp - 1)  # it is decoded before, but shown after it
        self._container.seek(entries[0].timestamp, stream=self._stream)
        return False


def _held_back(
    packets: Iterable[Packet[VideoStream]], target: int
) -> Iterator[Packet[VideoStream]]:
    """The packets from the last key frame before a time stamp on."""
    held: list[Packet[VideoStream]] = []
    left = iter(packets)
    for packet in left:
        stamp = packet.dts if packet.dts is not None else packet.pts
        if packet.is_keyframe and packet.pts is not None and packet.pts <= target:
            held.clear()
        held.append(packet)
        if (stamp is not None and stamp > target) or len(held) > _MOST_HELD:
            break
    yield from held
    yield from left
