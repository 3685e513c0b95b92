"""How far a figure could lie elsewhere had other pictures been drawn: percentile bootstrap."""

from __future__ import annotations

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


def interval(figures: NDArray[np.floating], *, level: float = 0.95) -> Interval:
    """The middle `level` of a figure's values over the rounds; rounds that give nan are left out.

    Args:
        figures: (rounds,) the figure in each round.
        level: share of the rounds inside the interval, 0..1.
    """
    defined = figures[np.isfinite(figures)]
    if len(defined) == 0:
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
