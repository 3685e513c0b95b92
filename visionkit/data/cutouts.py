"""Cutouts: items taken out of their pictures, and how one looks when it is held before a camera.

Colours are premultiplied by opacity between the functions here, so that what lies under
transparent pixels never shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.types import Image

FloatMap = NDArray[np.float32]

_BEND_MARGIN = 0.08
_FIXED_POINT_STEPS = 4


@dataclass(frozen=True)
class Cutout:
    """One view of one item, cut out of its picture.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        alpha: (H, W) uint8, 255 is opaque; None where the crop is a plain rectangle.
        label: which item it is.
        view: which of the item's views it is.
        mountable: whether it may lie on a sign; pieces of photos do not.

    Raises:
        ValueError: the arrays don't fit together, are smaller than 4 pixels, or nothing is opaque.
    """

    image: Image
    alpha: NDArray[np.uint8] | None
    label: str | int
    view: str = ""
    mountable: bool = True

    def __post_init__(self) -> None:
        shape = self.image.shape
        name = f"cutout {self.label!r} (view {self.view!r})"
        if len(shape) != 3 or shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(
                f"{name} must be a (H, W, 3) uint8 RGB image, got {shape} {self.image.dtype}; "
                "read it with visionkit.data.images.read_rgba"
            )
        if min(shape[:2]) < 4:
            raise ValueError(f"{name} must be at least 4x4 pixels, got {shape[1]}x{shape[0]}")
        if self.alpha is None:
            return
        if self.alpha.shape != shape[:2] or self.alpha.dtype != np.uint8:
            raise ValueError(
                f"alpha of {name} must be uint8 {shape[:2]}, "
                f"got {self.alpha.dtype} {self.alpha.shape}"
            )
        if not (self.alpha > 127).any():
            raise ValueError(f"{name} must be opaque somewhere; its alpha hides it, leave it out")


@dataclass(frozen=True)
class Pose:
    """How an item is held.

    Attributes:
        centre: x, y in pixels of the scene.
        side: root of its area in pixels before it is turned away.
        roll: turn in the picture's plane, radians.
        yaw, pitch: turned away to the side and upwards, radians.
        distance: of the camera, in lengths of the item; small means strong perspective.
        bend: cloth-like waves, as a fraction of the item's length; 0 is flat.
        waves: how many waves along x and y, and their phase, radians.
    """

    centre: tuple[float, float]
    side: float
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    distance: float = 2.5
    bend: float = 0.0
    waves: tuple[float, float, float] = (1.0, 0.5, 0.0)


@dataclass(frozen=True)
class Sheet:
    """A cutout ready to be warped, with what it is mounted on.

    Attributes:
        colour: (H, W, 3) float32, 0..255, premultiplied.
        opacity: (H, W) float32, 0..1, of item and mount.
        item: (H, W) float32, 0..1, of the item alone.
        corners: (4, 2) float32 x, y of the item's picture, clockwise from the top left.
        mounted: whether it lies on a mount.
    """

    colour: FloatMap
    opacity: FloatMap
    item: FloatMap
    corners: FloatMap
    mounted: bool


@dataclass(frozen=True)
class Placed:
    """A warped sheet and where it goes.

    Attributes:
        colour: (h, w, 3) float32, 0..255, premultiplied.
        opacity, item: (h, w) float32, 0..1.
        left, top: where its corner lies in the scene; may be negative.
        quad: (4, 2) float32 corners of the item's picture in the scene.
    """

    colour: FloatMap
    opacity: FloatMap
    item: FloatMap
    left: int
    top: int
    quad: FloatMap


def rgba_cutout(picture: NDArray[np.uint8], label: str | int = "") -> Cutout:
    """A picture with transparency, such as a drawn mark, as a cutout with arrays of its own.

    Args:
        picture: (H, W, 4) uint8 RGBA, colours not premultiplied.
        label: which item it is; distractors need none.

    Raises:
        ValueError: it is no RGBA picture, is smaller than 4 pixels, or nothing is opaque.
    """
    if picture.ndim != 3 or picture.shape[2] != 4:
        raise ValueError(f"cutout {label!r} must be (H, W, 4) RGBA, got {picture.shape}")
    return Cutout(picture[..., :3].copy(), picture[..., 3].copy(), label)


def photo_patch(rng: np.random.Generator, photo: Image, *, label: str | int = "") -> Cutout:
    """A random piece of a photo as a cutout; an ellipse or a blob half the time.

    Args:
        rng: numbers to draw from.
        photo: (H, W, 3) uint8 RGB, at least 8x8 pixels.
        label: of the cutout; distractors need none.
    """
    rows, columns = photo.shape[:2]
    height = int(np.clip(rows * rng.uniform(0.12, 0.5), 4, rows))
    width = int(np.clip(columns * rng.uniform(0.12, 0.5), 4, columns))
    y, x = int(rng.integers(rows - height + 1)), int(rng.integers(columns - width + 1))
    crop = np.ascontiguousarray(photo[y : y + height, x : x + width])
    return Cutout(crop, _patch_alpha(rng, height, width), label, mountable=False)


def sheet(
    cutout: Cutout,
    side: float,
    *,
    mount: tuple[float, FloatMap | tuple[float, float, float]] | None = None,
    ellipse: bool = False,
    feather: float = 0.0,
) -> Sheet:
    """The cutout shrunk to little more than it will be seen at, on its mount if it has one.

    Args:
        cutout: the item.
        side: root of the area it will be seen at, in pixels.
        mount: margin around the item as a fraction of its longer side, and RGB 0..255 of what it
            lies on (one colour, or a picture that is stretched to fit); None lays it on nothing.
        ellipse: shows a crop without alpha through an ellipse, without its corners.
        feather: width of a soft border inside crops without alpha, fraction of the shorter side.
    """
    image, alpha = _shrunk(cutout, side)
    if cutout.alpha is None:
        alpha = _crop_alpha(image.shape[0], image.shape[1], ellipse=ellipse, feather=feather)
        item = alpha if ellipse else np.ones_like(alpha)
    else:
        item = alpha
    colour = image * alpha[..., None]
    margin = 2 if mount is None else 2 + round(mount[0] * max(alpha.shape))
    colour = np.pad(colour, ((margin, margin), (margin, margin), (0, 0)))
    opacity, item = np.pad(alpha, margin), np.pad(item, margin)
    if mount is not None:
        ground = _ground(mount[1], opacity.shape)
        colour = colour + ground * (1 - opacity[..., None])
        opacity = np.ones_like(opacity)
        opacity[[0, -1]] = 0
        opacity[:, [0, -1]] = 0
        colour *= opacity[..., None]
    rows, columns = image.shape[:2]
    corners = np.array([(0, 0), (columns, 0), (columns, rows), (0, rows)], np.float32) + margin
    return Sheet(colour, opacity, item, corners, mount is not None)


def place(mounted: Sheet, pose: Pose) -> Placed:
    """The sheet as seen in the given pose, anti-aliased, in a frame just large enough."""
    rows, columns = mounted.opacity.shape
    homography = _homography(mounted, pose)
    border = np.array([(0, 0), (columns, 0), (columns, rows), (0, rows)], np.float64)
    reach = _BEND_MARGIN * max(rows, columns) if pose.bend else 0.0
    outside = border + np.sign(border - [columns / 2, rows / 2]) * reach
    seen = _project(homography, outside)
    left, top = np.floor(seen.min(0)).astype(int) - 1
    right, bottom = np.ceil(seen.max(0)).astype(int) + 1
    size = (int(right - left), int(bottom - top))
    shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]], np.float64)
    # Pixel centres lie at half coordinates, OpenCV counts them from whole ones.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    local = np.linalg.inv(half) @ shift @ homography @ half
    packed = cv2.merge([mounted.colour, mounted.opacity])
    if pose.bend:
        map_x, map_y, light = _bent_maps(local, size, (rows, columns), pose)
        packed = cv2.remap(packed, map_x, map_y, cv2.INTER_LINEAR)
        item = cv2.remap(mounted.item, map_x, map_y, cv2.INTER_LINEAR)
        packed = cv2.multiply(packed, cv2.merge([light, light, light, np.ones_like(light)]))
    else:
        packed = cv2.warpPerspective(packed, local, size, flags=cv2.INTER_LINEAR)
        item = cv2.warpPerspective(mounted.item, local, size, flags=cv2.INTER_LINEAR)
    corners = _straightened(mounted.corners.astype(np.float64), (rows, columns), pose)
    quad = _project(homography, corners).astype(np.float32)
    return Placed(
        colour=np.ascontiguousarray(packed[..., :3], np.float32),
        opacity=np.ascontiguousarray(packed[..., 3], np.float32),
        item=np.asarray(item, np.float32),
        left=int(left),
        top=int(top),
        quad=quad,
    )


def _shrunk(cutout: Cutout, side: float) -> tuple[FloatMap, FloatMap]:
    """Colour 0..255 and alpha 0..1 at no more than 1.3 times the size they will be seen at."""
    rows, columns = cutout.image.shape[:2]
    scale = min(1.0, 1.3 * side / float(np.sqrt(rows * columns)))
    size = (max(4, round(columns * scale)), max(4, round(rows * scale)))
    opaque = np.full((rows, columns), 255, np.uint8) if cutout.alpha is None else cutout.alpha
    if size == (columns, rows):
        return cutout.image.astype(np.float32), _unit(opaque)
    if cutout.alpha is None:
        small = cv2.resize(cutout.image, size, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.float32), np.ones((size[1], size[0]), np.float32)
    alpha = _unit(cv2.resize(opaque, size, interpolation=cv2.INTER_AREA))
    premultiplied = cv2.multiply(
        cutout.image, cv2.cvtColor(opaque, cv2.COLOR_GRAY2RGB), scale=1 / 255
    )
    small = cv2.resize(premultiplied, size, interpolation=cv2.INTER_AREA)
    straight = np.asarray(small, np.float32) / np.maximum(alpha, 1 / 255)[..., None]
    return np.asarray(straight, np.float32), alpha


def _unit(alpha: NDArray[Any]) -> FloatMap:
    return np.asarray(alpha, np.float32) / np.float32(255)


def _crop_alpha(rows: int, columns: int, *, ellipse: bool, feather: float) -> FloatMap:
    y = np.abs(np.linspace(-1, 1, rows, dtype=np.float32))[:, None]
    x = np.abs(np.linspace(-1, 1, columns, dtype=np.float32))[None, :]
    soft = max(feather * 2, 2 / min(rows, columns))
    if ellipse:
        inside = 1 - np.sqrt(x**2 + y**2)
    elif feather:
        inside = np.minimum(1 - x, 1 - y)
    else:
        return np.ones((rows, columns), np.float32)
    return np.asarray(np.clip(inside / soft, 0, 1), np.float32)


def _ground(cover: FloatMap | tuple[float, float, float], shape: tuple[int, ...]) -> FloatMap:
    if isinstance(cover, tuple):
        return np.asarray(cover, np.float32)
    return np.asarray(cv2.resize(cover, (shape[1], shape[0])), np.float32)


def _patch_alpha(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8] | None:
    kind = rng.random()
    if kind < 0.4:
        return None
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    radii = np.ones(64)
    if kind > 0.6:
        for wave in range(2, 6):
            radii += 0.5 / wave * rng.uniform(-1, 1) * np.cos(wave * angles + rng.uniform(0, 6.3))
        radii = np.clip(radii / radii.max(), 0.3, 1)
    middle = np.array([width / 2, height / 2])
    points = middle + np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None] * middle
    alpha = np.zeros((height, width), np.uint8)
    cv2.fillPoly(alpha, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return alpha if (alpha > 127).any() else None


def _homography(mounted: Sheet, pose: Pose) -> NDArray[np.float64]:
    """From the sheet's x, y to the scene's, through a pinhole camera."""
    corners = mounted.corners.astype(np.float64)
    width, height = corners[2] - corners[0]
    scale = pose.side / float(np.sqrt(width * height))
    focal = pose.distance * scale * max(width, height)
    rotation = _turn(2, pose.roll) @ _turn(1, pose.yaw) @ _turn(0, pose.pitch)
    plane = np.stack([scale * rotation[:, 0], scale * rotation[:, 1], [0, 0, focal]], 1)
    camera = np.array([[focal, 0, pose.centre[0]], [0, focal, pose.centre[1]], [0, 0, 1]])
    middle = corners.mean(0)
    to_middle = np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, 1]])
    return np.asarray(camera @ plane @ to_middle, np.float64)


def _turn(axis: int, radians: float) -> NDArray[np.float64]:
    cos, sin = np.cos(radians), np.sin(radians)
    first, second = [index for index in range(3) if index != axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cos
    matrix[first, second], matrix[second, first] = -sin, sin
    return matrix


def _project(homography: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = points @ homography[:, :2].T + homography[:, 2]
    return np.asarray(flat[:, :2] / flat[:, 2:], np.float64)


def _bent_maps(
    local: NDArray[np.float64], size: tuple[int, int], sheet_size: tuple[int, int], pose: Pose
) -> tuple[FloatMap, FloatMap, FloatMap]:
    """Where each pixel of the frame looks on the waved sheet, and how the waves are lit."""
    inverse = np.linalg.inv(local).astype(np.float32)
    x = np.arange(size[0], dtype=np.float32)[None, :]
    y = np.arange(size[1], dtype=np.float32)[:, None]
    depth = inverse[2, 0] * x + inverse[2, 1] * y + inverse[2, 2]
    flat_x = (inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]) / depth
    flat_y = (inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]) / depth
    shift, slope = _wave(flat_x, flat_y, sheet_size, pose)
    light = 1 + np.clip(2.5 * slope, -0.35, 0.35)
    return flat_x + 0.6 * shift, flat_y + shift, light.astype(np.float32)


def _wave(
    x: NDArray[np.floating], y: NDArray[np.floating], sheet_size: tuple[int, int], pose: Pose
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """How far the sheet's points are moved, in its pixels, and the slope of the waves."""
    length = max(sheet_size)
    along_x, along_y, phase = pose.waves
    angle = 2 * np.pi * (along_x * x + along_y * y) / length + phase
    return pose.bend * length * np.sin(angle), pose.bend * np.pi * np.cos(angle)


def _straightened(
    points: NDArray[np.float64], sheet_size: tuple[int, int], pose: Pose
) -> NDArray[np.float64]:
    """Where on the flat sheet the bent one's points are seen."""
    if not pose.bend:
        return points
    seen = points
    for _ in range(_FIXED_POINT_STEPS):
        shift, _ = _wave(seen[:, 0], seen[:, 1], sheet_size, pose)
        seen = points - np.stack([0.6 * shift, shift], 1)
    return seen
