"""How far accuracy may have moved, by what a classifier's confidence says of itself.

Average thresholded confidence (Garg et al., "Leveraging Unlabeled Data to Predict Out-of-
Distribution Performance", ICLR 2022): the share of live pictures above the confidence above which
as many pictures of the reference lie as are right. It sees only what moves confidence: a class
that the head never knew and is sure of all the same goes unseen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visionkit.evaluation.outcomes import FloatArray
from visionkit.monitoring.observed import Observed

LEAST = 30
"""Labelled pictures of the reference below which nothing is estimated."""
_SCORE, _RIGHT = "classification.score", "truth.right"


@dataclass(frozen=True)
class Estimate:
    """What is estimated, 0..1.

    Attributes:
        reference: share of right answers on the reference.
        live: the same on live pictures, as estimated.
        low, high: 95 % of the bootstrap draws of both sides; it tells the error of drawing, and
            not that of the idea.
    """

    reference: float
    live: float
    low: float
    high: float


def estimated_accuracy(
    reference: Observed, live: Observed, *, draws: int = 500, seed: int = 0
) -> Estimate | None:
    """The estimate; None where there is no classifier or fewer than 30 pictures have labels.

    Args:
        reference: pictures of which some have labels.
        live: pictures without.
        draws: of the bootstrap.
        seed: of the draws.
    """
    if any(_SCORE not in side.numbers for side in (reference, live)):
        return None
    right = reference.numbers.get(_RIGHT)
    now = live.numbers[_SCORE]
    now = now[np.isfinite(now)]
    if right is None or not len(now):
        return None
    known = np.isfinite(right) & np.isfinite(reference.numbers[_SCORE])
    if int(known.sum()) < LEAST:
        return None
    usual, right = reference.numbers[_SCORE][known], right[known]
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws):
        rows = rng.integers(len(usual), size=len(usual))
        drawn.append(
            thresholded(usual[rows], right[rows], now[rng.integers(len(now), size=len(now))])
        )
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(float(right.mean()), thresholded(usual, right, now), float(low), float(high))


def thresholded(usual: FloatArray, right: FloatArray, now: FloatArray) -> float:
    """Share of `now` at or above the score that as many of `usual` reach as are right.

    Args:
        usual: (R,) scores of labelled pictures.
        right: (R,) 1 where the answer was right, else 0.
        now: (N,) scores of pictures without labels.
    """
    wrong = round(len(usual) - float(right.sum()))
    ordered = np.sort(usual)
    limit = ordered[wrong] if wrong < len(ordered) else np.inf
    return float((now >= limit).mean())
