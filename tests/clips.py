"""Small real videos whose every frame says which one it is."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from visionkit.types import Image

_CELLS = 8
_STRIPES = 3


def numbered_image(number: int, height: int = 96, width: int = 128) -> Image:
    """(height, width, 3) uint8: eight bars that say the number in binary, and red at the top.

    The upper third is red, the bars below are white for a one; so pictures that were turned, cut
    or taken for others are told.
    """
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // _STRIPES, :, 0] = 200
    for bit in range(_CELLS):
        left, right = bit * width // _CELLS, (bit + 1) * width // _CELLS
        image[height // _STRIPES :, left:right] = 230 if number >> bit & 1 else 25
    return image


def number_of(image: Image) -> int:
    """The number that a picture of `numbered_image` says, however it was scaled.

    Raises:
        AssertionError: it is not upright, or none of these.
    """
    height, width = image.shape[:2]
    top = image[: height // 6].mean((0, 1))
    assert top[0] > 120, f"red must be at the top, got {top}"
    assert top[2] < 90, f"red must be at the top, got {top}"
    lower = image[height // 2 : -height // 8].mean((0, 2))
    bars = [lower[(2 * bit + 1) * width // (2 * _CELLS)] for bit in range(_CELLS)]
    assert all(bar < 80 or bar > 170 for bar in bars), bars
    return sum(int(bar > 128) << bit for bit, bar in enumerate(bars))


def write_clip(
    path: Path,
    count: int = 30,
    *,
    rate: int = 10,
    times: Sequence[float] | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    key_every: int = 10,
    b_frames: int = 2,
    rotation: int = 0,
    size: tuple[int, int] = (96, 128),
    options: dict[str, str] | None = None,
) -> Path:
    """Writes a video of `count` numbered frames.

    Args:
        path: its ending chooses the container.
        count: frames.
        rate: frames a second.
        times: of each frame in seconds, instead of a rate.
        codec, pixel_format, key_every, b_frames: how it is encoded.
        rotation: degrees, counterclockwise, that a player must turn it by; the frames are stored
            so that they are upright then.
        size: height and width of the upright frames.
        options: of the container.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = size[::-1] if rotation % 180 else size
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = stored
        stream.pix_fmt = pixel_format
        stream.codec_context.gop_size = key_every
        if codec == "libx264":
            bs = {"bf": str(b_frames), "preset": "ultrafast", "crf": "18"}
            stream.codec_context.options = bs | {"x264-params": "scenecut=0"}
        stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(count):
            image = np.rot90(numbered_image(number, *size), -rotation // 90)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            seconds = number / rate if times is None else times[number]
            frame.pts, frame.time_base = round(seconds * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
