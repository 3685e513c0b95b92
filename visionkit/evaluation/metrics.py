"""How well boxes are found: AP, precision and recall at thresholds, false alarms, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import supervision as sv

from visionkit.evaluation.average_precision import (
    average_precision,
    average_precision_rounds,
    thinned,
)
from visionkit.evaluation.bootstrap import Interval, interval, picture_weights
from visionkit.evaluation.counts import (
    Counts,
    confusion_counts,
    counts_by_picture,
    is_empty,
    ratio,
    ratios,
    share,
)
from visionkit.evaluation.outcomes import (
    IOU_THRESHOLDS,
    OUTCOMES,
    BoolArray,
    FloatArray,
    IntArray,
    Outcomes,
    Truth,
    judge,
)
from visionkit.evaluation.thresholds import (
    Falling,
    Thresholds,
    best_f1,
    chosen_thresholds,
    fall,
    precise_threshold,
)

__all__ = [
    "BoxMetrics",
    "ClassMetrics",
    "Curve",
    "Interval",
    "Outcomes",
    "Truth",
    "evaluate_boxes",
]

_CURVE_POINTS = 200
_FALSE_ALARM_RATE = 0.1  # false finds a picture, for `recall_at_false_alarms`


@dataclass(frozen=True)
class Curve:
    """Precision and recall of one class as its threshold falls; (K,) each, K may be 0."""

    score: FloatArray
    precision: FloatArray
    recall: FloatArray


@dataclass(frozen=True)
class ClassMetrics:
    """How well one class is found; overlap 0.5 unless said otherwise.

    Attributes:
        name: of the class or item.
        truths: true boxes.
        finds: finds at or above `threshold`.
        ap: AP over IoU 0.5 to 0.95; nan without true boxes.
        ap50: AP at IoU 0.5; nan without true boxes.
        threshold: the score threshold that the next five figures stand on.
        true, false, missed: right finds, wrong finds and boxes not found.
        precision: nan where nothing was found.
        recall: nan without true boxes.
        f1: nan where there is neither a find nor a true box.
        false_alarms: finds a picture, on pictures that hold no item at all; nan without such.
        assumed_threshold: the threshold of the best F1 on these pictures; nan if none is right.
        assumed_f1: F1 at that threshold. Chosen on the pictures it is measured on, so flattering.
        precise_threshold: the lowest threshold that reaches `precision_goal`; nan if none does.
        nearest: the other class found most often on this one's boxes, or "".
        nearest_count: how often.
        curve: for drawing, at most 200 points.
    """

    name: str
    truths: int
    finds: int
    ap: float
    ap50: float
    threshold: float
    true: int
    false: int
    missed: int
    precision: float
    recall: float
    f1: float
    false_alarms: float
    assumed_threshold: float
    assumed_f1: float
    precise_threshold: float
    nearest: str
    nearest_count: int
    curve: Curve


@dataclass(frozen=True)
class BoxMetrics:
    """How well boxes are found over all classes.

    Attributes:
        class_names: in the order of the class ids.
        pictures: how many were evaluated.
        empty_pictures: how many of them hold no item at all.
        thresholds_assumed: whether the thresholds were chosen on these pictures, which flatters.
        truths: true boxes in all.
        ap, ap50, ap75: means over the classes that have true boxes.
        ap50_pooled: AP at IoU 0.5 of all finds ranked together, classes still told apart. Lower
            than `ap50` where the scores of two classes do not mean the same.
        recall_any: recall with every find kept, whatever its score.
        recall_at_false_alarms: highest recall at one threshold for all classes with at most 0.1
            false finds a picture, over all pictures.
        precision, recall, f1: over all boxes, each class at its threshold.
        false_alarms: finds a picture on pictures that hold no item, each class at its threshold.
        clean_pictures: share of the pictures without items on which nothing was found.
        intervals: 95 % bootstrap intervals over pictures of the figures named by the keys.
        per_class: in the order of `class_names`.
        confusion: (C + 1, C + 1) int64. Rows are what is there, columns what was found; the last
            row is "none of them", the last column "missed". A box found as two items counts in
            both columns, so a row may sum to more than its true boxes.
        outcome_counts: how many finds at or above their thresholds had each of `OUTCOMES`.
        above: (N,) bool, the finds of `outcomes` at or above the threshold of their class.
        outcomes: every find with what became of it.
    """

    class_names: tuple[str, ...]
    pictures: int
    empty_pictures: int
    thresholds_assumed: bool
    truths: int
    ap: float
    ap50: float
    ap75: float
    ap50_pooled: float
    recall_any: float
    recall_at_false_alarms: float
    precision: float
    recall: float
    f1: float
    false_alarms: float
    clean_pictures: float
    intervals: dict[str, Interval]
    per_class: tuple[ClassMetrics, ...]
    confusion: IntArray
    outcome_counts: dict[str, int]
    above: BoolArray
    outcomes: Outcomes


def evaluate_boxes(
    truths: Sequence[Truth],
    predictions: Sequence[sv.Detections],
    class_names: Sequence[str],
    *,
    thresholds: Thresholds = None,
    precision_goal: float = 0.95,
    bootstrap_rounds: int = 1000,
    seed: int = 0,
) -> BoxMetrics:
    """How well `predictions` find the true boxes, with intervals and each find's outcome.

    AP is that of COCO, except that no find is dropped for being the 101st of its picture, and no
    box is a crowd. Give all finds, also those below the thresholds: the curves need them.

    Args:
        truths: one a picture; `Truth.empty()` for a picture that holds no item.
        predictions: one a picture, with `class_id` and `confidence`.
        class_names: the name of each class id.
        thresholds: by class name, one for all, or None for each class's own best F1, which
            flatters, since it is chosen on the pictures it is measured on.
        precision_goal: what `precise_threshold` of each class must reach, 0..1.
        bootstrap_rounds: how many times the pictures are drawn anew for the intervals.
        seed: of the bootstrap.

    Raises:
        ValueError: lists of different length, unknown class ids, numbers that are not finite, or
            a class without a threshold.
    """
    outcomes = judge(truths, predictions, class_count=len(class_names))
    names = tuple(class_names)
    falling = [_falling(outcomes, class_id) for class_id in range(len(names))]
    chosen = chosen_thresholds(thresholds, names, falling)
    above = outcomes.score >= chosen[outcomes.class_id]
    confusion = confusion_counts(outcomes, above, len(names))
    per_class = tuple(
        _class_metrics(
            outcomes,
            class_id,
            names,
            falling=falling[class_id],
            threshold=float(chosen[class_id]),
            confusion=confusion,
            precision_goal=precision_goal,
        )
        for class_id in range(len(names))
    )
    kept = outcomes.kind[above]
    counts = counts_by_picture(outcomes, above)
    weights = picture_weights(outcomes.pictures, rounds=bootstrap_rounds, seed=seed)
    headline = {
        name: float(figure[0])
        for name, figure in ratios(counts, np.ones((1, outcomes.pictures))).items()
    }
    return BoxMetrics(
        class_names=names,
        pictures=outcomes.pictures,
        empty_pictures=int(counts.empty.sum()),
        thresholds_assumed=thresholds is None,
        truths=len(outcomes.truth_class_id),
        ap=_mean([one.ap for one in per_class]),
        ap50=_mean([one.ap50 for one in per_class]),
        ap75=_mean(_ap_by_class(outcomes, len(names), IOU_THRESHOLDS.index(0.75))),
        ap50_pooled=average_precision(
            outcomes.is_true, outcomes.score, len(outcomes.truth_class_id)
        ),
        recall_any=share(int(outcomes.is_true.sum()), len(outcomes.truth_class_id)),
        recall_at_false_alarms=_recall_at_false_alarms(outcomes),
        precision=headline["precision"],
        recall=headline["recall"],
        f1=headline["f1"],
        false_alarms=headline["false_alarms"],
        clean_pictures=headline["clean_pictures"],
        intervals=_intervals(
            {**_ap50_rounds(outcomes, weights, len(names)), **ratios(counts, weights)}, counts
        ),
        per_class=per_class,
        confusion=confusion,
        outcome_counts={name: int((kept == kind).sum()) for kind, name in enumerate(OUTCOMES)},
        above=above,
        outcomes=outcomes,
    )


def _falling(outcomes: Outcomes, class_id: int) -> Falling:
    own = outcomes.class_id == class_id
    truths = int((outcomes.truth_class_id == class_id).sum())
    return fall(outcomes.is_true[own], outcomes.score[own], truths)


def _class_metrics(
    outcomes: Outcomes,
    class_id: int,
    class_names: Sequence[str],
    *,
    falling: Falling,
    threshold: float,
    confusion: IntArray,
    precision_goal: float,
) -> ClassMetrics:
    own = outcomes.class_id == class_id
    passing = own & (outcomes.score >= threshold)
    finds, true = int(passing.sum()), int(outcomes.is_true[passing].sum())
    truths = falling.truths
    aps = [average_precision(row[own], outcomes.score[own], truths) for row in outcomes.matched]
    precision = falling.right / np.maximum(falling.found, 1)
    assumed_threshold, assumed_f1 = best_f1(falling)
    empty = is_empty(outcomes)
    others = np.delete(confusion[class_id, :-1], class_id)
    nearest = int(others.argmax()) if others.any() else -1
    shown = thinned(len(falling.score), _CURVE_POINTS)
    return ClassMetrics(
        name=class_names[class_id],
        truths=truths,
        finds=finds,
        ap=float(np.mean(aps)),
        ap50=aps[0],
        threshold=threshold,
        true=true,
        false=finds - true,
        missed=truths - true,
        precision=share(true, finds),
        recall=share(true, truths),
        f1=share(2 * true, finds + truths),
        false_alarms=share(int(empty[outcomes.picture[passing]].sum()), int(empty.sum())),
        assumed_threshold=assumed_threshold,
        assumed_f1=assumed_f1,
        precise_threshold=precise_threshold(falling, precision_goal)[0],
        nearest=np.delete(class_names, class_id)[nearest].item() if nearest >= 0 else "",
        nearest_count=int(others[nearest]) if nearest >= 0 else 0,
        curve=Curve(
            score=falling.score[shown],
            precision=precision[shown],
            recall=falling.right[shown] / max(truths, 1),
        ),
    )


def _ap_by_class(outcomes: Outcomes, class_count: int, level: int) -> list[float]:
    """AP of each class at one of `IOU_THRESHOLDS`; nan without true boxes."""
    own = [outcomes.class_id == class_id for class_id in range(class_count)]
    truths = np.bincount(outcomes.truth_class_id, minlength=class_count)
    return [
        average_precision(outcomes.matched[level][mine], outcomes.score[mine], int(count))
        for mine, count in zip(own, truths, strict=True)
    ]


def _ap50_rounds(
    outcomes: Outcomes, weights: FloatArray, class_count: int
) -> dict[str, FloatArray]:
    """AP50 in each round: mean over the classes that have true boxes in it, and pooled."""

    def rounds(own: BoolArray, true_boxes: BoolArray) -> FloatArray:
        return average_precision_rounds(
            outcomes.is_true[own],
            outcomes.score[own],
            outcomes.picture[own],
            outcomes.truth_picture[true_boxes],
            weights,
        )

    by_class = [
        rounds(outcomes.class_id == class_id, outcomes.truth_class_id == class_id)
        for class_id in np.unique(outcomes.truth_class_id)
    ]
    stacked = np.stack(by_class) if by_class else np.full((1, len(weights)), np.nan)
    defined = np.isfinite(stacked)
    total = np.where(defined, stacked, 0.0).sum(axis=0)
    everything = np.ones(len(outcomes.score), bool), np.ones(len(outcomes.truth_picture), bool)
    return {"ap50": ratio(total, defined.sum(axis=0)), "ap50_pooled": rounds(*everything)}


def _intervals(rounds: dict[str, FloatArray], counts: Counts) -> dict[str, Interval]:
    """The interval of each figure; `rounds` holds its values, (rounds,) each."""
    empty, finds = int(counts.empty.sum()), int((counts.finds > 0).sum())
    pictures = {"precision": finds, "false_alarms": empty, "clean_pictures": empty}
    with_items = len(counts.empty) - empty
    return {
        name: interval(
            figures, pictures=pictures.get(name, with_items), rate=name == "false_alarms"
        )
        for name, figures in rounds.items()
    }


def _recall_at_false_alarms(outcomes: Outcomes) -> float:
    truths = len(outcomes.truth_class_id)
    if truths == 0:
        return float("nan")
    falling = fall(outcomes.is_true, outcomes.score, truths)
    allowed = (falling.found - falling.right) <= _FALSE_ALARM_RATE * outcomes.pictures
    return float(falling.right[allowed].max(initial=0) / truths)


def _mean(figures: Sequence[float]) -> float:
    """Mean of the figures that are defined; nan where none is."""
    defined = [figure for figure in figures if np.isfinite(figure)]
    return float(np.mean(defined)) if defined else float("nan")
