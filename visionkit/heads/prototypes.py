"""Classes by the mean of their pictures, seen through the covariance within classes.

Everything stands on sums over pictures. So what all but some pictures say is a difference of
sums, and judging each picture by the others costs hardly more than looking at all of them once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_ROWS = 4096  # added up at once, in double precision
_LEAST = 1e-9  # of a variance; differences of sums are no more exact


@dataclass(frozen=True)
class Moments:
    """Sums over pictures, float64; K classes, C channels.

    Attributes:
        count: () how many pictures.
        shown: (K,) how many of them show each class.
        total: (C,) sum of their features.
        of_class: (K, C) sum of the features of those that show each class.
        squares: (C, C) sum of the outer products of their features.
    """

    count: Tensor
    shown: Tensor
    total: Tensor
    of_class: Tensor
    squares: Tensor

    def __add__(self, other: Moments) -> Moments:
        return Moments(*(a + b for a, b in self._beside(other)))

    def __sub__(self, other: Moments) -> Moments:
        return Moments(*(a - b for a, b in self._beside(other)))

    def _beside(self, other: Moments) -> list[tuple[Tensor, Tensor]]:
        return list(zip(vars(self).values(), vars(other).values(), strict=True))


def moments_of(
    features: Tensor, shares: Tensor, prepare: Callable[[Tensor], Tensor] = lambda rows: rows
) -> Moments:
    """The sums over pictures.

    Args:
        features: (N, C) float; N may be 0.
        shares: (N, K) float 0..1, what each picture shows.
        prepare: makes of (n, C) features those that are added up; a few thousand at once, so that
            there never is a second copy of all.
    """
    channels, classes = features.shape[1], shares.shape[1]
    nothing = features.new_zeros((), dtype=torch.float64)
    total = Moments(
        nothing,
        nothing.expand(classes),
        nothing.expand(channels),
        nothing.expand(classes, channels),
        nothing.expand(channels, channels),
    )
    for first in range(0, len(features), _ROWS):
        rows = prepare(features[first : first + _ROWS]).double()
        part = shares[first : first + _ROWS].double()
        total += Moments(
            nothing + len(rows), part.sum(0), rows.sum(0), part.T @ rows, rows.T @ rows
        )
    return total


def prototypes(
    moments: Moments, *, shrinkage: float, multi_label: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights that compare with the mean of each class, as in linear discriminant analysis.

    Where a picture shows one class, logits are half the squared distances to the means, the
    nearest the highest, but for what all classes share. Where it may show several, a class is
    there where its mean is nearer than that of the pictures without it.

    Args:
        moments: of what is learned from, with one picture at least.
        shrinkage: 0..1, part of the covariance that is replaced by a round one of the same size.
        multi_label: whether a picture may show several of the classes.

    Returns:
        weight: (K, C). middle: (K,) what is taken away from its product with the features.
        known: (K,) 0; or -1 for a class that no picture shows, or 1 for one that all do where a
        picture may show several.
    """
    present = moments.shown.clamp(min=1e-9)[:, None]
    means = moments.of_class / present
    known = torch.where(moments.shown < 0.5, -1.0, 0.0)
    if multi_label:
        absent = moments.count - moments.shown
        rest = (moments.total - moments.of_class) / absent.clamp(min=1e-9)[:, None]
        known = torch.where(absent < 0.5, 1.0, known)
        explained = torch.outer(moments.total, moments.total) / moments.count
    else:
        rest = torch.zeros_like(means)
        explained = means.T @ moments.of_class
    covariance = (moments.squares - explained) / moments.count
    lower = torch.linalg.cholesky(_rounded(covariance, shrinkage))
    weight = torch.cholesky_solve((means - rest).T, lower).T
    return weight, (weight * (means + rest)).sum(1) / 2, known


def _rounded(covariance: Tensor, shrinkage: float) -> Tensor:
    """(C, C) covariance drawn towards the round one of the same size, scaled by sqrt(C).

    Distances grow with the number of channels; by their root the odds stay readable. Where
    nothing varies, as with one picture a class, it is the round one of size 1.
    """
    size = float(covariance.diagonal().mean())
    if size < _LEAST:
        covariance, size, shrinkage = torch.zeros_like(covariance), 1.0, 1.0
    scale = math.sqrt(len(covariance))
    rounded = covariance * ((1 - shrinkage) * scale / size)
    rounded.diagonal().add_(shrinkage * scale)
    return rounded
