"""Pictures mixed with others of their batch, and their truth with them.

Mixup: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018. Cutmix: Yun et al.,
"CutMix: Regularization Strategy to Train Strong Classifiers", ICCV 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class MixSettings:
    """How pictures of a batch are mixed.

    Attributes:
        mixup: share of the batches that are laid over one another, 0..1.
        cutmix: share of the batches with a part cut out of another picture, 0..1.
        strength: of the Beta distribution that the shares are drawn from, above 0: near 0 one
            picture nearly always outweighs the other, at 1 every share is as likely.

    Raises:
        ValueError: a setting is out of its range.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    strength: float = 0.4

    def __post_init__(self) -> None:
        if min(self.mixup, self.cutmix) < 0 or self.mixup + self.cutmix > 1:
            raise ValueError(
                f"mixup and cutmix must be shares that sum to 1 at most, got {self.mixup} and "
                f"{self.cutmix}"
            )
        if not self.strength > 0:
            raise ValueError(f"strength of mixing must be above 0, got {self.strength}")


def mix(
    images: Tensor, shares: Tensor, settings: MixSettings, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """The batch mixed with itself in another order, or as it is.

    Args:
        images: (B, 3, H, W) floating point.
        shares: (B, K) float, what each shows.
        settings: how.
        rng: three numbers and an order are drawn of it.
    """
    draws = rng.random(3)
    part = rng.beta(settings.strength, settings.strength)
    other = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    if draws[0] < settings.mixup:
        mixed = images.lerp(images[other], part)
    elif draws[0] < settings.mixup + settings.cutmix:
        mixed = images.clone()
        rows, columns, part = _window(images.shape[-2:], part, draws[1:])
        mixed[..., rows, columns] = images[other][..., rows, columns]
    else:
        return images, shares
    return mixed, shares.lerp(shares[other], part)


def _window(
    size: torch.Size, part: float, draws: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> tuple[slice, slice, float]:
    """Rows and columns of about this part of a picture, and the part that they are."""
    height, width = (round(side * part**0.5) for side in size)
    top, left = round(draws[0] * (size[0] - height)), round(draws[1] * (size[1] - width))
    exact = height * width / (size[0] * size[1])
    return slice(top, top + height), slice(left, left + width), exact
