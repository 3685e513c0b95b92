"""The parts of a picture that are worth a closer look."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.types import BoxArray

_GROWN = 1.5
"""Times a box's sides: what is looked at reaches beyond it, for boxes are rough."""
_MARGIN = 8
"""Pixels on each side beyond that: the finest features of a small box need some room."""
_GRID = 128
"""Squares along the longer side of a picture by which boxes are joined."""


def parts_around(boxes: BoxArray, size: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Rows and columns of the parts that contain the boxes with some room around each.

    Parts do not overlap: a point that was seen twice would be like no other point.

    Args:
        boxes: (N, 4) float32 xyxy; what lies beyond the picture is cut.
        size: (height, width) of the picture in pixels.
    """
    square = max(max(size) / _GRID, 1.0)
    drawn = np.zeros([math.ceil(side / square) for side in size], np.uint8)
    for box in boxes.astype(np.float64):
        centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * _GROWN + _MARGIN
        left, top = np.floor((centre - half) / square).astype(int).clip(0)
        right, bottom = np.ceil((centre + half) / square).astype(int).clip(0)
        drawn[top:bottom, left:right] = 1
    return [
        (_pixels(rows, square), _pixels(columns, square)) for rows, columns in _rectangles(drawn)
    ]


def _pixels(squares: slice, side: float) -> slice:
    return slice(int(squares.start * side), math.ceil(squares.stop * side))


def _rectangles(drawn: NDArray[np.uint8]) -> list[tuple[slice, slice]]:
    """Rows and columns of rectangles that contain all that is drawn and do not touch."""
    while True:
        _, _, stats, _ = cv2.connectedComponentsWithStats(drawn)
        found = [
            (slice(top, top + height), slice(left, left + width))
            for left, top, width, height, _ in stats[1:].tolist()  # the first is what is left
        ]
        filled = np.zeros_like(drawn)
        for part in found:
            filled[part] = 1
        if (filled == drawn).all():
            return found
        drawn = filled
