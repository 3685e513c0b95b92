"""A video with what was found drawn into it, its time stamps and its sound as they were."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Set
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from visionkit.data.problems import Problem
from visionkit.files import atomic_path
from visionkit.inference.drawing import draw_prediction
from visionkit.inference.prediction import Prediction
from visionkit.inference.video.frames import Frame, FramePrediction
from visionkit.inference.video.opening import opened
from visionkit.inference.video.reader import Reading, read_frames
from visionkit.inference.video.stamps import GoingOn
from visionkit.types import Image

_OPTIONS = {"preset": "veryfast", "crf": "20"}  # quick, and hardly to be told from the original
_HELD_SECONDS = 1.0
_USUAL_RATE = Fraction(25)  # of streams that do not say theirs; steers only the encoder's rate
_ROUNDING = 1e-4  # seconds, of times
_USUAL_TICK = Fraction(1, 90000)
_HIGH_DEFINITION = 720  # rows from which on players take colours for BT.709


@dataclass(frozen=True)
class Annotated:
    """What was written.

    Attributes:
        path: of the video.
        frames: in it.
        left_out: frames whose time stamp did not come after that of the frame before.
    """

    path: Path
    frames: int
    left_out: int


def annotate(
    video: str | Path,
    predictions: Iterable[FramePrediction],
    path: str | Path,
    *,
    held_seconds: float = _HELD_SECONDS,
    threads: int = 0,
    problems: list[Problem] | None = None,
) -> Annotated:
    """Writes all frames of a video as H.264 with finds and classes drawn as pictures have them.

    Frames stand upright and keep their time stamps, also uneven ones. Sound is copied packet by
    packet. A side of odd length is made even by a pixel of its edge, which the codec asks for.

    Args:
        video: path of the video.
        predictions: of its frames, by index; not of every frame, where only some were looked at.
        path: of the video to write, whole or not at all; ends in `.mp4`. It ends in `.mkv` after
            all where the sound has a codec that MP4 does not take.
        held_seconds: frames that were not looked at show the last prediction for so long.
        threads: of the encoder; 0 lets it choose.
        problems: what could not be read of the video, or copied, is added here.

    Raises:
        FileNotFoundError: there is no such video.
        VideoError: nothing of it can be read.
        RuntimeError: the disk is full.
    """
    problems = [] if problems is None else problems
    with ExitStack() as stack:
        container, stream = stack.enter_context(opened(video))
        target, form, sound = _container(Path(path), container, problems)
        partial = stack.enter_context(atomic_path(target))
        output = stack.enter_context(av.open(str(partial), "w", format=form))
        reading = read_frames(video, Reading(whole=True), problems=problems)
        frames = stack.enter_context(closing(reading))
        writer = _Writer(output, stream, sound, threads)
        for frame, prediction in _paired(frames, predictions, held_seconds):
            writer.write(frame, draw_prediction(frame.image, prediction))
        writer.finish()
    return Annotated(target, writer.frames, writer.left_out)


def _paired(
    frames: Iterable[Frame], predictions: Iterable[FramePrediction], held_seconds: float
) -> Iterator[tuple[Frame, Prediction]]:
    """Each frame with its own prediction, else the last one if it is not too old, else none."""
    left = iter(predictions)
    following = next(left, None)
    last: FramePrediction | None = None
    for frame in frames:
        while following is not None and following.index <= frame.index:
            last, following = following, next(left, None)
        if last is None or frame.time - last.time > held_seconds + _ROUNDING:
            yield frame, Prediction()
        else:
            yield frame, last.prediction


def _container(
    path: Path, container: InputContainer, problems: list[Problem]
) -> tuple[Path, str, _Sound]:
    """The path and format of a container that takes the sound as it is, and that sound."""
    sounds = [
        each
        for each in container.streams.audio
        if each.codec_context is not None  # type: ignore[redundant-expr]  # of unknown codecs
    ]
    mp4, matroska = _known("mp4"), _known("matroska")
    if all(each.codec_context.name in mp4 for each in sounds):
        return path, "mp4", _Sound(container, tuple(sounds))
    kept = [each for each in sounds if each.codec_context.name in matroska]
    for each in sounds:
        if each not in kept:
            reason = f"sound must be of a codec that Matroska takes, got {each.codec_context.name}"
            problems.append(Problem(container.name, None, f"{reason}; not copied"))
    return path.with_suffix(".mkv"), "matroska", _Sound(container, tuple(kept))


def _known(form: str) -> Set[str]:
    """Names of the codecs that a container takes."""
    with av.open(io.BytesIO(), "w", format=form) as container:
        return container.supported_codecs


@dataclass(frozen=True)
class _Sound:
    """Streams of sound that are copied."""

    container: InputContainer
    streams: tuple[AudioStream, ...]

    def packets(self) -> Iterator[tuple[Fraction, Packet[Any]]]:
        """Seconds and packet, as far as they can be read; reading frames says what is lost."""
        if not self.streams:
            return
        going_on = {each.index: GoingOn(float(each.time_base or 1)) for each in self.streams}
        with suppress(FFmpegError):
            for packet in self.container.demux(self.streams):
                going_on[packet.stream.index].see(packet)
                if packet.dts is not None and packet.time_base is not None:
                    yield packet.dts * packet.time_base, packet


class _Writer:
    """Encodes frames, and lays the packets of sound between them as they follow in time."""

    def __init__(
        self, output: OutputContainer, stream: VideoStream, sound: _Sound, threads: int
    ) -> None:
        self.frames = self.left_out = 0
        self._output = output
        self._tick = stream.time_base or _USUAL_TICK
        self._last: int | None = None
        rate = stream.average_rate or _USUAL_RATE
        self._video = output.add_stream("libx264", rate=rate, options=dict(_OPTIONS))
        self._video.codec_context.thread_count = threads
        self._video.codec_context.time_base = self._video.time_base = self._tick
        self._copies = {each.index: output.add_stream_from_template(each) for each in sound.streams}
        self._packets = sound.packets()
        self._waiting = next(self._packets, None)

    def write(self, frame: Frame, drawn: Image) -> None:
        """Encodes the next frame, as it was drawn."""
        stamp = frame.decoded.pts
        stamp = round(frame.time / self._tick) if stamp is None else stamp
        if self._last is not None and stamp <= self._last:
            self.left_out += 1
            return
        if self._last is None:
            self._begin(drawn)
        self._last = stamp
        self._copy_sound(until=stamp * self._tick)
        encoded = self._converted(drawn)
        encoded.pts, encoded.time_base = stamp, self._tick
        self._output.mux(self._video.encode(encoded))
        self.frames += 1

    def finish(self) -> None:
        """Writes what is left of both."""
        self._copy_sound(until=None)
        self._output.mux(self._video.encode())

    def _begin(self, drawn: Image) -> None:
        height, width = drawn.shape[:2]
        context = self._video.codec_context
        context.width, context.height = width + width % 2, height + height % 2
        context.pix_fmt = "yuv420p"
        # Players take colours of high definition for BT.709 whatever they are, so they are that.
        context.colorspace = _matrix(height)
        context.color_range = ColorRange.MPEG

    def _converted(self, drawn: Image) -> VideoFrame:
        """The frame in the codec's form; a frame of another size than the first is scaled."""
        height, width = drawn.shape[:2]
        if height % 2 or width % 2:
            drawn = np.pad(drawn, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        context = self._video.codec_context
        return VideoFrame.from_ndarray(np.ascontiguousarray(drawn), format="rgb24").reformat(
            width=context.width,
            height=context.height,
            format="yuv420p",
            dst_colorspace=_matrix(context.height),
            dst_color_range=ColorRange.MPEG,
        )

    def _copy_sound(self, *, until: Fraction | None) -> None:
        """Copies the packets up to a time in seconds, or all that are left."""
        while self._waiting is not None:
            time, packet = self._waiting
            if until is not None and time > until:
                return
            packet.stream = self._copies[packet.stream.index]
            self._output.mux(packet)
            self._waiting = next(self._packets, None)


def _matrix(height: int) -> Colorspace:
    return Colorspace.ITU709 if height >= _HIGH_DEFINITION else Colorspace.ITU601
