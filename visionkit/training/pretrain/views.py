"""Pairs of pictures of which is known where each point of one lies in the other.

Two kinds: two views of one photo, and one cutout (a drawn mark, a piece of a photo) laid on
two different photos. The second kind is what finding an item in a scene asks for: the same
thing before another background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.types import Image

Cutout = NDArray[np.uint8]
"""(H, W, 4) uint8 RGB and alpha."""
Matrix = NDArray[np.float64]
"""(3, 3) homography between pixel coordinates (x, y)."""


@dataclass(frozen=True)
class Pair:
    """Two views of the same thing.

    Attributes:
        first, second: (S, S, 3) uint8 RGB.
        matrix: maps pixels of `first` to pixels of `second`.
        shared: (S, S) bool, where in `first` the shared thing is; it may still lie outside
            the frame of `second`.
    """

    first: Image
    second: Image
    matrix: Matrix
    shared: NDArray[np.bool_]


def photo_pair(rng: np.random.Generator, photo: Image, *, size: int) -> Pair:
    """Two views of one photo that differ in place, scale, turn, tilt and light."""
    first = _photo_view(rng, photo, size)
    change = _random_change(rng, size)
    second = change @ first
    inside = _warp(np.full(photo.shape[:2], 255, np.uint8), first, size)
    return Pair(
        first=relight(rng, _warp(photo, first, size)),
        second=relight(rng, _warp(photo, second, size)),
        matrix=change,
        shared=inside > 127,
    )


def cutout_pair(
    rng: np.random.Generator, cutout: Cutout, backgrounds: tuple[Image, Image], *, size: int
) -> Pair:
    """One cutout laid on two photos, at a place, scale, turn, tilt and light of its own in each."""
    height, width = cutout.shape[:2]
    scale = size * rng.uniform(0.35, 0.95) / max(height, width)
    centre = size * rng.uniform(0.35, 0.65, size=2)
    first = (
        _shift(*centre) @ _turn_and_scale(rng.normal(0, 8), scale) @ _shift(-width / 2, -height / 2)
    )
    change = _random_change(rng, size)
    placed = [
        _paste(rng, cutout, matrix, size, photo)
        for matrix, photo in zip((first, change @ first), backgrounds, strict=True)
    ]
    return Pair(
        first=relight(rng, placed[0]),
        second=relight(rng, placed[1]),
        matrix=change,
        shared=_warp(np.ascontiguousarray(cutout[..., 3]), first, size) > 127,
    )


def alone(rng: np.random.Generator, pair: Pair, colour: NDArray[np.uint8]) -> Pair:
    """The pair with its first view cut to a rectangle, as a picture of an item is.

    Where all is shared, the rectangle is any; else it surrounds what is shared. Outside of it
    is `colour`, which stands for the padding of a picture's border.
    """
    size = pair.shared.shape[0]
    if pair.shared.all() or not pair.shared.any():
        sides = size * rng.uniform(0.25, 0.8, size=2)
        left, top = rng.uniform(0, size - sides)
        right, bottom = left + sides[0], top + sides[1]
    else:
        rows = np.flatnonzero(pair.shared.any(axis=1))
        columns = np.flatnonzero(pair.shared.any(axis=0))
        left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    inside = np.zeros((size, size), np.bool_)
    inside[int(top) : int(bottom), int(left) : int(right)] = True
    first = np.where(inside[..., None], pair.first, colour).astype(np.uint8)
    return Pair(first, pair.second, pair.matrix, pair.shared & inside)


def photo_cutout(rng: np.random.Generator, photo: Image, *, size: int = 128) -> Cutout:
    """A piece of a photo in a random outline: rectangle, ellipse or polygon."""
    view = _warp(photo, _photo_view(rng, photo, size), size)
    alpha = np.zeros((size, size), np.uint8)
    kind = rng.integers(3)
    if kind == 0:
        low, high = rng.integers(0, size // 4, 2), rng.integers(3 * size // 4, size, 2)
        alpha[low[1] : high[1], low[0] : high[0]] = 255
    elif kind == 1:
        axes = tuple(int(value) for value in rng.integers(size // 4, size // 2, 2))
        cv2.ellipse(alpha, (size // 2, size // 2), axes, 0, 0, 360, 255, -1)
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 9)))
        radii = size * rng.uniform(0.3, 0.5, len(angles))
        points = size / 2 + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cv2.fillPoly(alpha, [points.astype(np.int32)], 255)
    return np.dstack([view, alpha])


def relight(rng: np.random.Generator, image: Image) -> Image:
    """The picture in another light: gain a channel, contrast, gamma, colour, blur, noise, JPEG."""
    levels = np.linspace(0, 1, 256)
    gain = rng.uniform(0.7, 1.3) * rng.uniform(0.9, 1.1, size=3)
    contrast, gamma = rng.uniform(0.7, 1.3), rng.uniform(0.75, 1.35)
    table = ((levels[:, None] ** gamma - 0.5) * contrast + 0.5) * gain
    image = _bytes(cv2.LUT(image, np.clip(table * 255, 0, 255).astype(np.uint8)[None]))
    if rng.random() < 0.5:
        gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        part = rng.uniform(-0.3, 0.6) if rng.random() < 0.85 else 1.0
        image = _bytes(cv2.addWeighted(image, 1 - part, gray, part, 0))
    if rng.random() < 0.3:
        image = _bytes(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6)))
    if rng.random() < 0.3:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(2, 12)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        quality = int(rng.integers(25, 85))
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = _bytes(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return image


def background_view(rng: np.random.Generator, photo: Image, *, size: int) -> Image:
    """A random view of a photo, (S, S, 3)."""
    return _warp(photo, _photo_view(rng, photo, size), size)


def pick(rng: np.random.Generator, pictures: Sequence[Image]) -> Image:
    """One of the pictures."""
    return pictures[int(rng.integers(len(pictures)))]


def _photo_view(rng: np.random.Generator, photo: Image, size: int) -> Matrix:
    """Homography from a photo to a view that shows a random part of it."""
    height, width = photo.shape[:2]
    side = min(height, width) * float(np.exp(rng.uniform(np.log(0.4), np.log(1.1))))
    margin = min(side, height, width) / 2
    x = rng.uniform(margin, width - margin) if width > 2 * margin else width / 2
    y = rng.uniform(margin, height - margin) if height > 2 * margin else height / 2
    mirror = np.diag([-1.0 if rng.random() < 0.5 else 1.0, 1.0, 1.0])
    turned = _turn_and_scale(rng.normal(0, 5), size / side)
    return _shift(size / 2, size / 2) @ mirror @ turned @ _shift(-x, -y)


def _random_change(rng: np.random.Generator, size: int) -> Matrix:
    """Homography between two views: shift, scale, turn and tilt."""
    scale = float(np.exp(rng.uniform(np.log(0.55), np.log(1.8))))
    half = size / 2
    shift = rng.uniform(-0.18, 0.18, size=2) * size
    turn = _turn_and_scale(rng.normal(0, 12), scale)
    moved = _shift(half + shift[0], half + shift[1]) @ turn @ _shift(-half, -half)
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    tilted = corners + rng.normal(0, 0.05 * size, corners.shape).astype(np.float32)
    return np.asarray(cv2.getPerspectiveTransform(corners, tilted), np.float64) @ moved


def _paste(
    rng: np.random.Generator, cutout: Cutout, matrix: Matrix, size: int, photo: Image
) -> Image:
    under = background_view(rng, photo, size=size)
    over = cv2.warpPerspective(cutout, matrix, (size, size), flags=cv2.INTER_AREA)
    alpha: NDArray[np.floating] = over[..., 3:].astype(np.float32) / 255
    if rng.random() < 0.3:
        blurred = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.5, 2.0))
        alpha = np.asarray(blurred, dtype=np.float32)[..., None]
    return (under * (1 - alpha) + over[..., :3] * alpha).astype(np.uint8)


def _warp(image: NDArray[np.uint8], matrix: Matrix, size: int) -> NDArray[np.uint8]:
    """`image` seen through `matrix`, shrunk first where it gets much smaller."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    while scale < 0.5 and min(image.shape[:2]) > 2:
        image = np.asarray(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        matrix = matrix @ np.diag([2.0, 2.0, 1.0])
        scale *= 2
    border = cv2.BORDER_REFLECT_101 if image.ndim == 3 else cv2.BORDER_CONSTANT
    warped = cv2.warpPerspective(image, matrix, (size, size), borderMode=border)
    return np.asarray(warped, dtype=np.uint8)


def _bytes(image: object) -> NDArray[np.uint8]:
    """What OpenCV gives, as the array of bytes that it is."""
    return np.asarray(image, dtype=np.uint8)


def _shift(x: float, y: float) -> Matrix:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def _turn_and_scale(degrees: float, scale: float) -> Matrix:
    angle = np.deg2rad(degrees)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float64)
