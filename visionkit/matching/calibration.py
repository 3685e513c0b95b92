"""How well views match where their item is not, and what follows for their scores.

Cosines of different views can't be compared: a plain disc resembles something in any photo, a
detailed seal nothing. So every template is searched for in background pictures, and its
similarity in a scene is read in standard deviations above its best match in a background.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visionkit.matching.search import Candidates

_FLOOR = 0.01
"""Added to every spread: few pictures can make it too small by chance."""
_EULER = 0.5772156649


@dataclass(frozen=True)
class BackgroundStatistics:
    """The best similarity of each template in a background picture.

    Attributes:
        mean: (T,) float32.
        spread: (T,) float32, standard deviation over pictures, positive.
    """

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]

    def standardise(self, candidates: Candidates) -> NDArray[np.float32]:
        """(N,) float32: similarity in standard deviations above the background's best."""
        template = candidates.template
        return (candidates.similarity - self.mean[template]) / self.spread[template]

    def take(self, index: NDArray[np.intp]) -> BackgroundStatistics:
        """The statistics of the templates at `index`, in that order."""
        return BackgroundStatistics(self.mean[index], self.spread[index])

    def join(self, other: BackgroundStatistics) -> BackgroundStatistics:
        """These and then the others."""
        return BackgroundStatistics(
            np.concatenate([self.mean, other.mean]), np.concatenate([self.spread, other.spread])
        )

    def put(self, index: NDArray[np.intp], other: BackgroundStatistics) -> BackgroundStatistics:
        """These with the others at `index`."""
        mean, spread = self.mean.copy(), self.spread.copy()
        mean[index], spread[index] = other.mean, other.spread
        return BackgroundStatistics(mean, spread)


def background_statistics(found: Sequence[Candidates], template_count: int) -> BackgroundStatistics:
    """Statistics of the best match a picture.

    Args:
        found: candidates in each background picture.
        template_count: T.

    Returns:
        Statistics; a template that could not be searched for in any picture gets the
        average of the others.

    Raises:
        ValueError: no picture, or no template could be searched for in any.
    """
    best = np.full((len(found), template_count), -np.inf, np.float64)
    for row, candidates in zip(best, found, strict=True):
        np.maximum.at(row, candidates.template, candidates.similarity)
    seen = np.isfinite(best)
    if template_count and not seen.any():
        raise ValueError(
            "background pictures must be large enough to search in, got "
            f"{len(found)} pictures in which no template fits; add larger ones"
        )
    counts = np.maximum(seen.sum(0), 1)
    best = np.where(seen, best, 0.0)
    mean = best.sum(0) / counts
    deviation = np.where(seen, best - mean, 0.0)
    spread = np.sqrt((deviation**2).sum(0) / counts)
    unseen = ~seen.any(0)
    if unseen.any():
        mean[unseen], spread[unseen] = mean[~unseen].mean(), spread[~unseen].mean()
    return BackgroundStatistics(mean.astype(np.float32), (spread + _FLOOR).astype(np.float32))


def logit(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log odds of scores 0..1; 0 and 1 give about -16 and 16, the ends of float32."""
    clipped = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float64)


def item_thresholds(
    best_scores: Mapping[str, Sequence[float]], false_alarm_rate: float
) -> dict[str, float]:
    """For each item the score above which a picture without it has a find too rarely to matter.

    The best scores in pictures without the item follow a Gumbel distribution (they are
    maxima), fitted by moments to their log odds; its spread is drawn towards that of all
    items, for a handful of pictures says little about one. So rates can be stated that are
    smaller than 1 / number of pictures.

    Args:
        best_scores: item -> best score 0..1 of it in each picture that does not show it; 0
            where nothing was found. At least one picture an item.
        false_alarm_rate: pictures with a false find, as a part of all pictures, in (0, 1).

    Returns:
        item -> threshold, 0..1.

    Raises:
        ValueError: the rate is not within (0, 1), or an item has no scores.
    """
    if not 0 < false_alarm_rate < 1:
        raise ValueError(f"false_alarm_rate must be between 0 and 1, got {false_alarm_rate}")
    missing = [item for item, scores in best_scores.items() if not len(scores)]
    if missing:
        raise ValueError(
            f"each item must have scores of pictures without it, got none for {missing}"
        )
    odds = {item: logit(np.asarray(scores, np.float32)) for item, scores in best_scores.items()}
    # A picture in which nothing at all was found says "low", not "minus infinity".
    odds = {item: np.maximum(values, -8.0) for item, values in odds.items()}
    if not odds:
        return {}
    pooled = float(np.mean([values.var() for values in odds.values()]))
    thresholds = {}
    for item, values in odds.items():
        prior = 8  # pictures' worth of trust in the pooled variance
        variance = (len(values) * values.var() + prior * pooled) / (len(values) + prior)
        scale = math.sqrt(6 * variance) / math.pi
        location = values.mean() - _EULER * scale
        quantile = location - scale * math.log(-math.log(1 - false_alarm_rate))
        thresholds[item] = float(1 / (1 + math.exp(-quantile)))
    return thresholds
