"""Accuracy without labels: worked by hand, and what can't be estimated."""

from __future__ import annotations

import numpy as np
import pytest

from visionkit.monitoring.accuracy import estimated_accuracy, thresholded
from visionkit.monitoring.observed import Observed


def test_the_threshold_leaves_as_many_below_as_are_wrong() -> None:
    usual = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    right = np.array([0, 1, 0, 1, 1.0])  # two are wrong: the threshold is 0.3
    assert thresholded(usual, right, np.array([0.05, 0.3, 0.35, 0.29])) == 0.5
    assert thresholded(usual, np.zeros(5), usual) == 0.0
    assert thresholded(usual, np.ones(5), usual) == 1.0


def side(scores: list[float], right: list[float] | None = None) -> Observed:
    numbers = {"classification.score": np.array(scores)}
    if right is not None:
        numbers["truth.right"] = np.array(right)
    names = tuple(str(number) for number in range(len(scores)))
    return Observed(names, np.ones((len(scores), 2), np.float32), numbers)


def test_less_confidence_means_less_accuracy() -> None:
    usual = side([0.2] * 10 + [0.9] * 30, [0.0] * 10 + [1.0] * 30)
    found = estimated_accuracy(usual, side([0.2] * 30 + [0.9] * 10))
    assert found is not None
    assert (found.reference, found.live) == (0.75, 0.25)
    assert found.low <= found.live <= found.high


@pytest.mark.parametrize(
    ("usual", "live"),
    [
        (side([0.5] * 40), side([0.5] * 40)),
        (side([0.5] * 20, [1.0] * 20), side([0.5] * 40)),
        (side([0.5] * 40, [float("nan")] * 40), side([0.5] * 40)),
        (side([0.5] * 40, [1.0] * 40), side([float("nan")] * 40)),
    ],
    ids=["no labels", "too few labels", "unknown labels", "no scores"],
)
def test_nothing_is_estimated_of_nothing(usual: Observed, live: Observed) -> None:
    assert estimated_accuracy(usual, live) is None
