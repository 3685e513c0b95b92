"""Losses of several heads brought to one scale, so that a backbone learns from all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

_MEMORY = 0.98  # of the running means a step: about fifty steps
_MOST = 3.0  # times; two losses then count up to nine times as much as each other


class LossBalance(nn.Module):
    """The sum of losses, each over its own running mean; the means are saved with the weights.

    The weights of Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh
    Losses", CVPR 2018, equation 10, come to rest where each is one over its loss, and so minimise
    the sum of the logarithms. A running mean is there from the first steps on, while theirs are
    learned: they need a rate of their own, and lag where a loss falls quickly.

    Weights multiply to 1, so a single loss stays as it is. None counts more than three times or
    less than a third: what a head has learned already, whose loss is next to nothing, would
    otherwise drown the others in its noise.

    Args:
        names: of the losses.

    Attributes:
        means: (N,) float32 running mean of each loss, of the steps so far.
        counts: (N,) float32 steps that it was there in.
    """

    means: Tensor
    counts: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.register_buffer("means", torch.zeros(len(names)))
        self.register_buffer("counts", torch.zeros(len(names)))

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The balanced sum, (), after the means have taken in these losses.

        Args:
            losses: some of the names, at least one -> loss, () and above 0.
        """
        for name, loss in losses.items():
            self._take(self.names.index(name), loss.detach().float())
        weights = self.weights
        shares = [weights[self.names.index(name)] * loss for name, loss in losses.items()]
        return torch.stack(shares).sum()

    @property
    def weights(self) -> Tensor:
        """(N,) float32 how much each loss counts now; 1 for one that was never there."""
        known = self.counts > 0
        logs = torch.where(known, self.means.clamp(min=1e-12).log(), torch.zeros_like(self.means))
        middle = logs.sum() / known.sum().clamp(min=1)
        weights = torch.where(known, (middle - logs).exp(), torch.ones_like(logs))
        return weights.clamp(1 / _MOST, _MOST)

    @torch.no_grad()
    def _take(self, place: int, loss: Tensor) -> None:
        """A mean over all steps at first, later one that forgets."""
        count = self.counts[place] + 1
        self.counts[place] = count
        share = torch.maximum(1 / count, torch.full_like(count, 1 - _MEMORY))
        self.means[place] += share * (loss - self.means[place])
