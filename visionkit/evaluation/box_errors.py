"""What kinds of error finds make, and what AP50 would be without each.

As in Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020,
sections 2.2 and 2.3. Where a find could be of two kinds, the order is that of
`visionkit.evaluation.outcomes`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import supervision as sv

from visionkit.evaluation.average_precision import average_precision
from visionkit.evaluation.outcomes import (
    MISPLACED_IOU,
    OUTCOMES,
    BoolArray,
    IntArray,
    Outcomes,
)

ERRORS = ("class", "place", "both", "copy", "background", "missed")
"""A find on a box of another class; on the right one with too little overlap; on another class with
too little overlap; of a box already found; on nothing; and a box that no find is on."""
_ONE_ERROR = {"wrong item": "class", "misplaced": "place", "duplicate": "copy"}


@dataclass(frozen=True)
class ErrorKind:
    """One kind of error.

    Attributes:
        name: one of `ERRORS`.
        count: finds at or above their thresholds, or boxes missed at them.
        share: of all errors counted so, 0..1; nan where there are none.
        ap50_without: mean AP50, over all finds whatever their score, if there were no such errors:
            those of class and place put right, or left out where their box is found anyway; those
            of both, copy and background left out; missed boxes not there.
        gain: `ap50_without` less AP50.
    """

    name: str
    count: int
    share: float
    ap50_without: float
    gain: float


def error_kinds(outcomes: Outcomes, above: BoolArray, class_count: int) -> tuple[ErrorKind, ...]:
    """Every kind of error, in the order of `ERRORS`.

    Args:
        outcomes: of every find.
        above: (N,) bool, the finds at or above the threshold of their class.
        class_count: how many classes there are.
    """
    kinds = _kind_of_finds(outcomes)
    counts = {name: int((above & (kinds == name)).sum()) for name in ERRORS[:-1]}
    counts["missed"] = int(_missed(outcomes, kinds, above).sum())
    total = sum(counts.values())
    ap50 = _mean_ap50(outcomes, _Changed.nothing(outcomes), class_count)
    without = {
        name: _mean_ap50(outcomes, _without(outcomes, kinds, name), class_count) for name in ERRORS
    }
    return tuple(
        ErrorKind(
            name=name,
            count=counts[name],
            share=counts[name] / total if total else float("nan"),
            ap50_without=without[name],
            gain=without[name] - ap50,
        )
        for name in ERRORS
    )


@dataclass(frozen=True)
class _Changed:
    """Finds and true boxes as they would be without an error.

    Attributes:
        counted: (N,) whether the find is there.
        right: (N,) whether it is right.
        class_id: (N,) its class.
        truths: (M,) whether the true box is there.
    """

    counted: BoolArray
    right: BoolArray
    class_id: IntArray
    truths: BoolArray

    @classmethod
    def nothing(cls, outcomes: Outcomes) -> _Changed:
        """As they are."""
        everything = np.ones(len(outcomes.score), bool)
        truths = np.ones(len(outcomes.truth_find), bool)
        return cls(everything, outcomes.is_true.copy(), outcomes.class_id.copy(), truths)


def _kind_of_finds(outcomes: Outcomes) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """(N,) the word of `ERRORS` for each find, "" for a right one."""
    words = ["" if name == "true" else _ONE_ERROR.get(name, name) for name in OUTCOMES]
    kinds = np.array(words)[outcomes.kind]
    for find in np.flatnonzero(kinds == "background"):
        boxes = outcomes.truth_box[outcomes.truth_picture == outcomes.picture[find]]
        overlap = sv.box_iou_batch(outcomes.box[find : find + 1], boxes)
        if overlap.size and overlap.max() >= MISPLACED_IOU:
            kinds[find] = "both"  # on its own class it would be misplaced
    return kinds


def _missed(
    outcomes: Outcomes, kinds: np.ndarray[tuple[int], np.dtype[np.str_]], above: BoolArray
) -> BoolArray:
    """(M,) the true boxes that no such find is right about, or stands on as another error."""
    missed = np.ones(len(outcomes.truth_find), bool)
    on_it = above & (outcomes.is_true | (kinds == "class") | (kinds == "place"))
    missed[outcomes.truth[on_it]] = False
    return missed


def _without(
    outcomes: Outcomes, kinds: np.ndarray[tuple[int], np.dtype[np.str_]], name: str
) -> _Changed:
    changed = _Changed.nothing(outcomes)
    if name == "missed":
        everything = np.ones(len(outcomes.score), bool)
        return _Changed(
            changed.counted, changed.right, changed.class_id, ~_missed(outcomes, kinds, everything)
        )
    found = outcomes.truth_find >= 0
    for find in np.argsort(-outcomes.score, kind="stable"):
        if kinds[find] != name:
            continue
        box = outcomes.truth[find]
        if name in ("class", "place") and not found[box]:
            found[box] = changed.right[find] = True
            changed.class_id[find] = outcomes.truth_class_id[box]
        else:
            changed.counted[find] = False
    return changed


def _mean_ap50(outcomes: Outcomes, changed: _Changed, class_count: int) -> float:
    """Mean over the classes that have true boxes; nan where none has."""
    figures = []
    for class_id in range(class_count):
        own = changed.counted & (changed.class_id == class_id)
        truths = int((changed.truths & (outcomes.truth_class_id == class_id)).sum())
        figures.append(average_precision(changed.right[own], outcomes.score[own], truths))
    defined = [figure for figure in figures if np.isfinite(figure)]
    return float(np.mean(defined)) if defined else float("nan")
