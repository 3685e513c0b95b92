"""How well it is told which items a picture shows, "none of them" included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import supervision as sv

from visionkit.evaluation.bootstrap import Interval, interval, picture_weights
from visionkit.evaluation.counts import ratio, share
from visionkit.evaluation.outcomes import BoolArray, FloatArray, Truth
from visionkit.evaluation.thresholds import Thresholds, chosen_thresholds, fall


@dataclass(frozen=True)
class PresenceClass:
    """How well one item is told to be in a picture or not.

    Attributes:
        name: of the item.
        pictures: how many show it.
        threshold: the score threshold that the next figures stand on.
        true: pictures that show the item and were said to.
        false: pictures that were said to show it and do not.
        missed: pictures that show it and were not said to.
        precision: nan where it was never said to be there.
        recall: nan where no picture shows it.
        f1: nan where it is neither there nor said to be.
        auc: chance that a picture with the item scores higher than one without, ties as a half;
            nan where one of the two kinds is missing.
    """

    name: str
    pictures: int
    threshold: float
    true: int
    false: int
    missed: int
    precision: float
    recall: float
    f1: float
    auc: float


@dataclass(frozen=True)
class PresenceMetrics:
    """How well it is told which items a picture shows.

    Attributes:
        class_names: in the order of the columns.
        pictures: how many were judged.
        none_pictures: how many of them show no item.
        precision: over all pairs of picture and item, each item at its threshold.
        recall: the same.
        f1: the same.
        f1_mean: mean F1 over the items that some picture shows.
        auc: mean over the items for which it is defined.
        none_accuracy: share of the pictures without items in which none was found.
        answer_accuracy: share of the pictures whose one answer, the best item at or above its
            threshold or else "none", is right.
        intervals: 95 % bootstrap intervals over pictures of the figures named by the keys.
        per_class: in the order of `class_names`.
    """

    class_names: tuple[str, ...]
    pictures: int
    none_pictures: int
    precision: float
    recall: float
    f1: float
    f1_mean: float
    auc: float
    none_accuracy: float
    answer_accuracy: float
    intervals: dict[str, Interval]
    per_class: tuple[PresenceClass, ...]


def presence_of(
    truths: Sequence[Truth], predictions: Sequence[sv.Detections], *, class_count: int
) -> tuple[BoolArray, FloatArray]:
    """Which items each picture shows, and the best score of each item in it.

    Returns:
        present: (pictures, C) bool; scores: (pictures, C) float64, -inf where there is no find.
    """
    present = np.zeros((len(truths), class_count), dtype=bool)
    scores = np.full((len(predictions), class_count), -np.inf)
    for picture, truth in enumerate(truths):
        present[picture, truth.class_ids] = True
    for picture, found in enumerate(predictions):
        if found.class_id is not None and found.confidence is not None:
            np.maximum.at(scores[picture], found.class_id, found.confidence.astype(np.float64))
    return present, scores


def presence_metrics(
    present: BoolArray,
    scores: FloatArray,
    class_names: Sequence[str],
    *,
    thresholds: Thresholds = None,
    bootstrap_rounds: int = 1000,
    seed: int = 0,
) -> PresenceMetrics:
    """How well `scores` tell which items the pictures show, with intervals.

    Args:
        present: (pictures, C) whether picture p shows item c.
        scores: (pictures, C) best score of item c in picture p, -inf where nothing was found.
        class_names: the C names.
        thresholds: by item name, one for all, or None for each item's own best F1, which
            flatters, since it is chosen on the pictures it is measured on.
        bootstrap_rounds: how many times the pictures are drawn anew for the intervals.
        seed: of the bootstrap.

    Raises:
        ValueError: shapes that do not match, scores that are nan, or an item without a threshold.
    """
    names = tuple(class_names)
    _check(present, scores, len(names))
    falling = [
        fall(present[said, c], scores[said, c], int(present[:, c].sum()))
        for c, said in enumerate(np.isfinite(scores).T)
    ]
    chosen = chosen_thresholds(thresholds, names, falling)
    said = np.isfinite(scores) & (scores >= chosen)
    per_class = tuple(
        _presence_class(name, present[:, c], scores[:, c], said[:, c], float(chosen[c]))
        for c, name in enumerate(names)
    )
    answered = _answer_is_right(present, np.where(said, scores, -np.inf))
    once = _figures(present, said, answered, np.ones((1, len(present))))
    weights = picture_weights(len(present), rounds=bootstrap_rounds, seed=seed)
    rounds = _figures(present, said, answered, weights)
    none = int((~present.any(axis=1)).sum())
    aucs = [one.auc for one in per_class if np.isfinite(one.auc)]
    return PresenceMetrics(
        class_names=names,
        pictures=len(present),
        none_pictures=none,
        precision=float(once["precision"][0]),
        recall=float(once["recall"][0]),
        f1=float(once["f1"][0]),
        f1_mean=float(once["f1_mean"][0]),
        auc=float(np.mean(aucs)) if aucs else float("nan"),
        none_accuracy=float(once["none_accuracy"][0]),
        answer_accuracy=float(once["answer_accuracy"][0]),
        intervals={
            name: interval(figures, pictures=none if name == "none_accuracy" else len(present))
            for name, figures in rounds.items()
        },
        per_class=per_class,
    )


def _check(present: BoolArray, scores: FloatArray, class_count: int) -> None:
    if present.ndim != 2 or present.shape != scores.shape or present.shape[1] != class_count:
        raise ValueError(
            f"present and scores must both be (pictures, {class_count}), got {present.shape} and "
            f"{scores.shape}; make both with presence_of, for the same class names."
        )
    if np.isnan(scores).any():
        picture, item = np.argwhere(np.isnan(scores))[0]
        raise ValueError(
            f"scores must be numbers, got nan [picture {picture}, class {item}]; "
            "use -inf where nothing was found."
        )


def _presence_class(
    name: str, present: BoolArray, score: FloatArray, said: BoolArray, threshold: float
) -> PresenceClass:
    shown, claimed, true = int(present.sum()), int(said.sum()), int((present & said).sum())
    return PresenceClass(
        name=name,
        pictures=shown,
        threshold=threshold,
        true=true,
        false=claimed - true,
        missed=shown - true,
        precision=share(true, claimed),
        recall=share(true, shown),
        f1=share(2 * true, shown + claimed),
        auc=_auc(score[present], score[~present]),
    )


def _auc(with_item: FloatArray, without: FloatArray) -> float:
    """Area under the ROC curve by counting pairs (Mann and Whitney, 1947)."""
    if len(with_item) == 0 or len(without) == 0:
        return float("nan")
    ranked = np.sort(without)
    lower = np.searchsorted(ranked, with_item, side="left")
    not_higher = np.searchsorted(ranked, with_item, side="right")
    return float((lower + not_higher).mean() / (2 * len(without)))


def _answer_is_right(present: BoolArray, scores: FloatArray) -> BoolArray:
    """(pictures,) whether the best item, or "none" where every score is -inf, is right."""
    if present.shape[1] == 0:
        return np.ones(len(present), dtype=bool)
    best = scores.argmax(axis=1)
    says_none = np.isneginf(scores.max(axis=1))
    best_is_there = present[np.arange(len(present)), best]
    right: BoolArray = np.where(says_none, ~present.any(axis=1), best_is_there)
    return right


def _figures(
    present: BoolArray, said: BoolArray, answered: BoolArray, weights: FloatArray
) -> dict[str, FloatArray]:
    """Each figure in each round, (rounds,); weights (rounds, pictures)."""
    true, claimed, shown = weights @ (present & said), weights @ said, weights @ present
    f1 = ratio(2 * true, claimed + shown)  # (rounds, C)
    counted = shown > 0
    none = ~present.any(axis=1)
    pairs = true.sum(axis=1), claimed.sum(axis=1), shown.sum(axis=1)
    return {
        "precision": ratio(pairs[0], pairs[1]),
        "recall": ratio(pairs[0], pairs[2]),
        "f1": ratio(2 * pairs[0], pairs[1] + pairs[2]),
        "f1_mean": ratio(np.where(counted, f1, 0.0).sum(axis=1), counted.sum(axis=1)),
        "none_accuracy": ratio(weights @ (none & ~said.any(axis=1)), weights @ none),
        "answer_accuracy": ratio(weights @ answered, weights.sum(axis=1)),
    }
