"""How a pasted thing takes on the light of the scene it is laid in."""

from __future__ import annotations

import cv2
import numpy as np

from visionkit.data.cutouts import FloatMap


def lay_over(
    rng: np.random.Generator,
    ground: FloatMap,
    colour: FloatMap,
    thin: FloatMap,
    *,
    crop: bool,
    printed: bool,
) -> None:
    """Lays a thing on `ground`, in place, in the light of the scene.

    Args:
        rng: numbers to draw from.
        ground: (h, w, 3) float32 RGB 0..255, part of the scene.
        colour: (h, w, 3) float32 RGB 0..255 of the thing, premultiplied.
        thin: (h, w) float32, 0..1, its opacity.
        crop: whether the thing is a crop with something of its own surroundings, whose colours
            may be made to meet the ground's.
        printed: whether the ground's texture may show through.
    """
    opacity = cv2.merge([thin, thin, thin])
    colour = colour * _light(rng, ground, thin.shape)
    if rng.random() < 0.3:
        shadow = 1 - _shadow(rng, thin)
        ground *= cv2.merge([shadow, shadow, shadow])
    if printed and rng.random() < 0.3:
        relief = _relief(ground)
        colour *= cv2.merge([relief, relief, relief])
    if crop and rng.random() < 0.35:
        colour += _membrane(ground, colour, thin) * opacity
    np.clip(colour, 0, 255 * opacity, out=colour)
    ground *= 1 - opacity
    ground += colour


def _relief(ground: FloatMap) -> FloatMap:
    """(h, w) factors about 1: the fine texture of the ground."""
    brightness = cv2.transform(ground, np.full((1, 3), 1 / 3, np.float32))
    smooth = cv2.blur(brightness, (9, 9))
    relief = (np.asarray(brightness, np.float32) + 20) / (np.asarray(smooth, np.float32) + 20)
    return np.asarray(np.clip(relief, 0.8, 1.2), np.float32)


def _light(rng: np.random.Generator, ground: FloatMap, shape: tuple[int, int]) -> FloatMap:
    """(h, w, 3) factors: the scene's brightness in part, a cast, and a slope over the item."""
    scene = float(ground[::4, ::4].mean()) / 125 + 0.05
    level = np.clip(scene ** rng.uniform(0.1, 0.55), 0.45, 1.35) * np.exp(rng.normal(0, 0.1))
    cast = np.exp(rng.normal(0, 0.05, 3))
    steep = rng.normal(0, 0.15)
    angle = rng.uniform(0, 2 * np.pi)
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :] * np.float32(np.cos(angle))
    slope = np.clip(1 + np.float32(steep) * (x + y), 0.5, 1.5)
    return np.asarray(
        cv2.merge([slope * factor for factor in (level * cast).astype(np.float32)]), np.float32
    )


def _shadow(rng: np.random.Generator, opacity: FloatMap) -> FloatMap:
    """How much darker the ground is under and beside the item, 0..1."""
    length = max(opacity.shape)
    move = rng.uniform(-0.05, 0.05, 2) * length
    matrix = np.array([[1, 0, move[0]], [0, 1, move[1]]])
    size = (opacity.shape[1], opacity.shape[0])
    moved = cv2.warpAffine(opacity, matrix, size)
    kernel = 2 * max(1, int(0.04 * length)) + 1
    soft = cv2.blur(cv2.blur(moved, (kernel, kernel)), (kernel, kernel))
    return np.asarray(soft * rng.uniform(0.2, 0.6), np.float32)


def _membrane(ground: FloatMap, colour: FloatMap, opacity: FloatMap) -> FloatMap:
    """A smooth correction that makes the crop meet the ground along its rim.

    A cheap stand-in for Poisson blending: the difference along the rim, spread inwards by
    normalised convolution at a quarter of the size.
    """
    rows, columns = opacity.shape
    size = (max(columns // 4, 2), max(rows // 4, 2))
    small = cv2.resize(opacity, size, interpolation=cv2.INTER_AREA)
    rim = ((small > 0.02) & (small < 0.98)).astype(np.float32) * small
    rim[[0, -1]] = small[[0, -1]]
    rim[:, [0, -1]] = small[:, [0, -1]]
    gap = cv2.resize(ground, size, interpolation=cv2.INTER_AREA) * small[..., None]
    gap -= cv2.resize(colour, size, interpolation=cv2.INTER_AREA)
    width = 2 * max(1, min(size) // 3) + 1
    weight = cv2.blur(cv2.blur(rim, (width, width)), (width, width))
    spread = cv2.blur(cv2.blur(gap * (rim > 0)[..., None], (width, width)), (width, width))
    correction = 0.8 * spread / np.maximum(weight, 1e-3)[..., None]
    return np.asarray(cv2.resize(np.clip(correction, -90, 90), (columns, rows)), np.float32)
