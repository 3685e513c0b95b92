"""What a measurement searches for: pieces of photos and marks, seen anew in scenes."""

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
class Search:
    """One piece to be found again.

    Attributes:
        template: (h, w, 3) uint8, the piece as it was shown before.
        scene: (H, W, 3) uint8 in which it lies, seen anew.
        box: xyxy pixels of the scene.
    """

    template: Image
    scene: Image
    box: tuple[float, float, float, float]


def make_searches(
    photos: Sequence[Image], marks: Sequence[Cutout], *, count: int, seed: int
) -> dict[str, list[Search]]:
    """Pieces to find again, `count` of each kind, the same for the same arguments.

    "photo": a piece of one of four photos laid side by side, shown turned, scaled, tilted and
    in another light. "mark": a drawn mark that is laid on one of the four, learned from a
    picture of it on another photo.
    """
    rng = np.random.default_rng(seed)
    return {
        "photo": [_photo_search(rng, photos) for _ in range(count)],
        "mark": [_cutout_search(rng, photos, marks) for _ in range(count)],
    }


def photo_cutout(rng: np.random.Generator, photo: Image, *, size: int = 128) -> Cutout:
    """A piece of a photo in a random outline."""
    view = _warp(photo, _photo_view(rng, photo, size), size)
    return np.dstack([view, random_outline(rng, size=size)])


def random_outline(rng: np.random.Generator, *, size: int) -> NDArray[np.uint8]:
    """(size, size) uint8 alpha of a rectangle, an ellipse or a polygon."""
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
    return alpha


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


def _photo_search(rng: np.random.Generator, photos: Sequence[Image]) -> Search:
    scene, corners = _mosaic(rng, photos)
    x, y = corners[int(rng.integers(4))]
    width, height = rng.integers(40, 97, size=2)
    left, top = (
        x + int(rng.integers(0, 240 - width + 1)),
        y + int(rng.integers(0, 240 - height + 1)),
    )
    scale = float(np.exp(rng.uniform(np.log(0.65), np.log(1.5))))
    shape = (int(width * scale), int(height * scale))
    view = _view_of_box(rng, scene, (left, top, int(width), int(height)), shape)
    return Search(
        template=relight(rng, view),
        scene=relight(rng, scene),
        box=(float(left), float(top), float(left + width), float(top + height)),
    )


def _cutout_search(
    rng: np.random.Generator, photos: Sequence[Image], marks: Sequence[Cutout]
) -> Search:
    scene, corners = _mosaic(rng, photos)
    mark = marks[int(rng.integers(len(marks)))] if marks else photo_cutout(rng, photos[0])
    x, y = corners[int(rng.integers(4))]
    side = int(rng.integers(40, 121))
    left, top = x + int(rng.integers(0, 240 - side + 1)), y + int(rng.integers(0, 240 - side + 1))
    scene = _lay(scene, mark, (left, top, side))
    other, _ = _mosaic(rng, photos)
    other = _lay(other, mark, (48, 48, 144))
    scale = float(np.exp(rng.uniform(np.log(0.65), np.log(1.5))))
    shape = (int(side * scale), int(side * scale))
    view = _view_of_box(rng, other, (48, 48, 144, 144), shape)
    return Search(
        template=relight(rng, view),
        scene=relight(rng, scene),
        box=(float(left), float(top), float(left + side), float(top + side)),
    )


def _view_of_box(
    rng: np.random.Generator,
    image: Image,
    box_xywh: tuple[int, int, int, int],
    size: tuple[int, int],
) -> Image:
    """What lies in a box, turned and tilted a little, as (height, width) of `size` (w, h)."""
    x, y, width, height = box_xywh
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], float)
    middle = corners.mean(axis=0)
    angle = np.deg2rad(rng.normal(0, 12))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    jitter = rng.normal(0, 0.04, corners.shape) * (width, height)
    source = ((corners - middle) @ turn.T + middle + jitter).astype(np.float32)
    target = np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]], np.float32)
    matrix: Matrix = np.asarray(cv2.getPerspectiveTransform(source, target), dtype=np.float64)
    warped = cv2.warpPerspective(image, matrix, size, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(warped, dtype=np.uint8)


def _mosaic(
    rng: np.random.Generator, photos: Sequence[Image]
) -> tuple[Image, list[tuple[int, int]]]:
    """Four photos of 240x240 side by side and their upper left corners (x, y)."""
    scene = np.empty((480, 480, 3), np.uint8)
    corners = [(0, 0), (240, 0), (0, 240), (240, 240)]
    for x, y in corners:
        photo = pick(rng, photos)
        scale = 240 / min(photo.shape[:2])
        enlarged = np.asarray(cv2.resize(photo, None, fx=scale * 1.001, fy=scale * 1.001))
        top = (enlarged.shape[0] - 240) // 2
        left = (enlarged.shape[1] - 240) // 2
        scene[y : y + 240, x : x + 240] = enlarged[top : top + 240, left : left + 240]
    return scene, corners


def _lay(scene: Image, mark: Cutout, place: tuple[int, int, int]) -> Image:
    left, top, side = place
    scaled = np.asarray(cv2.resize(mark, (side, side), interpolation=cv2.INTER_AREA))
    alpha = scaled[..., 3:].astype(np.float32) / 255
    result = scene.copy()
    part = result[top : top + side, left : left + side]
    part[:] = (part * (1 - alpha) + scaled[..., :3] * alpha).astype(np.uint8)
    return result


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
