"""Score thresholds: the ones given, or each class's own best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from visionkit.evaluation.outcomes import BoolArray, FloatArray, IntArray

Thresholds = Mapping[str, float] | float | None
"""A score threshold per class name, one for all, or None: the best F1 of each class."""


@dataclass(frozen=True)
class Falling:
    """One class as its threshold falls over its K distinct scores; K may be 0.

    Attributes:
        truths: how many there are to be found.
        score: (K,) from high to low.
        found: (K,) finds of that score or higher.
        right: (K,) right ones among them.
    """

    truths: int
    score: FloatArray
    found: IntArray
    right: IntArray


def fall(right: BoolArray, score: FloatArray, truths: int) -> Falling:
    """Finds counted down to each distinct score: no threshold can part finds of one score.

    Args:
        right: (N,) whether each find is right.
        score: (N,)
        truths: how many there are to be found.
    """
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else order
    counted = np.cumsum(right[order])[last].astype(np.int64)
    return Falling(truths, ranked[last], last + 1, counted)


def best_f1(falling: Falling) -> tuple[float, float]:
    """Threshold and F1 of the best F1; nan where no find is right."""
    f1 = 2 * falling.right / np.maximum(falling.found + falling.truths, 1)
    if len(f1) == 0 or f1.max() == 0:
        return float("nan"), float("nan")
    best = int(f1.argmax())
    return float(falling.score[best]), float(f1[best])


def precise_threshold(falling: Falling, goal: float) -> tuple[float, float]:
    """The lowest threshold of a precision of at least `goal`, and its recall; nan if none has it.

    Args:
        falling: of the class.
        goal: precision, 0..1.
    """
    precision = falling.right / np.maximum(falling.found, 1)
    precise = np.flatnonzero((precision >= goal) & (falling.right > 0))
    if not len(precise):
        return float("nan"), float("nan")
    lowest = int(precise[-1])
    return float(falling.score[lowest]), float(falling.right[lowest] / max(falling.truths, 1))


def chosen_thresholds(
    thresholds: Thresholds, class_names: Sequence[str], falling: Sequence[Falling]
) -> FloatArray:
    """(C,) the threshold of each class; inf where none would let a right find through.

    Raises:
        ValueError: a class is not named in a mapping, or a threshold is nan.
    """
    if isinstance(thresholds, Mapping):
        without = [name for name in class_names if name not in thresholds]
        if without:
            raise ValueError(
                f"thresholds must name every class, got none for {without[0]!r}; "
                "calibrate it, or give one number for all classes."
            )
        chosen = np.array([float(thresholds[name]) for name in class_names])
    elif thresholds is not None:
        chosen = np.full(len(class_names), float(thresholds))
    else:
        best = np.array([best_f1(one)[0] for one in falling])
        # Where no find is right, the best that can be done is to find nothing.
        return np.where(np.isnan(best), np.inf, best)
    if np.isnan(chosen).any():
        name = class_names[int(np.isnan(chosen).argmax())]
        raise ValueError(f"thresholds must be numbers, got nan [{name!r}]; calibrate it again.")
    return chosen
