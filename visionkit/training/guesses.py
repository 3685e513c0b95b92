"""What a head is sure of in pictures that nobody has labelled, to be learned as if it were told.

Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural
Networks", ICML workshop on challenges in representation learning, 2013.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from visionkit.heads.classification import ClassificationHead
from visionkit.training.shares import shares_of


@dataclass(frozen=True)
class Guesses:
    """The pictures whose classes a head is sure of.

    Attributes:
        places: (G,) int64 which of the pictures these are.
        shares: (G, K) float32 0 or 1, the classes that each seems to show.
        likelihood: (G,) float32 0..1 how sure that is; where a picture may show several classes,
            of the class that it is least sure of, there or not.
    """

    places: Tensor
    shares: Tensor
    likelihood: Tensor

    def __len__(self) -> int:
        return len(self.places)


def no_guesses(class_count: int) -> Guesses:
    """None, of so many classes."""
    nothing = torch.zeros(0)
    return Guesses(nothing.long(), torch.zeros(0, class_count), nothing)


@torch.no_grad()
def guesses_of(
    head: ClassificationHead, features: Tensor, *, temperature: float, sure: float
) -> Guesses:
    """What the head is sure of.

    Args:
        head: that has learned; in evaluation mode.
        features: (U, C) float32 pooled features.
        temperature: that its logits are divided by.
        sure: 0..1, the least likelihood.
    """
    logits = head(features) / temperature
    if head.multi_label:
        there = logits.sigmoid()
        likelihood = torch.maximum(there, 1 - there).amin(1)
        shares = (there > 0.5).float()
    else:
        likelihood, likeliest = logits.softmax(1).max(1)
        shares = shares_of(likeliest, head.class_count)
    places = torch.nonzero(likelihood >= sure).flatten()
    return Guesses(places, shares[places], likelihood[places])
