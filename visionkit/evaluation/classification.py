"""How well pictures are named: accuracy, precision and recall a class, confusion, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visionkit.evaluation.bootstrap import Interval, interval, picture_weights
from visionkit.evaluation.calibration_error import Reliability, picture_surprise, reliability
from visionkit.evaluation.counts import ratio, share
from visionkit.evaluation.outcomes import BoolArray, FloatArray, IntArray
from visionkit.evaluation.thresholds import (
    Falling,
    Thresholds,
    best_f1,
    chosen_thresholds,
    fall,
    precise_threshold,
)

__all__ = ["ClassFigures", "ClassificationMetrics", "NamedPictures", "evaluate_classes"]

_TOP = 5


@dataclass(frozen=True)
class NamedPictures:
    """What every picture shows and what was said of it; N pictures, K classes.

    Attributes:
        present: (N, K) bool, the true classes.
        scores: (N, K) float64, the probabilities 0..1.
        said: (N, K) bool, the classes that were named.
    """

    present: BoolArray
    scores: FloatArray
    said: BoolArray

    @property
    def right(self) -> BoolArray:
        """(N,) whether exactly the true classes of a picture were named."""
        equal: BoolArray = (self.present == self.said).all(axis=1)
        return equal


@dataclass(frozen=True)
class ClassFigures:
    """How well one class is named.

    Attributes:
        name: of the class.
        support: pictures that show it.
        said: pictures that were named so.
        true: pictures rightly named so.
        precision: nan where nothing was named so.
        recall: nan without pictures that show it.
        f1: nan where it is neither shown nor named.
        ap: mean precision over the pictures that show it, ranked by its score; nan without such.
        threshold: that the figures above stand on; nan where the best class was named, whatever
            its score.
        assumed_threshold: the threshold of the best F1 of this class alone; nan if none is right.
        assumed_f1: F1 at that threshold. Chosen on the pictures it is measured on, so flattering.
        precise_threshold: the lowest threshold that reaches `precision_goal`; nan if none does.
        precise_recall: recall at that threshold; nan if there is none.
        nearest: the other class that its pictures are most often named, or "".
        nearest_count: how often.
    """

    name: str
    support: int
    said: int
    true: int
    precision: float
    recall: float
    f1: float
    ap: float
    threshold: float
    assumed_threshold: float
    assumed_f1: float
    precise_threshold: float
    precise_recall: float
    nearest: str
    nearest_count: int


@dataclass(frozen=True)
class ClassificationMetrics:
    """How well pictures are named over all classes.

    Attributes:
        class_names: in the order of the class ids.
        pictures: how many were judged.
        multi_label: whether a picture may show several classes, or none.
        thresholds_assumed: whether thresholds were chosen on these pictures, which flatters.
        accuracy: share of the pictures of which exactly the true classes were named.
        top5: share of the pictures whose class is among the five best; nan if `multi_label`.
        precision, recall, f1: over all pairs of picture and class.
        macro_f1: mean F1 of the classes that some picture shows.
        mean_ap: mean of `ClassFigures.ap` over the classes that some picture shows.
        calibration_error: mean distance of confidence and share of right answers (ECE).
        nll: mean negative log likelihood of the truth.
        precision_goal: that `precise_threshold` of each class must reach.
        intervals: 95 % bootstrap intervals over pictures of the figures named by the keys.
        per_class: in the order of `class_names`.
        confusion: (K, K + 1) int64: rows are what is there, columns what was named, the last
            column is "none of them"; None if `multi_label`.
        reliability: answers by their confidence: of the best class, or if `multi_label` of each.
        outcomes: what every picture shows and was named.
    """

    class_names: tuple[str, ...]
    pictures: int
    multi_label: bool
    thresholds_assumed: bool
    accuracy: float
    top5: float
    precision: float
    recall: float
    f1: float
    macro_f1: float
    mean_ap: float
    calibration_error: float
    nll: float
    precision_goal: float
    intervals: dict[str, Interval]
    per_class: tuple[ClassFigures, ...]
    confusion: IntArray | None
    reliability: Reliability
    outcomes: NamedPictures


def evaluate_classes(
    truths: IntArray | BoolArray,
    scores: FloatArray,
    class_names: Sequence[str],
    *,
    thresholds: Thresholds = None,
    precision_goal: float = 0.95,
    bootstrap_rounds: int = 1000,
    seed: int = 0,
) -> ClassificationMetrics:
    """How well `scores` tell what the pictures show, with intervals.

    Args:
        truths: (N,) int64 class of each picture, or (N, K) bool where a picture may show several
            classes or none.
        scores: (N, K) floating point, the probability 0..1 of each class.
        class_names: the K names.
        thresholds: by class name, or one for all: what stays below is not named. None names the
            best class of each picture, or where there may be several those above their own best
            F1, which flatters, since it is chosen on the pictures it is measured on.
        precision_goal: what `precise_threshold` of each class must reach, 0..1.
        bootstrap_rounds: how many times the pictures are drawn anew for the intervals.
        seed: of the bootstrap.

    Raises:
        ValueError: shapes that don't agree, classes that there are not, scores outside of 0..1,
            or a class without a threshold.
    """
    names = tuple(class_names)
    multi_label = np.ndim(truths) == 2
    present = _present(truths, len(names))
    scores = _checked(np.asarray(scores, np.float64), present)
    falling = [
        fall(present[:, k], scores[:, k], int(present[:, k].sum())) for k in range(len(names))
    ]
    by_best = thresholds is None and not multi_label
    chosen = np.full(len(names), -np.inf)
    if not by_best:
        chosen = chosen_thresholds(thresholds, names, falling)
    named = NamedPictures(present, scores, _said(scores, chosen, multi_label=multi_label))
    confusion = None if multi_label else _confusion(named)
    surprise = picture_surprise(present, scores, multi_label=multi_label)
    counted = _reliability(named, multi_label=multi_label)
    once = _rounds(named, surprise, np.ones((1, len(present))), multi_label=multi_label)
    weights = picture_weights(len(present), rounds=bootstrap_rounds, seed=seed)
    rounds = _rounds(named, surprise, weights, multi_label=multi_label)
    return ClassificationMetrics(
        class_names=names,
        pictures=len(present),
        multi_label=multi_label,
        thresholds_assumed=multi_label and thresholds is None,
        **{name: float(figure[0]) for name, figure in once.items()},
        calibration_error=counted.error,
        precision_goal=precision_goal,
        intervals={
            name: interval(figures, pictures=len(present), rate=name == "nll")
            for name, figures in rounds.items()
        },
        per_class=tuple(
            _figures_of(
                named, k, names, falling[k], float("nan") if by_best else float(chosen[k]),
                confusion, precision_goal,
            )
            for k in range(len(names))
        ),
        confusion=confusion,
        reliability=counted,
        outcomes=named,
    )  # fmt: skip


def _present(truths: IntArray | BoolArray, classes: int) -> BoolArray:
    """(N, K) bool of either form of the truth."""
    if truths.ndim == 2 and truths.dtype == np.bool_ and truths.shape[1] == classes:
        return truths.astype(np.bool_)
    if truths.ndim != 1 or not np.issubdtype(truths.dtype, np.integer):
        raise ValueError(
            f"truths must be (N,) int64 or (N, {classes}) bool, got {truths.shape} {truths.dtype}"
        )
    wrong = np.flatnonzero((truths < 0) | (truths >= classes))
    if len(wrong):
        raise ValueError(
            f"truths must be classes of 0..{classes - 1}, got {truths[wrong[0]]} "
            f"[picture {wrong[0]}]; leave pictures of other classes out"
        )
    present: BoolArray = truths[:, None] == np.arange(classes)
    return present


def _checked(scores: FloatArray, present: BoolArray) -> FloatArray:
    if scores.shape != present.shape:
        raise ValueError(
            f"scores must be {present.shape}, one of each class for each picture, "
            f"got {scores.shape}"
        )
    wrong = np.argwhere(~((scores >= 0) & (scores <= 1)))
    if len(wrong):
        picture, k = wrong[0]
        raise ValueError(
            f"scores must be probabilities 0..1, got {scores[picture, k]} "
            f"[picture {picture}, class {k}]"
        )
    return scores


def _said(scores: FloatArray, chosen: FloatArray, *, multi_label: bool) -> BoolArray:
    """(N, K) the classes that are named: all, or the best one, that reach their threshold."""
    above: BoolArray = scores >= chosen
    if multi_label or not scores.shape[1]:
        return above
    best: BoolArray = scores.argmax(axis=1)[:, None] == np.arange(scores.shape[1])
    return above & best


def _confusion(named: NamedPictures) -> IntArray:
    """(K, K + 1) truths against answers, the last of which is "none of them"."""
    none = ~named.said.any(axis=1, keepdims=True)
    answers = np.concatenate([named.said, none], axis=1)
    return named.present.T.astype(np.int64) @ answers.astype(np.int64)


def _reliability(named: NamedPictures, *, multi_label: bool) -> Reliability:
    if multi_label or not named.scores.shape[1]:
        return reliability(named.scores.ravel(), named.present.ravel())
    best = named.scores.argmax(axis=1)
    rows = np.arange(len(best))
    return reliability(named.scores[rows, best], named.present[rows, best])


def _rounds(
    named: NamedPictures, surprise: FloatArray, weights: FloatArray, *, multi_label: bool
) -> dict[str, FloatArray]:
    """Each figure in each round, (rounds,); weights (rounds, N)."""
    present, said = named.present, named.said
    true, claimed, shown = weights @ (present & said), weights @ said, weights @ present
    f1 = ratio(2 * true, claimed + shown)  # (rounds, K)
    counted = shown > 0
    total = weights.sum(axis=1)
    all_true, all_claimed, all_shown = true.sum(axis=1), claimed.sum(axis=1), shown.sum(axis=1)
    top5 = np.full(len(weights), np.nan)
    if not multi_label:
        top5 = ratio(weights @ _among_best(named, _TOP), total)
    return {
        "accuracy": ratio(weights @ named.right, total),
        "top5": top5,
        "precision": ratio(all_true, all_claimed),
        "recall": ratio(all_true, all_shown),
        "f1": ratio(2 * all_true, all_claimed + all_shown),
        "macro_f1": ratio(np.where(counted, f1, 0.0).sum(axis=1), counted.sum(axis=1)),
        "mean_ap": _mean_ap(named, weights),
        "nll": ratio(weights @ surprise, total),
    }


def _among_best(named: NamedPictures, count: int) -> BoolArray:
    """(N,) whether fewer than `count` other classes score higher than the true one."""
    own = np.where(named.present, named.scores, 0.0).sum(axis=1, keepdims=True)
    found: BoolArray = ((named.scores > own) & ~named.present).sum(axis=1) < count
    return found


def _mean_ap(named: NamedPictures, weights: FloatArray) -> FloatArray:
    """(rounds,) mean over the classes that are shown of their average precision."""
    total, counted = np.zeros(len(weights)), np.zeros(len(weights))
    for k in np.flatnonzero(named.present.any(axis=0)):
        figure = _average_precision(named.present[:, k], named.scores[:, k], weights)
        total += np.where(np.isfinite(figure), figure, 0.0)
        counted += np.isfinite(figure)
    return ratio(total, counted)


def _average_precision(present: BoolArray, score: FloatArray, weights: FloatArray) -> FloatArray:
    """(rounds,) mean over the pictures that show a class of the precision down to their score.

    Pictures of one score are counted together: no threshold parts them. Not interpolated, unlike
    COCO's.
    """
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.searchsorted(-ranked, -ranked, side="right") - 1  # of those of the same score
    shown = np.flatnonzero(present[order])
    drawn = weights[:, order]
    right = np.cumsum(drawn * present[order], axis=1)[:, last[shown]]
    found = np.cumsum(drawn, axis=1)[:, last[shown]]
    weight = drawn[:, shown]
    return ratio((weight * ratio(right, np.maximum(found, 1e-12))).sum(axis=1), weight.sum(axis=1))


def _figures_of(
    named: NamedPictures,
    k: int,
    names: Sequence[str],
    falling: Falling,
    threshold: float,
    confusion: IntArray | None,
    precision_goal: float,
) -> ClassFigures:
    present, said = named.present[:, k], named.said[:, k]
    support, claimed, true = int(present.sum()), int(said.sum()), int((present & said).sum())
    assumed_threshold, assumed_f1 = best_f1(falling)
    precise, precise_recall = precise_threshold(falling, precision_goal)
    once = np.ones((1, len(present)))
    others = np.zeros(len(names), np.int64) if confusion is None else confusion[k, :-1].copy()
    others[k] = 0
    nearest = int(others.argmax()) if others.any() else -1
    return ClassFigures(
        name=names[k],
        support=support,
        said=claimed,
        true=true,
        precision=share(true, claimed),
        recall=share(true, support),
        f1=share(2 * true, claimed + support),
        ap=float(_average_precision(present, named.scores[:, k], once)[0]),
        threshold=threshold,
        assumed_threshold=assumed_threshold,
        assumed_f1=assumed_f1,
        precise_threshold=precise,
        precise_recall=precise_recall,
        nearest=names[nearest] if nearest >= 0 else "",
        nearest_count=int(others[nearest]) if nearest >= 0 else 0,
    )
