"""How a model did on a test set, as a figure of each class that can be drawn anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import supervision as sv

from visionkit.evaluation.average_precision import average_precision_rounds
from visionkit.evaluation.bootstrap import Interval, interval, picture_weights
from visionkit.evaluation.counts import ratio
from visionkit.evaluation.outcomes import (
    BoolArray,
    FloatArray,
    IntArray,
    Outcomes,
    Truth,
    judge,
)


@dataclass(frozen=True)
class Marks:
    """How one model did on the frozen test set; N pictures, K classes.

    Attributes:
        figure: what is counted: "F1" or "AP50"; the model's is the mean over the classes shown.
        class_names: the K names.
        support: (K,) int64 pictures that show each class, or boxes of it.
        pictures: N.
        of: (R, N) float64 weights of the pictures in R rounds -> (R, K) the figure of each class,
            nan where the round shows none of it.
        answers: one a picture: what the model said of it, as far as that counts. Two models that
            have the same there did the same on it.
    """

    figure: str
    class_names: tuple[str, ...]
    support: IntArray
    pictures: int
    of: Callable[[FloatArray], FloatArray]
    answers: tuple[bytes, ...]

    def by_class(self) -> FloatArray:
        """(K,) the figure of each class on the pictures as they are."""
        found: FloatArray = self.of(np.ones((1, self.pictures)))[0]
        return found

    def mean(self) -> float:
        """The figure over all classes that are shown; nan without any."""
        return float(class_mean(self.by_class()[None])[0])

    def interval(self, *, rounds: int = 1000, seed: int = 0) -> Interval:
        """The 95 % interval of `mean` over pictures drawn anew."""
        weights = picture_weights(self.pictures, rounds=rounds, seed=seed)
        return interval(class_mean(self.of(weights)), pictures=self.pictures)


def named_marks(present: BoolArray, said: BoolArray, class_names: Sequence[str]) -> Marks:
    """F1 of each class: of naming pictures, or of telling which items they show.

    Args:
        present: (N, K) bool, what each picture shows.
        said: (N, K) bool, what the model says that it shows.
        class_names: the K names.

    Raises:
        ValueError: shapes that don't agree.
    """
    names = tuple(class_names)
    if present.shape != said.shape or present.ndim != 2 or present.shape[1] != len(names):
        raise ValueError(
            f"present and said must both be (pictures, {len(names)}), got {present.shape} and "
            f"{said.shape}; give both for the same pictures and classes"
        )
    true = (present & said).astype(np.float64)
    both = present.astype(np.float64) + said

    def of(weights: FloatArray) -> FloatArray:
        f1 = ratio(2 * (weights @ true), weights @ both)
        return np.where(weights @ present > 0, f1, np.nan)

    support = present.sum(axis=0).astype(np.int64)
    answers = tuple(row.tobytes() for row in said[:, support > 0])
    return Marks("F1", names, support, len(present), of, answers)


def located_marks(
    truths: Sequence[Truth], predictions: Sequence[sv.Detections], class_names: Sequence[str]
) -> Marks:
    """AP50 of each class.

    Args:
        truths: one a picture.
        predictions: one a picture, all finds whatever their score.
        class_names: the K names.

    Raises:
        ValueError: lists of different length, or unknown class ids.
    """
    names = tuple(class_names)
    outcomes = judge(truths, predictions, class_count=len(names))
    support = np.bincount(outcomes.truth_class_id, minlength=len(names)).astype(np.int64)

    def of(weights: FloatArray) -> FloatArray:
        found = np.full((len(weights), len(names)), np.nan)
        for k in np.flatnonzero(support):
            own, true = outcomes.class_id == k, outcomes.truth_class_id == k
            found[:, k] = average_precision_rounds(
                outcomes.is_true[own],
                outcomes.score[own],
                outcomes.picture[own],
                outcomes.truth_picture[true],
                weights,
            )
        return found

    return Marks("AP50", names, support, outcomes.pictures, of, _finds(outcomes, support))


def _finds(outcomes: Outcomes, support: IntArray) -> tuple[bytes, ...]:
    """The finds of each picture that count, whatever their order: class, score, whether right."""
    own = support[outcomes.class_id] > 0
    finds = np.stack([outcomes.class_id, outcomes.score, outcomes.is_true], axis=1)[own]
    picture = outcomes.picture[own]
    order = np.lexsort([*finds.T, picture])
    starts = np.searchsorted(picture[order], np.arange(1, outcomes.pictures))
    parts = np.split(finds[order], starts)[: outcomes.pictures]
    return tuple(part.tobytes() for part in parts)


def class_mean(figures: FloatArray) -> FloatArray:
    """(R,) mean over the classes that are defined; nan where none is."""
    defined = np.isfinite(figures)
    return ratio(np.where(defined, figures, 0.0).sum(axis=1), defined.sum(axis=1))
