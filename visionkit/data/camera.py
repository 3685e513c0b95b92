"""What a camera adds to a scene: exposure, colour cast, blur, noise and JPEG.

Written for speed on composed scenes; `visionkit.data.augment` holds the richer pipelines.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.types import Image


def take_photo(rng: np.random.Generator, image: Image, strength: float = 1.0) -> Image:
    """(H, W, 3) uint8 RGB: the scene as a random ordinary camera might have stored it.

    Args:
        rng: numbers to draw from.
        image: (H, W, 3) uint8 RGB.
        strength: 0 leaves the picture as it is, 1 is the usual range.

    Raises:
        ValueError: `strength` is negative.
    """
    if strength < 0:
        raise ValueError(f"strength of the camera must be 0 or more, got {strength}")
    if strength == 0:
        return image
    seen = np.asarray(cv2.LUT(image, _response(rng, strength)), np.uint8)
    if rng.random() < 0.15 * strength:
        seen = _vignette(rng, seen)
    seen = _blurred(rng, seen, strength)
    if rng.random() < 0.7:
        seen = _noisy(rng, seen, strength)
    if rng.random() < 0.8:
        seen = _stored(rng, seen, strength)
    return seen


def _response(rng: np.random.Generator, strength: float) -> NDArray[np.uint8]:
    """(1, 256, 3) lookup table: gain, gamma, colour cast and contrast."""
    levels = np.linspace(0, 1, 256)[:, None]
    gamma = np.exp(strength * rng.normal(0, 0.18))
    gain = np.exp(strength * (rng.normal(0, 0.08) + rng.normal(0, 0.05, 3)))
    contrast = 1 + strength * rng.uniform(-0.25, 0.2)
    curve = ((levels**gamma) * gain - 0.5) * contrast + 0.5
    return np.asarray(np.clip(curve * 255 + 0.5, 0, 255), np.uint8)[None]


def _vignette(rng: np.random.Generator, image: Image) -> Image:
    rows, columns = image.shape[:2]
    y = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
    fall = 1 - rng.uniform(0.15, 0.45) * (x**2 + y**2) / 2
    return np.asarray(image * fall.astype(np.float32)[..., None], np.uint8)


def _blurred(rng: np.random.Generator, image: Image, strength: float) -> Image:
    kind = rng.random()
    if kind < 0.35:
        sigma = strength * rng.uniform(0.4, 1.3)
        return np.asarray(cv2.GaussianBlur(image, (0, 0), max(sigma, 0.2)), np.uint8)
    if kind < 0.45:
        return np.asarray(cv2.filter2D(image, -1, _motion(rng, strength)), np.uint8)
    if kind < 0.6:  # an enlarged small picture
        scale = max(1 - strength * rng.uniform(0.1, 0.45), 0.2)
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        size = (image.shape[1], image.shape[0])
        return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    if kind < 0.7:
        soft = cv2.GaussianBlur(image, (0, 0), 1.2)
        amount = strength * rng.uniform(0.3, 0.9)
        return np.asarray(cv2.addWeighted(image, 1 + amount, soft, -amount, 0), np.uint8)
    return image


def _motion(rng: np.random.Generator, strength: float) -> NDArray[np.float32]:
    length = 3 + 2 * int(rng.integers(0, 1 + round(2 * strength)))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    half = length // 2
    reach = np.array([np.cos(angle), np.sin(angle)]) * half
    start, end = np.round(half - reach).astype(int), np.round(half + reach).astype(int)
    cv2.line(kernel, tuple(start.tolist()), tuple(end.tolist()), 1.0)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _noisy(rng: np.random.Generator, image: Image, strength: float) -> Image:
    """Grain in brightness, as sensors leave after their own smoothing."""
    sigma = strength * float(rng.exponential(4.0))
    grain = rng.standard_normal(image.shape[:2], dtype=np.float32)
    grain *= min(sigma, 14.0)
    return np.asarray(cv2.add(image, cv2.merge([grain] * 3), dtype=cv2.CV_8U), np.uint8)


def _stored(rng: np.random.Generator, image: Image, strength: float) -> Image:
    # OpenCV takes the channels for BGR both ways, so they come back in their order.
    quality = round(95 - strength * 55 * float(rng.beta(1.3, 2.0)))
    packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, max(quality, 20)])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
