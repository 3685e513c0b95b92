"""All pictures that are learned from, as bytes on the device that learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from visionkit.training.pretrain.pictures import LabelledPictures
from visionkit.training.pretrain.searches import Cutout, random_outline
from visionkit.types import Image

_OUTLINES = 256


@dataclass(frozen=True)
class Bank:
    """Pictures by the thousand; what is drawn from them comes as floats in 0..1.

    Attributes:
        labelled: (N, 3, s, s) uint8. labels: (N,) int64.
        photos: (M, 3, h, h) uint8, squares.
        marks: (K, 4, c, c) uint8, RGB and alpha.
        outlines: (L, 1, c, c) uint8, alpha of pieces of photos.
    """

    labelled: Tensor
    labels: Tensor
    photos: Tensor
    marks: Tensor
    outlines: Tensor

    def photo(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, 3, h, h) float, any photos."""
        return _draw(self.photos, count, generator)

    def mark(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, 4, c, c) float, any marks; their colours' channels change places."""
        marks = _draw(self.marks, count, generator)
        device = self.marks.device
        order = torch.rand((count, 3), generator=generator, device=device).argsort(dim=1)
        index = order[:, :, None, None].expand(-1, -1, *marks.shape[2:])
        return torch.cat([marks[:, :3].gather(1, index), marks[:, 3:]], dim=1)

    def outline(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, 1, c, c) float, any outlines."""
        return _draw(self.outlines, count, generator)


def make_bank(
    labelled: LabelledPictures,
    photos: Sequence[Image],
    marks: Sequence[Cutout],
    *,
    photo_side: int,
    mark_side: int,
    seed: int,
    device: torch.device,
) -> Bank:
    """The pictures on a device; photos are cut to squares (long ones to two), and scaled."""
    squares = [square for photo in photos for square in _squares(photo, photo_side)]
    rng = np.random.default_rng(seed)
    outlines = [random_outline(rng, size=mark_side)[..., None] for _ in range(_OUTLINES)]
    return Bank(
        labelled=_stack(list(labelled.images)).to(device),
        labels=torch.from_numpy(labelled.labels).to(device),
        photos=_stack(squares).to(device),
        marks=_stack([_padded(mark, mark_side) for mark in marks]).to(device),
        outlines=_stack(outlines).to(device),
    )


def _draw(pictures: Tensor, count: int, generator: torch.Generator) -> Tensor:
    chosen = torch.randint(len(pictures), (count,), generator=generator, device=pictures.device)
    return pictures[chosen].float() / 255


def _squares(photo: Image, side: int) -> list[Image]:
    """The middle of a photo, or both ends of a long one, `side` pixels wide."""
    scale = side / min(photo.shape[:2])
    size = (max(side, round(photo.shape[1] * scale)), max(side, round(photo.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = np.asarray(cv2.resize(photo, size, interpolation=method), np.uint8)
    height, width = scaled.shape[:2]
    if max(height, width) > 1.25 * side:
        return [scaled[:side, :side], scaled[height - side :, width - side :]]
    top, left = (height - side) // 2, (width - side) // 2
    return [scaled[top : top + side, left : left + side]]


def _padded(mark: Cutout, side: int) -> Cutout:
    """A mark in the middle of a square, its longer side as wide as the square."""
    scale = side / max(mark.shape[:2])
    size = (max(1, round(mark.shape[1] * scale)), max(1, round(mark.shape[0] * scale)))
    scaled = np.asarray(cv2.resize(mark, size, interpolation=cv2.INTER_AREA), np.uint8)
    square = np.zeros((side, side, 4), np.uint8)
    top, left = (side - scaled.shape[0]) // 2, (side - scaled.shape[1]) // 2
    square[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return square


def _stack(pictures: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2)))
