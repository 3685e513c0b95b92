"""A square canvas with opacity, for drawing marks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.lettering import Mask
from visionkit.data.shapes import Shape

Colour = tuple[float, float, float]
"""RGB in 0..1."""

_SHIFT = 4  # fractional bits of OpenCV's polygon corners


class Canvas:
    """A square to draw on: colours and opacity, both 0..1, with the centre at (0, 0)."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.rgb: NDArray[np.float32] = np.zeros((side, side, 3), np.float32)
        self.alpha: NDArray[np.float32] = np.zeros((side, side), np.float32)

    def mask(self, shape: Shape, size: float = 1.0) -> Mask:
        """The inside of `shape`, shrunk to `size`."""
        page = np.zeros((self.side, self.side), np.uint8)
        half = (self.side - 1) / 2
        outlines = [
            np.round((half + outline * size * half * 0.97) * (1 << _SHIFT)).astype(np.int32)
            for outline in shape
        ]
        cv2.fillPoly(page, outlines, 255, cv2.LINE_AA, _SHIFT)
        return page

    def placed(self, mask: Mask, x: float, y: float, width: float, height: float) -> Mask:
        """`mask` fitted, with its proportions, into the box of half sizes about (x, y)."""
        half = self.side / 2
        scale = min(2 * width * half / mask.shape[1], 2 * height * half / mask.shape[0])
        matrix = np.array([[scale, 0, 0], [0, scale, 0]])
        middle = np.array([mask.shape[1], mask.shape[0]]) * scale / 2
        matrix[:, 2] = [half + x * half, half + y * half] - middle
        if scale < 0.5:  # bilinear sampling alone would skip thin strokes
            size = (
                max(1, round(mask.shape[1] * 2 * scale)),
                max(1, round(mask.shape[0] * 2 * scale)),
            )
            matrix[0, 0] *= mask.shape[1] / size[0]
            matrix[1, 1] *= mask.shape[0] / size[1]
            mask = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8)
        return np.asarray(cv2.warpAffine(mask, matrix, (self.side, self.side)), np.uint8)

    def paint(self, mask: Mask, colour: Colour | NDArray[np.float32]) -> None:
        """Lays a colour, or a (side, side, 3) picture of 0..1, over what is there."""
        cover = mask.astype(np.float32) / 255
        seen = cover[..., None]
        # Premultiplied, so that edges on transparency keep their colour.
        self.rgb += (np.asarray(colour, np.float32) - self.rgb) * seen
        self.alpha += (1 - self.alpha) * cover

    def erase(self, mask: Mask) -> None:
        """Makes the inside of the mask transparent again."""
        left = 1 - mask.astype(np.float32) / 255
        self.rgb *= left[..., None]
        self.alpha *= left

    def picture(self, size: int) -> NDArray[np.uint8]:
        """RGBA uint8, cut to what is opaque, its longest side `size`."""
        x, y, width, height = cv2.boundingRect((self.alpha > 0.02).astype(np.uint8))
        cut = np.dstack([self.rgb, self.alpha])[y : y + height, x : x + width]
        scale = size / max(width, height)
        shape = (max(1, round(width * scale)), max(1, round(height * scale)))
        cut = np.asarray(cv2.resize(cut, shape, interpolation=cv2.INTER_AREA), np.float32)
        opacity = np.maximum(cut[..., 3:], 1e-3)
        straight = np.concatenate([cut[..., :3] / opacity, cut[..., 3:]], axis=2)
        return np.asarray(np.clip(straight * 255 + 0.5, 0, 255), np.uint8)


def both(first: Mask, second: Mask) -> Mask:
    """What is inside of both masks."""
    return np.asarray(cv2.min(first, second), np.uint8)


def minus(first: Mask, second: Mask) -> Mask:
    """What is inside of the first mask and not of the second."""
    return np.asarray(cv2.subtract(first, second), np.uint8)


def either(first: Mask, second: Mask) -> Mask:
    """What is inside of one of the masks alone."""
    return np.asarray(cv2.absdiff(first, second), np.uint8)
