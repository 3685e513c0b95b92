"""What items lie on in composed scenes: signs, labels, posters."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.cutouts import Cutout, FloatMap, Sheet, sheet


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
    small = cv2.resize(around, (48, 48), interpolation=cv2.INTER_AREA).mean(2, keepdims=True)
    relief = (small - small.mean()) * rng.uniform(0.1, 0.35)
    return np.clip(np.asarray(ground, np.float32) + relief, 0, 255).astype(np.float32)
