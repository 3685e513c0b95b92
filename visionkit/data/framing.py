"""Pictures of any size as a network of one size sees them, and the way back to their pixels.

Every head frames in the same way, in training and afterwards: so heads of equal framing can
share one pass of the backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.images import MAX_PIXELS, WHITE, lay_on, read_picture
from visionkit.types import BoxArray, Image

Fit = Literal["crop", "letterbox", "stretch"]
GREY = 114
"""What lies beside a letterboxed picture; near the mean of photos, so that its rim is faint."""


@dataclass(frozen=True)
class Framing:
    """How a picture is brought to the size that a network takes.

    Attributes:
        size: height and width of the frame in pixels.
        fit: "crop" scales the picture until it covers the frame and cuts out the middle;
            "letterbox" scales it until it fits, with its aspect, and lays it at the upper left;
            "stretch" scales width and height each to those of the frame, so that all is seen.

    Raises:
        ValueError: the size is none, or the fit is another word.
    """

    size: tuple[int, int]
    fit: Fit

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ValueError(f"size of a frame must be height and width from 1 up, got {self.size}")
        if self.fit not in get_args(Fit):
            raise ValueError(f"fit of a frame must be one of {get_args(Fit)}, got {self.fit!r}")

    def scale(self, height: int, width: int) -> float:
        """Pixels of the frame for one of a picture of that size; the larger of both ways."""
        scales = self.size[0] / height, self.size[1] / width
        return min(scales) if self.fit == "letterbox" else max(scales)


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in its frame: frame = scale * picture + shift, in pixels, each way.

    Attributes:
        scale_x, scale_y: pixels of the frame for one of the picture.
        shift_x, shift_y: where in the frame the picture's upper left corner lies; negative where
            something was cut off.
        inner: height and width of the part of the frame, from its upper left, that is picture.
    """

    scale_x: float
    scale_y: float
    shift_x: float
    shift_y: float
    inner: tuple[int, int]

    def into(self, boxes: BoxArray) -> BoxArray:
        """(N, 4) float32 xyxy boxes of the picture as boxes of the frame; not cut at its rim."""
        return np.asarray(boxes * self._scales + self._shifts, np.float32).reshape(-1, 4)

    def back(self, boxes: BoxArray) -> BoxArray:
        """(N, 4) float32 xyxy boxes of the frame as boxes of the picture; not cut at its rim."""
        return np.asarray((boxes - self._shifts) / self._scales, np.float32).reshape(-1, 4)

    @property
    def _scales(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([self.scale_x, self.scale_y] * 2, np.float64)

    @property
    def _shifts(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([self.shift_x, self.shift_y] * 2, np.float64)


def frame(image: Image, framing: Framing) -> tuple[Image, Placement]:
    """The picture in its frame, (height, width, 3) uint8 RGB, and where it lies there.

    Args:
        image: (H, W, 3) uint8 RGB of at least one pixel.
        framing: the frame.
    """
    return _frame(image, framing, shrink=1)


def read_framed(
    path: str | Path, framing: Framing, *, max_pixels: int = MAX_PIXELS
) -> tuple[Image, Placement]:
    """A picture file in its frame, (height, width, 3) uint8 RGB, and where it lies there.

    Read as safely as by `read_image`; a JPEG is decoded no larger than the frame needs. The
    placement is in pixels of the upright picture as it is in the file.

    Args:
        path: a picture file, of any name.
        framing: the frame.
        max_pixels: larger pictures are refused, as they are by `read_image`.

    Raises:
        ImageError: the file is empty, damaged, cut short, too large or no picture.
        FileNotFoundError: there is no such file.
    """
    picture = read_picture(path, max_pixels=max_pixels, scale_for=framing.scale)
    rgb = picture.rgb if picture.alpha is None else lay_on(picture.rgb, picture.alpha, WHITE)
    return _frame(rgb, framing, shrink=picture.shrink)


def lay(height: int, width: int, framing: Framing) -> tuple[tuple[int, int], Placement]:
    """The size that a picture is scaled to as a whole, and where it then lies in its frame.

    For decoders that scale, but don't cut: the parts beyond a "crop" frame are cut off afterwards,
    -shift_y rows above and -shift_x columns on the left.

    Args:
        height: of the picture in pixels, at least 1.
        width: likewise.
        framing: the frame.
    """
    if framing.fit != "crop":
        inner = _within(height, width, framing)
        return inner, Placement(inner[1] / width, inner[0] / height, 0.0, 0.0, inner)
    scale = framing.scale(height, width)
    size = (
        max(round(height * scale), framing.size[0]),
        max(round(width * scale), framing.size[1]),
    )
    top, left = (size[0] - framing.size[0]) // 2, (size[1] - framing.size[1]) // 2
    return size, Placement(size[1] / width, size[0] / height, -left, -top, framing.size)


def resized(image: Image, size: tuple[int, int]) -> Image:
    """(height, width, 3) uint8: smaller by the mean of areas, larger by cubic curves."""
    smaller = min(size[0], image.shape[0]), min(size[1], image.shape[1])
    for step, how in ((smaller, cv2.INTER_AREA), (size, cv2.INTER_CUBIC)):
        if image.shape[:2] != step:
            image = np.asarray(cv2.resize(image, step[::-1], interpolation=how), np.uint8)
    return np.ascontiguousarray(image)


def channels_first(images: Sequence[Image]) -> NDArray[np.uint8]:
    """(B, 3, H, W) uint8: pictures of one size as a batch, colours apart as networks take them.

    Twenty times as fast as transposing, and what follows is faster on it than on a view of
    (B, H, W, 3).

    Args:
        images: B of (H, W, 3) uint8 RGB, at least one.
    """
    height, width = images[0].shape[:2]
    batch: NDArray[np.uint8] = np.empty((len(images), 3, height, width), np.uint8)
    for planes, image in zip(batch, images, strict=True):
        cv2.split(image, [planes[0], planes[1], planes[2]])
    return batch


def _frame(image: Image, framing: Framing, *, shrink: int) -> tuple[Image, Placement]:
    """The frame of a picture that was decoded at `1 / shrink` of its size."""
    height, width = image.shape[:2]
    scale = framing.scale(height, width)
    if framing.fit == "crop":
        rows = _middle(height, framing.size[0] / scale)
        columns = _middle(width, framing.size[1] / scale)
        inner = framing.size
        framed = resized(image[rows, columns], inner)
    else:
        rows, columns = slice(0, height), slice(0, width)
        inner = _within(height, width, framing)
        framed = np.full((*framing.size, 3), GREY, np.uint8)
        framed[: inner[0], : inner[1]] = resized(image, inner)
    scale_y = inner[0] / ((rows.stop - rows.start) * shrink)
    scale_x = inner[1] / ((columns.stop - columns.start) * shrink)
    shift_x, shift_y = -columns.start * shrink * scale_x, -rows.start * shrink * scale_y
    return framed, Placement(scale_x, scale_y, shift_x, shift_y, inner)


def _within(height: int, width: int, framing: Framing) -> tuple[int, int]:
    """Height and width of a picture that is seen whole, at least one pixel each."""
    scale = framing.scale(height, width)
    return (
        min(max(round(height * scale), 1), framing.size[0]),
        min(max(round(width * scale), 1), framing.size[1]),
    )


def _middle(length: int, wanted: float) -> slice:
    """The middle `wanted` of `length` pixels, in whole pixels and at least one."""
    count = min(max(round(wanted), 1), length)
    start = (length - count) // 2
    return slice(start, start + count)
