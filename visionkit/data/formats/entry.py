"""What a file of any format states of a picture, before it is checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from visionkit.types import Split

Box = tuple[float, float, float, float]

_LEAST = 0.99
"""Pixels that a box must be wide and high: one, which rounding may have made a little less."""


@dataclass(frozen=True)
class EntryBox:
    """A box as a file states it.

    Attributes:
        label: may still be empty or unfit.
        box: xyxy; pixels, or fractions of width and height if `relative`. Unchecked.
        line: where it is stated.
        relative: whether it is in fractions.
        source: "human" or a model.
        created: ISO 8601 time, or "".
    """

    label: str
    box: Box
    line: int | None = None
    relative: bool = False
    source: str = "human"
    created: str = ""


@dataclass
class Entry:
    """A picture as a file states it.

    Attributes:
        path: the picture, which exists.
        file: the file that states it, and in which `line`.
        boxes: may be empty.
        labels: of the whole picture.
        split: "" where none is stated, or stated to be none.
        states_split: whether the file says of the split also that there is none.
        size: stated width and height, None where none is.
        lost: how many boxes the reader had to leave out already.
    """

    path: Path
    file: Path
    line: int | None = None
    boxes: list[EntryBox] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    split: Split = ""
    states_split: bool = False
    size: tuple[int, int] | None = None
    lost: int = 0


def box_problem(box: Box, size: tuple[int, int]) -> str:
    """Why a box (xyxy, pixels) can't be used in a picture of `size`, in words, or ""."""
    width, height = size
    x_min, y_min, x_max, y_max = box
    if not all(math.isfinite(value) for value in box):
        return f"the box must have finite numbers, got {words(box)}"
    if x_max <= x_min or y_max <= y_min:
        return (
            "the box must have a width and a height above 0, got "
            f"{words(box)} (x_min, y_min, x_max, y_max)"
        )
    if x_max <= 0 or y_max <= 0 or x_min >= width or y_min >= height:
        return f"the box must lie in the {width} x {height} picture, got {words(box)}"
    x_min, y_min, x_max, y_max = clip(box, size)
    if x_max - x_min < _LEAST or y_max - y_min < _LEAST:
        hint = " (are these fractions instead of pixels?)" if max(box) <= 1 else ""
        return f"the box must be at least 1 pixel wide and high, got {words(box)}{hint}"
    return ""


def around(points: Sequence[float]) -> Box:
    """The box xyxy around points that are given as x, y, x, y ...; one at least."""
    xs, ys = points[::2], points[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def numbers(values: object, count: int) -> tuple[float, ...] | None:
    """`values` as floats if it is a list of exactly `count` numbers, else None.

    >>> numbers([1, 2.5], 2), numbers(["1", 2], 2), numbers(None, 2), numbers([True, 2], 2)
    ((1.0, 2.5), None, None, None)
    """
    if not isinstance(values, list | tuple) or len(values) != count:
        return None
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return None
    try:
        return tuple(float(value) for value in values)
    except OverflowError:
        return None


def stated_size(width: object, height: object) -> tuple[int, int] | None:
    """Width and height as a file states them; None where they are no numbers above 0.

    >>> stated_size(640, 480.0), stated_size(0, 0), stated_size("640", None)
    ((640, 480), None, None)
    """
    size = numbers([width, height], 2)
    if size is None or not all(0 < value < math.inf for value in size):
        return None
    return int(size[0]), int(size[1])


def clip(box: Box, size: tuple[int, int]) -> Box:
    """The part of a box (xyxy, pixels) that lies within a picture of `size` (width, height)."""
    width, height = float(size[0]), float(size[1])
    x_min, y_min, x_max, y_max = box
    return max(x_min, 0.0), max(y_min, 0.0), min(x_max, width), min(y_max, height)


def words(box: Box) -> str:
    """A box for a message.

    >>> words((1.0, 2.5, 3.0, 4.0))
    '(1, 2.5, 3, 4)'
    """
    return "(" + ", ".join(f"{value:g}" for value in box) + ")"
