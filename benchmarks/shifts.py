"""What becomes of pictures when light, focus, compression or a stain change."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg

from visionkit.types import Image


def darker(image: Image) -> Image:
    """30 % less light."""
    return np.asarray(image * 0.7, np.uint8)


def blurred(image: Image) -> Image:
    """A Gaussian blur of one pixel."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.uint8)


def squeezed(image: Image) -> Image:
    """JPEG of quality 15."""
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(np.ascontiguousarray(image), 15))


def stained(image: Image) -> Image:
    """Another stain: 20 degrees on in hue (10 of OpenCV's 180 half degrees), a tenth weaker."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.int16)
    hsv[..., 0] = (hsv[..., 0] + 10) % 180
    hsv[..., 1] = hsv[..., 1] * 9 // 10
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)


SHIFTS: dict[str, Callable[[Image], Image]] = {
    "brightness -30 %": darker,
    "blur of 1 px": blurred,
    "JPEG quality 15": squeezed,
}
