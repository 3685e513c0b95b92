"""What items lie on in composed scenes: photos, and in them signs, labels and posters."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.cutouts import Cutout, FloatMap, Sheet, sheet
from visionkit.types import Image


def fitted_ground(rng: np.random.Generator, photo: Image, image_size: tuple[int, int]) -> Image:
    """A random crop of the photo in the scene's proportions, mirrored half the time.

    Photos much smaller than the scene are continued by their mirror images half the time, so
    that what is pasted can't be told by its sharpness alone.
    """
    if image_size[0] > 1.5 * photo.shape[0] and rng.random() < 0.5:
        down, right = (min(side - 1, side // 2) for side in photo.shape[:2])
        photo = np.pad(photo, ((down, down), (right, right), (0, 0)), mode="reflect")
    rows, columns = photo.shape[:2]
    height, width = image_size
    whole = min(rows / height, columns / width)
    scale = whole * rng.uniform(0.6, 1.0)
    crop_height, crop_width = max(2, int(height * scale)), max(2, int(width * scale))
    y, x = int(rng.integers(rows - crop_height + 1)), int(rng.integers(columns - crop_width + 1))
    crop = photo[y : y + crop_height, x : x + crop_width]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    how = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    return np.asarray(
        cv2.resize(np.ascontiguousarray(crop), (width, height), interpolation=how), np.uint8
    )


def random_sheet(
    rng: np.random.Generator, cutout: Cutout, side: float, around: FloatMap, share: float
) -> Sheet:
    """The item on a sign, or on nothing; marks that would not show get a sign that shows them.

    Args:
        rng: numbers to draw from.
        cutout: the item.
        side: root of the area it will be seen at, in pixels.
        around: (h, w, 3) float32 RGB 0..255, what it will lie on; at least one pixel.
        share: how many items lie on a sign, 0..1; crops without alpha less often.
    """
    mount: tuple[float, FloatMap | tuple[float, float, float]] | None = None
    if not cutout.mountable:
        return sheet(cutout, side)
    hidden = cutout.alpha is not None and _distance(_mean_colour(cutout), around.mean((0, 1))) < 75
    if hidden or rng.random() < share * (1.0 if cutout.alpha is not None else 0.3):
        ground = _ground_colour(rng, cutout)
        margin = float(rng.uniform(0.03, 0.35))
        mount = (margin, _textured(rng, around, ground) if rng.random() < 0.5 else ground)
    plain = cutout.alpha is None
    return sheet(
        cutout,
        side,
        mount=mount,
        ellipse=plain and rng.random() < 0.2,
        feather=float(rng.uniform(0.02, 0.1)) if plain and rng.random() < 0.45 else 0.0,
    )


def _mean_colour(cutout: Cutout) -> NDArray[np.float64]:
    mask = cutout.alpha if cutout.alpha is not None else None
    return np.array(cv2.mean(cutout.image, mask)[:3])


def _distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    return float(np.linalg.norm(np.asarray(first, float) - np.asarray(second, float)))


def _ground_colour(rng: np.random.Generator, cutout: Cutout) -> tuple[float, float, float]:
    """Mostly white, grey or dark, now and then coloured, and never like the item."""
    ink = _mean_colour(cutout)
    best, farthest = np.zeros(3), -1.0
    for _ in range(3):
        grey = np.full(3, rng.choice([250.0, 235.0, 200.0, 60.0, 25.0])) + rng.normal(0, 6, 3)
        colour = rng.uniform(20, 250, 3) if rng.random() < 0.35 else grey
        if (apart := _distance(ink, colour)) > farthest:
            best, farthest = colour, apart
        if apart > 130:
            break
    red, green, blue = np.clip(best, 0, 255)
    return float(red), float(green), float(blue)


def _textured(
    rng: np.random.Generator, around: FloatMap, ground: tuple[float, float, float]
) -> FloatMap:
    """The ground with a faint texture and the light of what it covers."""
    small = np.asarray(cv2.resize(around, (48, 48), interpolation=cv2.INTER_AREA), np.float32)
    brightness = small.mean(2, keepdims=True)
    relief = (brightness - brightness.mean()) * np.float32(rng.uniform(0.1, 0.35))
    return np.asarray(np.clip(np.asarray(ground, np.float32) + relief, 0, 255), np.float32)
