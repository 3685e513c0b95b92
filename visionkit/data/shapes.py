"""Outlines that marks are drawn from.

Every function gives a list of closed outlines, each an (n, 2) float array of x, y in a square
from -1 to 1 with y downwards. Where outlines of one list overlap, the overlap is a hole.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float64]
Shape = list[Outline]

TAU = 2 * np.pi
_STEPS = 96


def circle(radius: float = 1.0) -> Shape:
    """A circle about the centre."""
    return [_polar(np.full(_STEPS, radius))]


def ring(outer: float, inner: float) -> Shape:
    """A circle with a round hole."""
    return [*circle(outer), *circle(inner)]


def polygon(corners: int, turn: float = 0.0) -> Shape:
    """A regular polygon with one corner on top, turned by `turn` radians."""
    angles = np.arange(corners) * TAU / corners - TAU / 4 + turn
    return [np.stack([np.cos(angles), np.sin(angles)], 1)]


def star(points: int, depth: float) -> Shape:
    """A star; `depth` is the inner radius, 0..1."""
    radii = np.where(np.arange(2 * points) % 2 == 0, 1.0, depth)
    return [_polar(radii)]


def seal(waves: int, depth: float) -> Shape:
    """A circle with a wavy rim, like a seal of wax or a bottle top."""
    angles = np.arange(6 * waves) * TAU / (6 * waves)
    return [_polar((1 + depth * np.cos(waves * angles)) / (1 + depth))]


def gear(teeth: int, depth: float) -> Shape:
    """A wheel with square teeth and a round hole."""
    pattern = np.array([1.0, 1.0, 1 - depth, 1 - depth])
    return [_polar(np.tile(pattern, teeth), phase=0.5), *circle(0.35)]


def box(width: float, height: float, rounding: float = 0.0) -> Shape:
    """A rectangle of half sizes `width` and `height`; `rounding` is the corners' radius."""
    radius = min(rounding, width, height)
    angles = np.linspace(0, TAU / 4, 8)
    corner = np.stack([np.cos(angles), np.sin(angles)], 1) * radius
    parts = []
    for quarter, (x, y) in enumerate([(1, 1), (-1, 1), (-1, -1), (1, -1)]):
        middle = np.array([x * (width - radius), y * (height - radius)])
        parts.append(turned([corner], quarter * TAU / 4)[0] + middle)
    return [np.concatenate(parts)]


def shield(waist: float) -> Shape:
    """A coat of arms: flat top, sides that meet in a point."""
    t = np.linspace(0, 1, 24)
    right = np.stack([0.85 * (1 - t ** (1.5 + waist)), -0.2 + 1.2 * t], 1)
    top = np.array([[-0.85, -1.0], [0.0, -1.0 + 0.12 * waist], [0.85, -1.0]])
    return [np.concatenate([top, right, right[::-1] * [-1, 1]])]


def leaf(width: float, bend: float = 0.0) -> Shape:
    """A leaf that points up; `bend` curves it to one side."""
    t = np.linspace(-1, 1, 32)
    side = width * (1 - t**2)
    spine = bend * (1 - t**2)
    right = np.stack([spine + side, t], 1)
    left = np.stack([spine - side, t], 1)[::-1]
    return [np.concatenate([right, left])]


def drop() -> Shape:
    """A drop of water, its point upwards."""
    angles = np.linspace(0, TAU, _STEPS, endpoint=False)
    return [np.stack([0.72 * np.sin(angles) * np.sin(angles / 2) ** 1.5, -np.cos(angles)], 1)]


def heart() -> Shape:
    """A heart."""
    t = np.linspace(0, TAU, _STEPS, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [np.stack([np.sin(t) ** 3, -(y + 2.5) / 15], 1)]


def crescent(bite: float) -> Shape:
    """A moon; `bite` 0..1 is how much is taken off."""
    half = TAU / 4 + 0.9 * (1 - bite)
    outer = np.linspace(-half, half, 48) + TAU / 2
    rim = np.stack([np.cos(outer), np.sin(outer)], 1)
    inner = np.linspace(1, -1, 48)
    x = rim[-1, 0] - (1 - inner**2) * (bite * 0.8 - 0.2 + rim[-1, 0] * 0.5)
    return [np.concatenate([rim, np.stack([x, -inner * abs(rim[-1, 1])], 1)])]


def arrow(shaft: float, head: float) -> Shape:
    """An arrow upwards; half widths of its shaft and of its head."""
    points = [(0, -1), (head, -0.1), (shaft, -0.1), (shaft, 1)]
    right = np.array(points, float)
    return [np.concatenate([right, right[:0:-1] * [-1, 1]])]


def chevrons(count: int, slope: float) -> Shape:
    """Stripes bent in the middle, one above the other."""
    pitch = 2 / (count + slope)
    thick = pitch * 0.62
    parts = []
    for index in range(count):
        top = -1 + index * pitch
        tip = [(-1, top + slope * pitch), (0, top), (1, top + slope * pitch)]
        upper = np.array(tip, float)
        parts.append(np.concatenate([upper, *moved([upper[::-1]], 0, thick)]))
    return parts


def bolt() -> Shape:
    """A flash of lightning."""
    points = [(0.25, -1), (-0.6, 0.15), (-0.05, 0.15), (-0.3, 1), (0.65, -0.3), (0.05, -0.3)]
    return [np.array(points, float)]


def swoosh(bend: float, thickness: float) -> Shape:
    """A curved stroke, thick in the middle and pointed at the ends."""
    t = np.linspace(0, 1, 48)
    x, y = 2 * t - 1, bend * (4 * t * (1 - t) - 0.5)
    width = thickness * np.sin(np.pi * t**0.7)
    upper, lower = np.stack([x, y - width], 1), np.stack([x, y + width], 1)
    return [np.concatenate([upper, lower[::-1]])]


def waves(count: int, humps: float) -> Shape:
    """Wavy bands, one above the other."""
    x = np.linspace(-1, 1, 64)
    pitch = 2 / count
    parts = []
    for index in range(count):
        upper = -1 + (index + 0.4) * pitch + 0.25 * pitch * np.sin(humps * np.pi * x)
        band = np.stack([x, upper], 1)
        parts.append(np.concatenate([band, *moved([band[::-1]], 0, 0.45 * pitch)]))
    return parts


def bars(heights: NDArray[np.float64]) -> Shape:
    """Upright bars side by side on one base line; `heights` are 0..1."""
    pitch = 2 / len(heights)
    shape = []
    for index, height in enumerate(heights):
        left, right, top = -1 + index * pitch, -1 + (index + 0.7) * pitch, 1 - 2 * height
        shape.append(np.array([(left, top), (right, top), (right, 1.0), (left, 1.0)]))
    return shape


def crown(points: int) -> Shape:
    """A crown with `points` points."""
    x = np.linspace(-1, 1, 2 * points - 1)
    y = np.where(np.arange(len(x)) % 2 == 0, -0.7 - 0.15 * np.cos(x * np.pi / 2), 0.1)
    return [np.concatenate([np.stack([x, y], 1), [[0.85, 0.75], [-0.85, 0.75]]])]


def mountain(peaks: NDArray[np.float64]) -> Shape:
    """A ridge; `peaks` are heights 0..1."""
    x = np.linspace(-1, 1, 2 * len(peaks) + 1)
    y = np.full(len(x), 0.7)
    y[1::2] = 0.7 - 1.6 * peaks
    y[2:-1:2] = 0.2
    return [np.stack([x, y], 1)]


def spiral(turns: float, thickness: float) -> Shape:
    """A band that winds from the centre outwards."""
    t = np.linspace(0.05, 1, 160)
    angles = turns * TAU * t
    direction = np.stack([np.cos(angles), np.sin(angles)], 1)
    width = np.minimum(thickness, 0.9 * t)[:, None] / 2
    outer, inner = direction * (t[:, None] + width), direction * (t[:, None] - width)
    return [np.concatenate([outer, inner[::-1]]) / (1 + thickness / 2)]


def cross(arm: float) -> Shape:
    """A cross with arms of half width `arm`."""
    a = arm
    quarter = np.array([(a, -1), (a, -a), (1, -a), (1, a), (a, a), (a, 1)], float)
    return [np.concatenate([quarter, -quarter])]


def blob(radii: NDArray[np.float64], mirrored: bool) -> Shape:
    """A smooth closed line through `radii` (0..1), told from the top clockwise."""
    if mirrored:
        radii = np.concatenate([radii, radii[-2:0:-1]])
    count = len(radii)
    spectrum = np.fft.rfft(radii)
    wide = np.zeros(_STEPS // 2 + 1, complex)
    kept = min(len(spectrum), len(wide))
    wide[:kept] = spectrum[:kept]
    if count % 2 == 0 and kept == len(spectrum):
        wide[kept - 1] /= 2  # the Nyquist term is shared by both signs
    smooth = np.fft.irfft(wide, _STEPS) * _STEPS / count
    return [_polar(np.clip(smooth, 0.1, 1.15))]


def arcs(count: int, spread: float) -> Shape:
    """Concentric arcs upwards from a dot, like a sign for sound or radio."""
    shape = moved(circle(0.16), 0, 0.7)
    angles = np.linspace(-spread, spread, 32) - TAU / 4
    direction = np.stack([np.cos(angles), np.sin(angles)], 1)
    pitch = 1.4 / count
    for index in range(count):
        inner = 0.3 + index * pitch
        rim = np.concatenate([direction * (inner + 0.6 * pitch), direction[::-1] * inner])
        shape.extend(moved([rim], 0, 0.7))
    return shape


def repeated(shape: Shape, count: int, *, reach: float, size: float) -> Shape:
    """Copies around the centre, each turned outwards; `reach` is their distance."""
    small = moved(scaled(shape, size), 0, -reach)
    return [part for index in range(count) for part in turned(small, index * TAU / count)]


def scaled(shape: Shape, x: float, y: float | None = None) -> Shape:
    """The shape stretched by `x`, and by `y` downwards where that differs."""
    return [part * [x, x if y is None else y] for part in shape]


def moved(shape: Shape, x: float, y: float) -> Shape:
    """The shape at another place."""
    return [part + np.array([x, y]) for part in shape]


def turned(shape: Shape, radians: float) -> Shape:
    """The shape turned clockwise as seen in a picture."""
    cos, sin = np.cos(radians), np.sin(radians)
    rotation = np.array([[cos, sin], [-sin, cos]])
    return [part @ rotation for part in shape]


def fitted(shape: Shape) -> Shape:
    """The shape moved and shrunk, in proportion, so that it fills the square."""
    points = np.concatenate(shape)
    low, high = points.min(0), points.max(0)
    return [(part - (low + high) / 2) * (2 / float((high - low).max())) for part in shape]


def random_shape(rng: np.random.Generator) -> Shape:
    """One of the shapes above with random proportions."""
    names = list(_RANDOM)
    weights = np.array([_RANDOM[name][0] for name in names], float)
    name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    return _RANDOM[name][1](rng)


def _polar(radii: NDArray[np.float64], phase: float = 0.0) -> Outline:
    angles = (np.arange(len(radii)) + phase) * TAU / len(radii) - TAU / 4
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1)


def _blades(rng: np.random.Generator) -> Shape:
    blades: list[Callable[[], Shape]] = [
        lambda: leaf(rng.uniform(0.2, 0.45), rng.uniform(-0.4, 0.4)),
        drop,
        lambda: polygon(3),
        lambda: box(rng.uniform(0.2, 0.4), 0.8, 0.2),
        lambda: circle(0.7),
        lambda: crescent(rng.uniform(0.4, 0.9)),
    ]
    blade = blades[int(rng.integers(len(blades)))]()
    count = int(rng.integers(3, 9))
    size = float(np.clip(rng.uniform(2.0, 3.2) / count, 0.3, 0.55))
    shape = turned(blade, float(rng.choice([0.0, 0.5])) * rng.uniform(0, 2))
    return repeated(shape, count, reach=1 - size, size=size)


def _blob(rng: np.random.Generator) -> Shape:
    return blob(rng.uniform(0.45, 1.0, int(rng.integers(5, 9))), mirrored=bool(rng.random() < 0.7))


_RANDOM: dict[str, tuple[float, Callable[[np.random.Generator], Shape]]] = {
    "circle": (1.0, lambda rng: circle()),
    "ring": (1.0, lambda rng: ring(1.0, rng.uniform(0.45, 0.8))),
    "polygon": (1.5, lambda rng: polygon(int(rng.integers(3, 9)), rng.choice([0.0, np.pi]))),
    "star": (1.5, lambda rng: star(int(rng.integers(4, 13)), rng.uniform(0.35, 0.75))),
    "gear": (0.5, lambda rng: gear(int(rng.integers(7, 14)), rng.uniform(0.15, 0.3))),
    "shield": (1.0, lambda rng: shield(rng.uniform(0, 1.5))),
    "leaf": (1.0, lambda rng: turned(leaf(rng.uniform(0.3, 0.6), rng.uniform(-0.3, 0.3)), 0.5)),
    "drop": (0.7, lambda rng: drop()),
    "heart": (0.5, lambda rng: heart()),
    "crescent": (0.8, lambda rng: turned(crescent(rng.uniform(0.3, 0.9)), rng.uniform(0, TAU))),
    "arrow": (
        0.8,
        lambda rng: turned(arrow(rng.uniform(0.2, 0.4), rng.uniform(0.6, 1)), rng.uniform(0, 3)),
    ),
    "chevrons": (1.0, lambda rng: chevrons(int(rng.integers(1, 5)), rng.uniform(0.6, 2))),
    "bolt": (0.8, lambda rng: bolt()),
    "swoosh": (
        1.2,
        lambda rng: turned(swoosh(rng.uniform(-1, 1), rng.uniform(0.12, 0.3)), rng.uniform(-1, 1)),
    ),
    "waves": (0.8, lambda rng: waves(int(rng.integers(2, 5)), rng.uniform(1, 3))),
    "bars": (0.8, lambda rng: bars(rng.uniform(0.3, 1, int(rng.integers(3, 6))))),
    "crown": (0.7, lambda rng: crown(int(rng.integers(3, 6)))),
    "mountain": (0.8, lambda rng: mountain(rng.uniform(0.5, 1, int(rng.integers(2, 4))))),
    "spiral": (0.6, lambda rng: spiral(rng.uniform(1.5, 3), rng.uniform(0.15, 0.25))),
    "cross": (0.7, lambda rng: cross(rng.uniform(0.2, 0.45))),
    "arcs": (0.7, lambda rng: arcs(int(rng.integers(2, 4)), rng.uniform(0.6, 1.2))),
    "blades": (3.0, _blades),
    "blob": (2.5, _blob),
}
