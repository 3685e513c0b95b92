"""Counts of finds at their thresholds: by picture, by kind and between classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visionkit.evaluation.outcomes import OUTCOMES, BoolArray, FloatArray, IntArray, Outcomes


@dataclass(frozen=True)
class Counts:
    """Counts at the thresholds, (pictures,) each."""

    true: FloatArray
    finds: FloatArray
    truths: FloatArray
    empty: BoolArray


def counts_by_picture(outcomes: Outcomes, above: BoolArray) -> Counts:
    """The counts of each picture; `above` is (N,) bool, the finds at or above their threshold."""

    def count(pictures: IntArray) -> FloatArray:
        return np.bincount(pictures, minlength=outcomes.pictures).astype(np.float64)

    return Counts(
        true=count(outcomes.picture[above & outcomes.is_true]),
        finds=count(outcomes.picture[above]),
        truths=count(outcomes.truth_picture),
        empty=is_empty(outcomes),
    )


def ratios(counts: Counts, weights: FloatArray) -> dict[str, FloatArray]:
    """The figures at the thresholds in each round, (rounds,) each; weights (rounds, pictures)."""
    true, finds, truths = weights @ counts.true, weights @ counts.finds, weights @ counts.truths
    empty = weights @ counts.empty
    return {
        "precision": ratio(true, finds),
        "recall": ratio(true, truths),
        "f1": ratio(2 * true, finds + truths),
        "false_alarms": ratio(weights @ (counts.finds * counts.empty), empty),
        "clean_pictures": ratio(weights @ ((counts.finds == 0) & counts.empty), empty),
    }


def confusion_counts(outcomes: Outcomes, above: BoolArray, class_count: int) -> IntArray:
    """(C + 1, C + 1) what is there against what was found, at the thresholds."""
    none = missed = class_count
    confusion = np.zeros((class_count + 1, class_count + 1), dtype=np.int64)
    kind, found_as = outcomes.kind[above], outcomes.class_id[above]
    on_item = (kind == OUTCOMES.index("true")) | (kind == OUTCOMES.index("wrong item"))
    stands_on = outcomes.truth[above][on_item]
    np.add.at(confusion, (outcomes.truth_class_id[stands_on], found_as[on_item]), 1)
    confusion[none, :-1] = np.bincount(found_as[~on_item], minlength=class_count)
    find = outcomes.truth_find
    found = find >= 0
    found[found] = above[find[found]]
    confusion[:-1, missed] = np.bincount(outcomes.truth_class_id[~found], minlength=class_count)
    return confusion


def is_empty(outcomes: Outcomes) -> BoolArray:
    """(pictures,) whether a picture holds no item at all."""
    empty: BoolArray = np.bincount(outcomes.truth_picture, minlength=outcomes.pictures) == 0
    return empty


def share(part: int, whole: int) -> float:
    """`part / whole`; nan where there is no whole."""
    return part / whole if whole else float("nan")


def ratio(part: FloatArray, whole: FloatArray | IntArray) -> FloatArray:
    """Elementwise `part / whole`; nan where there is no whole."""
    divided: FloatArray = np.divide(
        part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0
    )
    return divided
