"""Four pictures as one: more objects, smaller, beside strangers, at the price of one picture.

As in Bochkovskiy et al., "YOLOv4", 2020, section 3.3. Only the pixels are put together here; light
and geometry are `visionkit.data.augment`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.framing import GREY
from visionkit.types import BoxArray, Image

_MIDDLE = (0.3, 0.7)  # where the four meet, as a share of the sides
_SCALE = (0.5, 1.0)  # of each picture


@dataclass(frozen=True)
class Mosaic:
    """Four pictures in one frame.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (M, 4) float32 xyxy pixels of the frame.
        picture: (M,) int64, 0..3: which of the pictures given each box is of.
        kept: (M,) int64: which of that picture's boxes it is.
    """

    image: Image
    boxes: BoxArray
    picture: NDArray[np.int64]
    kept: NDArray[np.int64]


def mosaic(
    rng: np.random.Generator,
    pictures: Sequence[tuple[Image, BoxArray]],
    size: tuple[int, int],
    *,
    min_visible: float = 0.3,
) -> Mosaic:
    """Four pictures around a random point, each scaled down at random and cut where it must be.

    Args:
        rng: numbers to draw from; the same state gives the same mosaic.
        pictures: four of (H, W, 3) uint8 RGB with (N, 4) float32 xyxy boxes; N may be 0. They
            lie upper left, upper right, lower left, lower right.
        size: height and width of the frame.
        min_visible: boxes of which less is left are dropped, 0..1.

    Raises:
        ValueError: there are not four pictures.
    """
    if len(pictures) != 4:
        raise ValueError(f"a mosaic must be of four pictures, got {len(pictures)}")
    height, width = size
    canvas = np.full((height, width, 3), GREY, np.uint8)
    row, column = (round(side * rng.uniform(*_MIDDLE)) for side in size)
    parts: list[tuple[BoxArray, NDArray[np.int64]]] = []
    for place, (image, boxes) in enumerate(pictures):
        rows = slice(0, row) if place < 2 else slice(row, height)
        columns = slice(0, column) if place % 2 == 0 else slice(column, width)
        parts.append(_lay(rng, canvas, (rows, columns), image, boxes, min_visible))
    return Mosaic(
        image=canvas,
        boxes=np.concatenate([boxes for boxes, _ in parts]).astype(np.float32),
        picture=np.repeat(np.arange(4), [len(kept) for _, kept in parts]),
        kept=np.concatenate([kept for _, kept in parts]),
    )


def _lay(
    rng: np.random.Generator,
    canvas: Image,
    place: tuple[slice, slice],
    image: Image,
    boxes: BoxArray,
    min_visible: float,
) -> tuple[BoxArray, NDArray[np.int64]]:
    """Lays a random part of the picture in its place; the boxes in the canvas, and which they are.

    What the picture does not fill of its place stays as the canvas is.
    """
    scale = rng.uniform(*_SCALE)
    sides = [max(1, round(side * scale)) for side in image.shape[:2]]
    small = np.asarray(cv2.resize(image, sides[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    room = [part.stop - part.start for part in place]
    shown = [min(side, space) for side, space in zip(sides, room, strict=True)]
    start = [int(rng.integers(side - part + 1)) for side, part in zip(sides, shown, strict=True)]
    target = canvas[place[0], place[1]]
    target[: shown[0], : shown[1]] = small[
        start[0] : start[0] + shown[0], start[1] : start[1] + shown[1]
    ]
    factors = np.array([sides[1] / image.shape[1], sides[0] / image.shape[0]] * 2, np.float32)
    moved = boxes.reshape(-1, 4) * factors - np.array([start[1], start[0]] * 2, np.float32)
    cut = moved.clip(0, np.array([shown[1], shown[0]] * 2, np.float32))
    whole, left = _areas(moved), _areas(cut)
    kept = np.flatnonzero((left > 0) & (left >= min_visible * whole))
    corner = np.array([place[1].start, place[0].start] * 2, np.float32)
    return (cut[kept] + corner).astype(np.float32), kept


def _areas(boxes: BoxArray) -> NDArray[np.float32]:
    sides = (boxes[:, 2:] - boxes[:, :2]).clip(min=0)
    areas: NDArray[np.float32] = sides[:, 0] * sides[:, 1]
    return areas
