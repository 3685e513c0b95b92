from __future__ import annotations

import math

import numpy as np
import pytest

from visionkit.evaluation.calibration_error import reliability
from visionkit.evaluation.classification import ClassificationMetrics, evaluate_classes

NAMES = ("ant", "bee", "wasp")
# Picture by picture: right, right, bee for ant, right, ant for bee, right.
TRUTHS = np.array([0, 0, 0, 1, 1, 2])
SCORES = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.5, 0.3, 0.2],
        [0.3, 0.6, 0.1],
        [0.2, 0.7, 0.1],
        [0.6, 0.3, 0.1],
        [0.1, 0.1, 0.8],
    ]
)


def measured(**options: object) -> ClassificationMetrics:
    return evaluate_classes(TRUTHS, SCORES, NAMES, bootstrap_rounds=200, **options)  # type: ignore[arg-type]


def random_pictures(seed: int, classes: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(classes), 40)
    return rng.integers(0, classes, 40), np.round(scores, 2)


# Nothing at all.


@pytest.mark.parametrize("truths", [np.zeros(0, np.int64), np.zeros((0, 3), bool)])
def test_no_pictures(truths: np.ndarray) -> None:
    metrics = evaluate_classes(truths, np.zeros((0, 3)), NAMES)
    assert metrics.pictures == 0
    assert math.isnan(metrics.accuracy)
    assert math.isnan(metrics.nll)
    assert math.isnan(metrics.calibration_error)
    assert math.isnan(metrics.intervals["accuracy"].low)
    assert [one.support for one in metrics.per_class] == [0, 0, 0]


def test_no_classes() -> None:
    metrics = evaluate_classes(np.zeros((2, 0), bool), np.zeros((2, 0)), ())
    assert metrics.accuracy == 1  # nothing is there and nothing was said
    assert math.isnan(metrics.macro_f1)


# One class a picture.


def test_the_figures_of_six_pictures() -> None:
    metrics = measured()
    assert metrics.accuracy == pytest.approx(4 / 6)
    ant, bee, wasp = metrics.per_class
    assert (ant.support, ant.said, ant.true) == (3, 3, 2)
    assert (ant.precision, ant.recall) == pytest.approx((2 / 3, 2 / 3))
    assert (bee.precision, bee.recall, bee.f1) == pytest.approx((1 / 2, 1 / 2, 1 / 2))
    assert (wasp.precision, wasp.recall, wasp.f1) == (1, 1, 1)
    assert metrics.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert metrics.confusion is not None
    assert metrics.confusion.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]]
    assert (ant.nearest, ant.nearest_count, wasp.nearest) == ("bee", 1, "")
    surprise = [0.8, 0.5, 0.3, 0.7, 0.3, 0.8]
    assert metrics.nll == pytest.approx(-np.log(surprise).mean())
    assert math.isnan(ant.threshold)
    assert not metrics.thresholds_assumed
    assert metrics.outcomes.right.tolist() == [True, True, False, True, False, True]


def test_assumed_and_precise_thresholds() -> None:
    ant = measured(precision_goal=1.0).per_class[0]
    # Scores of "ant" from high: 0.8 right, 0.6 wrong, 0.5 right, 0.3 right, 0.2 and 0.1 wrong.
    assert ant.assumed_threshold == 0.3  # precision 3/4, recall 1
    assert ant.assumed_f1 == pytest.approx(6 / 7)
    assert ant.precise_threshold == 0.8
    assert ant.precise_recall == pytest.approx(1 / 3)
    assert ant.ap == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_what_stays_below_its_threshold_is_not_named() -> None:
    metrics = measured(thresholds={"ant": 0.55, "bee": 0.65, "wasp": 0.9})
    assert metrics.confusion is not None
    assert metrics.confusion.tolist() == [[1, 0, 0, 2], [1, 1, 0, 0], [0, 0, 0, 1]]
    assert metrics.accuracy == pytest.approx(2 / 6)
    assert metrics.precision == pytest.approx(2 / 3)
    assert metrics.recall == pytest.approx(2 / 6)
    assert [one.threshold for one in metrics.per_class] == [0.55, 0.65, 0.9]


@pytest.mark.parametrize("seed", range(3))
def test_top5_ap_and_likelihood_by_plain_loops(seed: int) -> None:
    truths, scores = random_pictures(seed)
    metrics = evaluate_classes(truths, scores, list("abcdefg"), bootstrap_rounds=5)
    top5 = 0
    for truth, row in zip(truths, scores, strict=True):
        higher = sum(score > row[truth] for k, score in enumerate(row) if k != truth)
        top5 += higher < 5
    assert metrics.top5 == pytest.approx(top5 / 40)
    aps = []
    for k in range(7):
        precisions = []
        for picture in np.flatnonzero(truths == k):
            found = scores[:, k] >= scores[picture, k]
            precisions.append((truths[found] == k).mean())
        assert metrics.per_class[k].ap == pytest.approx(np.mean(precisions))
        aps.append(np.mean(precisions))
    assert metrics.mean_ap == pytest.approx(np.mean(aps))


def test_intervals_hold_the_figure_and_are_the_same_for_the_same_seed() -> None:
    truths, scores = random_pictures(3)
    first = evaluate_classes(truths, scores, list("abcdefg"), seed=1)
    again = evaluate_classes(truths, scores, list("abcdefg"), seed=1)
    for name, span in first.intervals.items():
        assert span.low < getattr(first, name) < span.high, name
        assert again.intervals[name] == span


def test_intervals_are_of_pictures_drawn_anew() -> None:
    truths, scores = random_pictures(4)
    metrics = evaluate_classes(truths, scores, list("abcdefg"), bootstrap_rounds=4000)
    right = scores.argmax(1) == truths
    drawn = np.random.default_rng(9).integers(0, 40, (4000, 40))
    low, high = np.quantile(right[drawn].mean(1), [0.025, 0.975])
    assert metrics.intervals["accuracy"].low == pytest.approx(low, abs=0.026)
    assert metrics.intervals["accuracy"].high == pytest.approx(high, abs=0.026)


# Several classes a picture.

PRESENT = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]], bool)
SEVERAL = np.array([[0.9, 0.6, 0.1], [0.4, 0.2, 0.3], [0.5, 0.1, 0.2], [0.1, 0.3, 0.1]])


def test_several_classes_at_one_threshold() -> None:
    metrics = evaluate_classes(PRESENT, SEVERAL, NAMES, thresholds=0.5, bootstrap_rounds=50)
    # Named: ant and bee, nothing, ant, nothing.
    assert metrics.accuracy == pytest.approx(1 / 4)
    assert (metrics.precision, metrics.recall) == pytest.approx((2 / 3, 2 / 4))
    assert metrics.confusion is None
    assert math.isnan(metrics.top5)
    ant, bee, wasp = metrics.per_class
    assert (ant.true, ant.said, ant.support) == (1, 2, 2)
    assert (bee.precision, bee.recall) == (1, 0.5)
    assert math.isnan(wasp.ap)
    assert metrics.mean_ap == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)
    chances = [0.9, 0.6, 0.9, 0.4, 0.8, 0.7, 0.5, 0.9, 0.8, 0.9, 0.3, 0.9]
    assert metrics.nll == pytest.approx(-np.log(chances).mean())


def test_several_classes_at_the_best_f1_of_each() -> None:
    metrics = evaluate_classes(PRESENT, SEVERAL, NAMES, bootstrap_rounds=50)
    assert metrics.thresholds_assumed
    ant, bee, wasp = metrics.per_class
    assert (ant.threshold, bee.threshold, wasp.threshold) == (0.4, 0.3, math.inf)
    assert (ant.f1, bee.f1) == pytest.approx((4 / 5, 1))


# Calibration.


def test_reliability_by_plain_loops() -> None:
    rng = np.random.default_rng(0)
    confidence = np.append(rng.uniform(0, 1, 200), [0.0, 1.0])
    right = rng.uniform(0, 1, 202) < confidence**2
    found = reliability(confidence, right)
    error = 0.0
    for part in range(15):
        inside = [n for n in range(202) if min(int(confidence[n] * 15), 14) == part]
        assert found.count[part] == len(inside)
        if inside:
            gap = np.mean([confidence[n] for n in inside]) - np.mean([right[n] for n in inside])
            error += len(inside) / 202 * abs(gap)
    assert found.error == pytest.approx(error)


def test_confidence_that_is_always_right_has_no_error() -> None:
    assert reliability(np.ones(4), np.ones(4, bool)).error == 0
    assert reliability(np.zeros(4), np.zeros(4, bool)).error == 0
    assert reliability(np.ones(4), np.array([1, 1, 1, 0], bool)).error == pytest.approx(0.25)


# What is refused.


@pytest.mark.parametrize(
    ("truths", "scores", "words"),
    [
        (np.array([0, 3]), np.zeros((2, 3)), r"0\.\.2, got 3 \[picture 1\]"),
        (np.array([0.0, 1.0]), np.zeros((2, 3)), "int64 or"),
        (np.zeros((2, 2), bool), np.zeros((2, 3)), r"\(N, 3\) bool"),
        (np.array([0, 1]), np.zeros((2, 2)), r"scores must be \(2, 3\)"),
        (np.array([0, 1]), np.array([[0.0, 0, 0], [0, 0, 1.5]]), r"1.5 \[picture 1, class 2\]"),
        (np.array([0]), np.array([[0.0, math.nan, 0]]), "got nan"),
    ],
)
def test_what_does_not_fit(truths: np.ndarray, scores: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        evaluate_classes(truths, scores, NAMES)


def test_a_class_without_a_threshold() -> None:
    with pytest.raises(ValueError, match="none for 'bee'"):
        measured(thresholds={"ant": 0.5, "wasp": 0.5})
