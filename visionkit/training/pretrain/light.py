"""Batches of pictures in another light, and as worse cameras and files show them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from visionkit.training.pretrain.warp import normal, uniform

_LUMINANCE = (0.299, 0.587, 0.114)
# ITU T.81, table K.1: how coarsely JPEG keeps each frequency of the luminance at quality 50.
_COARSENESS = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 "
    "62 18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 "
    "98 112 100 103 99"
)


def relight(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures in another light, some of them coarse, noisy or compressed; of the same shape.

    Args:
        images: (B, 3, H, W) float in 0..1, H and W multiples of 8.
        generator: on the device of the pictures.
    """
    images = expose(images, generator)
    images = _gray(images, generator)
    for part, change in ((0.35, _coarse), (0.3, _noisy), (0.25, _compressed)):
        count = round(part * len(images))
        chosen = torch.randperm(len(images), generator=generator, device=images.device)[:count]
        if count:
            images[chosen] = change(images[chosen], generator)
    return images.clamp_(0, 1)


def expose(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures with another gain, contrast, gamma and white; (B, 3, H, W) float in 0..1."""
    count, device = len(images), images.device
    gain = uniform((count, 1, 1, 1), 0.7, 1.3, generator, device)
    gain = gain * uniform((count, 3, 1, 1), 0.9, 1.1, generator, device)
    contrast = uniform((count, 1, 1, 1), 0.7, 1.3, generator, device)
    lift = uniform((count, 1, 1, 1), -0.4, 0.4, generator, device)
    images = images + lift * images * (1 - images)  # about what a gamma of 0.7 to 1.4 does
    return (((images - 0.5) * contrast + 0.5) * gain).clamp_(0, 1)


def _gray(images: Tensor, generator: torch.Generator) -> Tensor:
    """Half of them with less colour or more, a few without any."""
    count, device = len(images), images.device
    weights = torch.tensor(_LUMINANCE, device=device).view(1, 3, 1, 1)
    gray = (images * weights).sum(1, keepdim=True)
    part = uniform((count, 1, 1, 1), -0.3, 0.6, generator, device)
    kind = torch.rand((count, 1, 1, 1), generator=generator, device=device)
    part = torch.where(kind < 0.08, 1.0, torch.where(kind < 0.5, part, 0.0))
    return torch.lerp(images, gray.expand_as(images), part)


def _coarse(images: Tensor, generator: torch.Generator) -> Tensor:
    """As seen from afar or out of focus: made smaller and enlarged again, all by one factor."""
    factor = float(uniform((1,), 0.3, 0.85, generator, images.device))
    size = [max(1, round(side * factor)) for side in images.shape[2:]]
    small = F.interpolate(images, size, mode="bilinear", antialias=True)
    return F.interpolate(small, images.shape[2:], mode="bilinear")


def _noisy(images: Tensor, generator: torch.Generator) -> Tensor:
    spread = uniform((len(images), 1, 1, 1), 0.01, 0.05, generator, images.device)
    return images + spread * normal(tuple(images.shape), generator, images.device)


def _compressed(images: Tensor, generator: torch.Generator) -> Tensor:
    """What JPEG's quantisation leaves of them, at a quality of 20 to 80 or so."""
    count, channels, height, width = images.shape
    if height % 8 or width % 8:
        raise ValueError(f"sides must be multiples of 8, got {height} x {width}")
    device = images.device
    coarseness = torch.tensor([float(word) for word in _COARSENESS.split()], device=device)
    scale = uniform((count, 1, 1, 1, 1, 1), 0.4, 2.5, generator, device) / 255
    steps = coarseness.view(8, 8) * scale
    transform = _cosines(device)
    blocks = images.view(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    spectrum = transform @ blocks @ transform.T
    kept = (spectrum / steps).round() * steps
    blocks = transform.T @ kept @ transform
    return blocks.transpose(3, 4).reshape(images.shape)


def _cosines(device: torch.device) -> Tensor:
    """(8, 8) orthonormal discrete cosine transform (type II), a row a frequency."""
    place = torch.arange(8, device=device, dtype=torch.float32)
    rows = torch.cos(math.pi / 8 * place[:, None] * (place + 0.5)) / 2
    rows[0] /= math.sqrt(2)
    return rows
