"""How well views match where their item is not, and what follows for their scores.

Cosines of different views can't be compared: a plain disc resembles something in any photo, a
detailed seal nothing. So every template is searched for in background pictures, and its
similarity in a scene is read in standard deviations above its best match in a background.

The best match is a maximum over all places that were searched, so a larger picture has a better
one by chance alone: maxima over n places follow a Gumbel distribution whose location grows with
its scale times log n (Coles, "An Introduction to Statistical Modeling of Extreme Values", 2001,
chapter 3). A similarity is therefore compared with what a background *of the scene's size* would
give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visionkit.matching.candidates import Candidates

_FLOOR = 0.01
"""Added to every spread: few pictures can make it too small by chance."""
_EULER = 0.5772156649
_GUMBEL_SCALE = math.sqrt(6) / math.pi
"""Scale of a Gumbel distribution in its standard deviations."""
_FEW_VIEWS = 200
"""Views of a gallery in which a place that fits no better than a background's best one may still
be what is looked for. Of 10,000 it was not in 84 photos of FlickrLogos-27's second subset, up to
a prior of 2."""
_PRIOR_PICTURES = 8
"""How many pictures' worth of trust the variance of all items has in that of one."""


@dataclass(frozen=True)
class BackgroundStatistics:
    """The best similarity of each template in a background picture.

    Attributes:
        mean: (T,) float32, in a picture of the reference's usual size.
        spread: (T,) float32, standard deviation over pictures, positive.
    """

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]

    def standardise(self, candidates: Candidates, size: float = 0.0) -> NDArray[np.float32]:
        """(N,) float32: similarity in standard deviations above the background's best.

        Args:
            candidates: of one picture.
            size: how much larger than the reference's usual picture it is, as `relative_sizes`
                has it: so much better is the best match of a background of its size.
        """
        return self.above(candidates.similarity, candidates.template, size)

    def above(
        self, similarity: NDArray[np.float32], template: NDArray[np.int64], size: float = 0.0
    ) -> NDArray[np.float32]:
        """(N,) float32: as `standardise`, of (N,) similarities of (N,) templates."""
        above = (similarity - self.mean[template]) / self.spread[template]
        return (above - np.float32(_GUMBEL_SCALE * size)).astype(np.float32)

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


def best_similarities(found: Sequence[Candidates], template_count: int) -> NDArray[np.float64]:
    """(P, T) the best match of each template in each of P pictures; -inf where it does not fit."""
    best = np.full((len(found), template_count), -np.inf, np.float64)
    for row, candidates in zip(best, found, strict=True):
        np.maximum.at(row, candidates.template, candidates.similarity)
    return best


def background_statistics(
    best: NDArray[np.float64], sizes: NDArray[np.float64]
) -> BackgroundStatistics:
    """Statistics of the best match a picture.

    Args:
        best: (P, T) of each template in each background picture; -inf where it does not fit.
        sizes: (P,) relative sizes of the pictures.

    Returns:
        Statistics; a template that could not be searched for in any picture gets the
        average of the others.

    Raises:
        ValueError: no picture, or no template could be searched for in any.
    """
    seen = np.isfinite(best)
    if best.shape[1] and not seen.any():
        raise ValueError(
            "background pictures must be large enough to search in, got "
            f"{len(best)} pictures in which no template fits; add larger ones"
        )
    mean, spread = _moments(best, seen)
    # What differs because the pictures differ in size says nothing of one size.
    alike = best - _GUMBEL_SCALE * spread * sizes[:, None]
    mean, spread = _moments(alike, seen)
    unseen = ~seen.any(0)
    if unseen.any():
        mean[unseen], spread[unseen] = mean[~unseen].mean(), spread[~unseen].mean()
    return BackgroundStatistics(mean.astype(np.float32), (spread + _FLOOR).astype(np.float32))


def statistics_of_others(
    best: NDArray[np.float64], sizes: NDArray[np.float64], picture: int
) -> BackgroundStatistics:
    """The statistics without one picture, as which it is a picture like any new one.

    A picture is less remarkable to statistics that it is part of: thresholds set so let twice
    as many false finds through as they say. Where no other picture can be searched in, its own
    statistics have to do.

    Args:
        best: (P, T) as for `background_statistics`.
        sizes: (P,) relative sizes of the pictures.
        picture: index of the one that is left out.
    """
    others = np.delete(best, picture, 0)
    if not np.isfinite(others).any():
        return background_statistics(best, sizes)
    return background_statistics(others, np.delete(sizes, picture))


def relative_sizes(cells: Sequence[int], reference_cells: Sequence[int]) -> NDArray[np.float64]:
    """(P,) log of how many times more places pictures have than the reference's usual picture.

    Args:
        cells: P numbers of cells that are searched in a picture.
        reference_cells: the same of each reference picture; at least one.
    """
    usual = np.log(np.asarray(reference_cells, np.float64)).mean()
    return np.asarray(np.log(np.asarray(cells, np.float64)) - usual, np.float64)


def chance_prior(views: int) -> float:
    """The prior that a place must have to say something in a gallery of so many views.

    The best of more views is better by chance alone, again as Gumbel's distribution has it. In a
    gallery of 200, any prior can say something.
    """
    return _GUMBEL_SCALE * math.log(views / _FEW_VIEWS)


def _moments(
    values: NDArray[np.float64], seen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(T,) mean and standard deviation of what was seen of each column; 0 where nothing was."""
    counts = np.maximum(seen.sum(0), 1)
    mean = np.where(seen, values, 0.0).sum(0) / counts
    deviation = np.where(seen, values, mean) - mean
    return mean, np.sqrt((deviation**2).sum(0) / counts)


def logit(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log odds of scores 0..1; 0 and 1 give about -16 and 16, the ends of float32."""
    clipped = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float64)


def item_rate(picture_rate: float, items: int) -> float:
    """The false-alarm rate of each of `items` at which pictures have one at `picture_rate`.

    As if items were independent. Similar ones are not, and then fewer pictures have a false find.

    Raises:
        ValueError: the rate is not within (0, 1).
    """
    if not 0 < picture_rate < 1:
        raise ValueError(f"false_alarm_rate must be between 0 and 1, got {picture_rate}")
    return -math.expm1(math.log1p(-picture_rate) / max(items, 1))


def item_thresholds(best_scores: Mapping[str, Sequence[float]], rate: float) -> dict[str, float]:
    """For each item the score above which a picture without it has a find too rarely to matter.

    The best scores in pictures without the item follow a Gumbel distribution (they are
    maxima), fitted by moments to their log odds; its spread is drawn towards that of all
    items, for a handful of pictures says little about one. So rates can be stated that are
    smaller than 1 / number of pictures.

    Args:
        best_scores: item -> best score 0..1 of it in each picture that does not show it; 0
            where nothing was found. At least one picture an item.
        rate: pictures with a false find of the item, as a part of all pictures, in (0, 1).

    Returns:
        item -> threshold, 0..1.

    Raises:
        ValueError: the rate is not within (0, 1), or an item has no scores.
    """
    if not 0 < rate < 1:
        raise ValueError(f"a false-alarm rate must be between 0 and 1, got {rate}")
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
    return {item: _threshold(values, pooled, rate) for item, values in odds.items()}


def _threshold(odds: NDArray[np.float64], pooled_variance: float, rate: float) -> float:
    """The score that the best of a picture, whose log odds these are, exceeds at the rate."""
    trusted = len(odds) * odds.var() + _PRIOR_PICTURES * pooled_variance
    scale = _GUMBEL_SCALE * math.sqrt(trusted / (len(odds) + _PRIOR_PICTURES))
    location = float(odds.mean()) - _EULER * scale
    quantile = location - scale * math.log(-math.log1p(-rate))
    return 1 / (1 + math.exp(-quantile))
