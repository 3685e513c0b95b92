"""Clips to measure on, made of the real ones beside the project."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType
from sets import SHARED

from visionkit.data.framing import Framing, frame
from visionkit.types import Image

REAL = SHARED / "data" / "video" / "car-detection.mp4"
SIZES = {"720p": (720, 1280), "1080p": (1080, 1920)}
"""Name -> height and width."""
SLIDE = 10
"""Frames that a photo is shown for, two pixels further each time."""


def encoded(
    path: Path, size: tuple[int, int], frames: int, *, gop: int = 250, rate: int = 25
) -> Path:
    """The real clip as H.264 of another size, over and over until there are enough frames.

    It is scaled up by cubic curves, so that it has less detail than a camera's would have, and is
    a little quicker to decode.

    Args:
        path: .mp4 that is written.
        size: height and width.
        frames: how many.
        gop: frames from a key frame to the next.
        rate: frames a second.
    """
    return _written(path, itertools.islice(_over_and_over(), frames), size, gop=gop, rate=rate)


def slides(path: Path, size: tuple[int, int], pictures: Sequence[Image], frames: int) -> Path:
    """Photos one after the other as H.264, over each of which the camera goes for `SLIDE` frames.

    Args:
        path: .mp4 that is written.
        size: height and width.
        pictures: (H, W, 3) uint8 RGB; the first again after the last.
        frames: how many.
    """
    return _written(path, itertools.islice(_slides(size, pictures), frames), size)


def _written(
    path: Path, frames: Iterable[av.VideoFrame], size: tuple[int, int], *, gop: int = 250,
    rate: int = 25,
) -> Path:  # fmt: skip
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.options = {
            "preset": "veryfast", "crf": "23", "x264-params": "scenecut=0",
        }  # fmt: skip
        for number, source in enumerate(frames):
            frame = source.reformat(size[1], size[0], "yuv420p", interpolation="BICUBIC")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            frame.pict_type = PictureType.NONE  # or key frames of the real clip stay such
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def repeated(source: Path, path: Path, seconds: float) -> Path:
    """A clip over and over, as long as that, without encoding it again.

    Args:
        source: of which the packets are copied; without frames that look ahead.
        path: .mp4 that is written.
        seconds: how long it lasts.
    """
    with av.open(str(path), "w") as container, av.open(str(source)) as opened:
        original = opened.streams.video[0]
        stream = container.add_stream_from_template(original)
        length = original.duration
        for turn in range(max(1, round(seconds / float(length * original.time_base)))):
            opened.seek(0)
            for packet in opened.demux(original):
                if packet.dts is not None and packet.pts is not None:
                    packet.pts += turn * length
                    packet.dts += turn * length
                    packet.stream = stream
                    container.mux(packet)
    return path


def _over_and_over() -> Iterator[av.VideoFrame]:
    while True:
        with av.open(str(REAL)) as container:
            yield from container.decode(video=0)


def _slides(size: tuple[int, int], pictures: Sequence[Image]) -> Iterator[av.VideoFrame]:
    height, width = size
    whole = Framing((height + 2 * SLIDE, width + 2 * SLIDE), "crop")
    for picture in itertools.cycle(pictures):
        wide, _ = frame(picture, whole)
        for place in range(0, 2 * SLIDE, 2):
            part = wide[place : place + height, place : place + width]
            yield av.VideoFrame.from_ndarray(np.ascontiguousarray(part), format="rgb24")
