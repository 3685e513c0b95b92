"""What a frozen backbone's features tell: a linear classifier learned on them, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from visionkit.models.backbone import Backbone
from visionkit.types import Image

DECAYS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4)
"""Strengths of the L2 penalty that are tried, the strongest first."""
_HELD_BACK = 5  # every fifth picture to learn from is for choosing the strength
_STEPS = 60
_BATCH = 64


@dataclass(frozen=True)
class Probed:
    """How good a linear classifier is.

    Attributes:
        right: (N,) bool, which test pictures it names rightly.
        decay: the strength of the penalty that was chosen.
        chosen_on: share right of the held-back pictures that it was chosen by, 0..1.
    """

    right: Tensor
    decay: float
    chosen_on: float

    @property
    def accuracy(self) -> float:
        """Share of the test pictures that are named rightly, 0..1."""
        return float(self.right.float().mean())


def features_of(
    backbone: Backbone, images: Iterable[Image], *, half: bool = False, batch_size: int = _BATCH
) -> Tensor:
    """(N, C) float32 pooled features.

    Args:
        backbone: frozen, in evaluation mode.
        images: (H, W, 3) uint8 RGB, all of one size.
        half: computed in bfloat16, two to three times as fast where the processor can.
        batch_size: pictures at once.
    """
    found: list[Tensor] = []
    batch: list[Image] = []

    def see() -> None:
        pixels = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2)  # channels stay last
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            found.append(backbone(pixels.float() / 255).pooled.float())
        batch.clear()

    for image in images:
        batch.append(image)
        if len(batch) == batch_size:
            see()
    if batch:
        see()
    return torch.cat(found) if found else torch.zeros(0, backbone.pooled_channels)


def probe(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    decays: Sequence[float] = DECAYS,
    seed: int = 0,
) -> Probed:
    """Multinomial logistic regression on standardised features, measured on `test`.

    The strength of its penalty is chosen on a fifth of the pictures to learn from; then all
    of them are learned from. `test` is only measured on.

    Args:
        train: (N, C) float32 features and (N,) int64 classes from 0 up.
        test: likewise.
        decays: strengths to choose from, the strongest first: of
            mean cross-entropy + decay / 2 * sum of squared weights.
        seed: of the choice of pictures that are held back.

    Raises:
        ValueError: there are fewer than 10 pictures to learn from, or none to test on.
    """
    features, labels = train
    if len(labels) < 2 * _HELD_BACK or not len(test[1]):
        raise ValueError(
            f"a probe must have at least {2 * _HELD_BACK} pictures to learn from and one to "
            f"test on, got {len(labels)} and {len(test[1])}"
        )
    mean, std = features.mean(0), features.std(0).clamp(min=1e-6)
    features, seen = (features - mean) / std, (test[0] - mean) / std
    classes = int(max(labels.max(), test[1].max())) + 1
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    held, kept = order[::_HELD_BACK], order[torch.arange(len(order)) % _HELD_BACK > 0]
    decay, share = _choose(
        (features[kept], labels[kept]), (features[held], labels[held]), classes, decays
    )
    layer = learn(features, labels, classes, decay)
    return Probed(_right(layer, seen, test[1]), decay, share)


def learn(
    features: Tensor, labels: Tensor, classes: int, decay: float, start: Tensor | None = None
) -> Tensor:
    """(C + 1, classes) weights, the biases last, that minimise the penalised cross-entropy.

    Args:
        features: (N, C) float32.
        labels: (N,) int64.
        classes: how many there are.
        decay: strength of the L2 penalty; biases have none.
        start: weights to begin with, zeros if None; the minimum is the same.
    """
    weights = torch.zeros(features.shape[1] + 1, classes) if start is None else start.clone()
    weights.requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [weights],
        max_iter=_STEPS,
        history_size=10,
        tolerance_grad=1e-5,
        tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(features @ weights[:-1] + weights[-1], labels)
        total = loss + decay / 2 * weights[:-1].square().sum()
        total.backward()
        return total

    optimizer.step(closure)
    return weights.detach()


def _choose(
    kept: tuple[Tensor, Tensor],
    held: tuple[Tensor, Tensor],
    classes: int,
    decays: Sequence[float],
) -> tuple[float, float]:
    """The strength that is best on `held`, and the share right; ends when it got worse twice."""
    best, share, worse, weights = decays[0], -1.0, 0, None
    for decay in decays:
        weights = learn(*kept, classes, decay, weights)
        right = float(_right(weights, *held).float().mean())
        if right > share:
            best, share, worse = decay, right, 0
        else:
            worse += 1
        if worse == 2:
            break
    return best, share


def _right(weights: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    return (features @ weights[:-1] + weights[-1]).argmax(1) == labels
