"""How far a figure could lie elsewhere had other pictures been drawn: percentile bootstrap."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Interval:
    """The range that holds a figure, at the level it was made for; nan where undefined."""

    low: float
    high: float


def picture_weights(pictures: int, *, rounds: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """(rounds, pictures) float64: how often each picture is drawn in each round.

    Each round draws as many pictures as there are, with replacement (Efron, 1979). Pictures, not
    boxes, are drawn, since the boxes of one picture are not independent. Frames of one video are
    not independent either: for them the interval is too narrow.
    """
    if pictures == 0:
        return np.zeros((rounds, 0))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(pictures, np.full(pictures, 1.0 / pictures), size=rounds)
    return drawn.astype(np.float64)


def interval(
    figures: NDArray[np.floating], *, pictures: int, level: float = 0.95, rate: bool = False
) -> Interval:
    """The middle `level` of a figure's values over the rounds; rounds that give nan are left out.

    Where every round gives 0, or every round 1, drawing anew can't tell how rare the other outcome
    is. The far end is then the exact bound for `pictures` pictures that are each all right or all
    wrong (Clopper and Pearson, 1934), so that none wrong in 7 pictures reads as 0 to 0.41.

    Args:
        figures: (rounds,) the figure in each round.
        pictures: how many pictures the figure stands on.
        level: share of the rounds inside the interval, 0..1.
        rate: whether it is a count a picture, which can exceed 1, and not a share.
    """
    defined = figures[np.isfinite(figures)]
    if len(defined) == 0 or pictures == 0:
        return Interval(float("nan"), float("nan"))
    tail = (1 - level) / 2
    if (defined == 0).all():
        # The rate of a Poisson process that stays silent with the chance `tail`.
        return Interval(0.0, -math.log(tail) / pictures if rate else 1 - tail ** (1 / pictures))
    if not rate and (defined == 1).all():
        return Interval(tail ** (1 / pictures), 1.0)
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(float(low), float(high))
