"""JPEG to pixels: whole or at a half, a quarter or an eighth of its size; damage is an error.

libjpeg goes on after damaged data with a warning that Pillow and OpenCV keep to themselves;
simplejpeg makes it an error. A picture that is needed small is decoded small: the transform of
each 8x8 block then gives fewer pixels, which costs a fraction of the time and has no aliasing.
"""

from __future__ import annotations

import simplejpeg

from visionkit.types import Image

_SHRINKS = (8, 4, 2)


class DamagedJpegError(ValueError):
    """The data of a JPEG are damaged or cut short; the message says which."""


def largest_shrink(scale: float) -> int:
    """1, 2, 4 or 8: by how much a picture may be shrunk that is needed at `scale` of its size.

    >>> largest_shrink(0.3), largest_shrink(0.5), largest_shrink(0.01), largest_shrink(2.0)
    (2, 2, 8, 1)
    """
    return next((shrink for shrink in _SHRINKS if scale * shrink <= 1), 1)


def decode_jpeg(content: bytes, *, shrink: int = 1) -> tuple[Image | None, tuple[str, ...]]:
    """(H, W, 3) uint8 RGB, not yet turned upright, and notes; None where Pillow has to do it.

    Args:
        content: of the file.
        shrink: 1, 2, 4 or 8; sides are divided by it and rounded up.

    Raises:
        DamagedJpegError: the data are damaged or cut short.
    """
    try:
        height, width, color_space, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return None, ()  # a rare subsampling or a damaged header: Pillow tells which
    least = {"min_height": -(-height // shrink), "min_width": -(-width // shrink)}
    notes: tuple[str, ...] = ()
    try:
        rgb: Image = simplejpeg.decode_jpeg(content, **least)
    except ValueError as error:
        if "Premature end" not in str(error):
            raise DamagedJpegError(f"it is damaged ({error})") from error
        rgb = _without_end_marker(content, least)
        notes = ("its end marker is missing; the picture itself is whole",)
    if color_space in ("YCbCr", "Gray"):
        return rgb, notes
    return None, ()  # CMYK, YCCK and RGB: checked here, converted by Pillow


def _without_end_marker(content: bytes, least: dict[str, int]) -> Image:
    try:
        rgb: Image = simplejpeg.decode_jpeg(content + b"\xff\xd9", **least)
    except ValueError as error:
        raise DamagedJpegError(f"it is cut short ({error})") from error
    return rgb
