"""Plain properties of a picture: what changes when a camera, a lamp or a codec does."""

from __future__ import annotations

import cv2
import numpy as np

from visionkit.evaluation.outcomes import FloatArray
from visionkit.types import Image

PROPERTIES = {
    "size": "megapixels, as a power of ten",
    "aspect": "width over height, as a power of ten",
    "brightness": "mean lightness, 0 to 1",
    "contrast": "standard deviation of lightness, 0 to 0.5",
    "sharpness": "share of fine detail in all contrast, as a power of ten",
    "saturation": "mean distance from grey, 0 to 1",
    "red_green": "mean colour from green (below 0) to red",
    "blue_yellow": "mean colour from blue (below 0) to yellow",
    "blocks": "steps at the edges of 8 x 8 blocks against those within them, as a power of ten",
}
"""Name -> what it says."""
NOTICEABLE = {
    "brightness": 0.02,
    "contrast": 0.01,
    "sharpness": 0.05,
    "saturation": 0.02,
    "red_green": 0.02,
    "blue_yellow": 0.02,
    "blocks": 0.05,
}
"""Name -> the change that can just be seen: five grey levels, or an eighth of a ratio."""
_SIDE = 512  # pixels of the longer side at which light, colour and detail are measured
_LEAST = 1e-4  # keeps logarithms of flat pictures finite


def picture_properties(image: Image) -> FloatArray:
    """(P,) float64, all finite: the `PROPERTIES` of a picture in their order.

    Args:
        image: (H, W, 3) uint8 RGB, as it was decoded: scaling would hide blocks.
    """
    height, width = image.shape[:2]
    small = _small(image).astype(np.float32) / 255
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2Lab).astype(np.float64)
    light, red_green, blue_yellow = lab[..., 0] / 100, lab[..., 1] / 100, lab[..., 2] / 100
    contrast = float(light.std())
    detail = cv2.Laplacian(light, cv2.CV_64F)
    values = np.array(
        [
            np.log10(height * width / 1e6),
            np.log10(width / height),
            light.mean(),
            contrast,
            np.log10((detail.std() + _LEAST) / (contrast + _LEAST)),
            np.hypot(red_green, blue_yellow).mean(),
            red_green.mean(),
            blue_yellow.mean(),
            _blocks(image),
        ],
        np.float64,
    )
    # A thousandth is below what anyone sees; without this, rounding of grey pictures is a finding.
    return np.asarray(np.round(values, 3), np.float64)


def _small(image: Image) -> Image:
    scale = _SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _blocks(image: Image) -> float:
    """How much larger steps are at every eighth edge than at the others; 0 for no difference.

    JPEG and most video codecs quantise blocks of 8 x 8 apart from one another (Wang, Sheikh and
    Bovik, "No-Reference Perceptual Quality Assessment of JPEG Compressed Images", ICIP 2002).
    """
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.int16)
    edges, within = [], []
    for axis in (0, 1):
        steps = np.abs(np.diff(gray, axis=axis)).mean(axis=1 - axis)
        at_edge = np.arange(len(steps)) % 8 == 7
        if at_edge.any():
            edges.append(steps[at_edge].mean())
            within.append(steps[~at_edge].mean())
    if not edges:
        return 0.0
    return float(np.log10((np.mean(edges) + 0.1) / (np.mean(within) + 0.1)))
