"""The boxes around what other annotation tools draw: polygons, ellipses and turned boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from visionkit.flywheel.boxes import Box


def around_points(points: Sequence[tuple[float, float]]) -> Box:
    """The box around points (x, y); of none it has no size."""
    xs, ys = zip(*points, strict=True) if points else ((0.0,), (0.0,))
    return min(xs), min(ys), max(xs), max(ys)


def around_ellipse(
    x: float, y: float, radius_x: float, radius_y: float, *, degrees: float = 0.0
) -> Box:
    """The box around an ellipse that is turned about its middle (x, y).

    >>> around_ellipse(50, 40, 30, 10)
    (20.0, 30.0, 80.0, 50.0)
    """
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    right = math.hypot(radius_x * cos, radius_y * sin)
    down = math.hypot(radius_x * sin, radius_y * cos)
    return x - right, y - down, x + right, y + down
