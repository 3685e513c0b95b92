"""What pixels alone tell of a view: contrast, sharpness, and whether it is a copy of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.matching.gallery import View
from visionkit.matching.templates import on_calm_ground

_SIDE = 192
"""Longer side at which edges are measured, in pixels; larger views are reduced to it."""
_THUMBNAIL = 24
_SHAPE = 1.12
"""Copies differ in width to height by less than this factor."""


@dataclass(frozen=True)
class Look:
    """What the pixels of a view say.

    Attributes:
        contrast: difference of the 98th and 2nd percentile of its pixels, 0..255, in the
            colour channel where it is largest.
        blur: width of its sharpest edges in parts of its longer side, 0..1; 1 without edges.
        thumbnail: (24 * 24 * 3,) float32, its colours, centred and normalised; zero if blank.
        shape: width to height.
    """

    contrast: float
    blur: float
    thumbnail: NDArray[np.float32]
    shape: float


def look_of(view: View) -> Look:
    """What the pixels of a view within its box say."""
    x_min, y_min, x_max, y_max = view.box
    rows = slice(int(y_min), max(int(np.ceil(y_max)), int(y_min) + 1))
    columns = slice(int(x_min), max(int(np.ceil(x_max)), int(x_min) + 1))
    crop = np.ascontiguousarray(on_calm_ground(view)[rows, columns])
    low, high = np.percentile(crop.reshape(-1, 3), [2, 98], axis=0)
    contrast = float((high - low).max())
    small = cv2.resize(crop, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    colours = np.asarray(small, np.float32).ravel()
    colours -= colours.mean()
    length = float(np.linalg.norm(colours))
    return Look(
        contrast,
        _edge_width(crop),
        (colours / length if length > 1 else 0 * colours).astype(np.float32),
        (x_max - x_min) / (y_max - y_min),
    )


def copy_pairs(
    views: Sequence[View], looks: Sequence[Look], likeness: float
) -> list[tuple[int, int, float]]:
    """Pairs of views that are copies, each with its later one once, and how alike they are.

    Equal pixels are copies, whatever they show; others if their thumbnails correlate. Pictures
    that were saved again, scaled or lit differently are found, turned ones are not.

    Args:
        views: all views.
        looks: of each view.
        likeness: correlation 0..1 from which two are copies.
    """
    if not views:
        return []
    thumbnails = np.stack([look.thumbnail for look in looks])
    shapes = np.log([look.shape for look in looks])
    pairs = []
    for later in range(1, len(views)):
        alike = thumbnails[:later] @ thumbnails[later]
        alike[np.abs(shapes[:later] - shapes[later]) > np.log(_SHAPE)] = -1
        alike[[view.id == views[later].id for view in views[:later]]] = 1
        found = np.flatnonzero(alike >= likeness)
        # Of five copies each is named with the first only, not with all others.
        pairs += [
            (int(earlier), later, min(1.0, float(alike[earlier])))
            for earlier in _first_of_each_item(found, views)
        ]
    return pairs


def _first_of_each_item(found: NDArray[np.intp], views: Sequence[View]) -> list[int]:
    first: dict[str, int] = {}
    for index in found.tolist():
        first.setdefault(views[index].item, index)
    return list(first.values())


def _edge_width(crop: NDArray[np.uint8]) -> float:
    """Width of the sharpest edges in parts of the longer side.

    An edge that goes from dark to bright within w pixels has a slope of contrast / w.
    """
    scale = min(1.0, _SIDE / max(crop.shape[:2]))
    size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    gray = cv2.cvtColor(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    values = np.asarray(gray, np.float32)
    slopes = [np.abs(np.diff(values, axis=axis)).ravel() for axis in (0, 1)]
    steepest = np.concatenate([*slopes, np.zeros(1, np.float32)])
    slope = float(np.percentile(steepest, 99.5))
    low, high = np.percentile(values, [2, 98])
    if slope <= 0 or high <= low:
        return 1.0
    return min(1.0, float((high - low) / slope / max(size)))
