"""Whether a confidence means what it says: calibration error, log likelihood, reliability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visionkit.evaluation.outcomes import BoolArray, FloatArray, IntArray

BINS = 15
"""As in Guo et al., "On Calibration of Modern Neural Networks", ICML 2017."""
_LEAST = 1e-12  # a chance that is taken for 0


@dataclass(frozen=True)
class Reliability:
    """Answers by their confidence, in `BINS` parts of 0..1 of equal width.

    Attributes:
        count: (BINS,) int64, how many answers fall into each.
        confidence: (BINS,) mean confidence of each; nan where there is none.
        accuracy: (BINS,) share of right answers of each; nan where there is none.
    """

    count: IntArray
    confidence: FloatArray
    accuracy: FloatArray

    @property
    def error(self) -> float:
        """Mean distance of confidence and accuracy, weighted by the count; nan for no answers."""
        total = self.count.sum()
        if not total:
            return float("nan")
        filled = self.count > 0
        gaps = np.abs(self.confidence[filled] - self.accuracy[filled])
        return float((self.count[filled] * gaps).sum() / total)


def reliability(confidence: FloatArray, right: BoolArray) -> Reliability:
    """How often answers of each confidence are right.

    Args:
        confidence: (N,) 0..1.
        right: (N,) whether each answer is right.
    """
    part = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(part, minlength=BINS)
    filled = np.maximum(count, 1)
    mean = np.bincount(part, confidence, minlength=BINS) / filled
    share = np.bincount(part, right, minlength=BINS) / filled
    empty = count == 0
    return Reliability(count, np.where(empty, np.nan, mean), np.where(empty, np.nan, share))


def picture_surprise(present: BoolArray, scores: FloatArray, *, multi_label: bool) -> FloatArray:
    """(N,) negative log likelihood of the truth of each picture.

    Args:
        present: (N, K) the classes of each picture; exactly one unless `multi_label`.
        scores: (N, K) their probabilities, 0..1.
        multi_label: then it is the mean over the classes of what is there and what is not.
    """
    chance = np.where(present, scores, 1 - scores) if multi_label else scores
    surprise = -np.log(np.maximum(chance, _LEAST))
    if multi_label:
        mean: FloatArray = surprise.mean(axis=1) if present.shape[1] else np.zeros(len(present))
        return mean
    total: FloatArray = np.where(present, surprise, 0.0).sum(axis=1)
    return total
