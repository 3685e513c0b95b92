from __future__ import annotations

import math

import numpy as np
import pytest
import supervision as sv

from visionkit.evaluation import Truth, presence_metrics, presence_of

NOTHING = -np.inf


def test_no_pictures_give_undefined_figures() -> None:
    metrics = presence_metrics(np.zeros((0, 2), bool), np.zeros((0, 2)), ("a", "b"))
    assert math.isnan(metrics.f1)
    assert math.isnan(metrics.none_accuracy)
    assert metrics.pictures == 0


def test_no_items_make_none_the_right_answer() -> None:
    metrics = presence_metrics(np.zeros((3, 0), bool), np.zeros((3, 0)), ())
    assert (metrics.answer_accuracy, metrics.none_accuracy) == (1.0, 1.0)


def test_presence_of_takes_the_best_score_of_each_item() -> None:
    truths = [Truth(np.zeros((2, 4), np.float32), np.array([1, 1])), Truth.empty()]
    found = sv.Detections(
        xyxy=np.zeros((3, 4), np.float32),
        class_id=np.array([0, 1, 1]),
        confidence=np.array([0.25, 0.5, 0.75], np.float32),
    )
    present, scores = presence_of(truths, [found, sv.Detections.empty()], class_count=2)
    assert present.tolist() == [[False, True], [False, False]]
    assert scores.tolist() == [[0.25, 0.75], [NOTHING, NOTHING]]


def test_worked_example() -> None:
    """Four pictures: a, b, and two with none; threshold 0.3 for a, 0.6 for b."""
    present = np.array([[1, 0], [0, 1], [0, 0], [0, 0]], bool)
    scores = np.array([[0.9, 0.2], [0.4, 0.7], [NOTHING, 0.5], [0.35, NOTHING]])
    metrics = presence_metrics(present, scores, ("a", "b"), thresholds={"a": 0.3, "b": 0.6})
    a, b = metrics.per_class
    # a is said of pictures 0 (right), 1 and 3 (wrong); b of picture 1 (right).
    assert (a.true, a.false, a.missed) == (1, 2, 0)
    assert (b.true, b.false, b.missed) == (1, 0, 0)
    assert (metrics.precision, metrics.recall) == (2 / 4, 1.0)
    assert metrics.f1 == pytest.approx(2 * 2 / (4 + 2))
    assert metrics.f1_mean == pytest.approx((0.5 + 1.0) / 2)
    assert metrics.none_pictures == 2
    assert metrics.none_accuracy == 1 / 2  # picture 2 clean, picture 3 not
    # Answers: a, b (0.7 beats 0.4), none, a: three of four are right.
    assert metrics.answer_accuracy == 3 / 4
    assert (a.auc, b.auc) == (1.0, 1.0)


def test_auc_counts_ties_as_a_half_and_pairs_by_plain_loops() -> None:
    rng = np.random.default_rng(0)
    present = rng.random((40, 1)) < 0.4
    scores = rng.integers(0, 6, (40, 1)) / 5
    pairs = [
        (high > low) + 0.5 * (high == low) for high in scores[present] for low in scores[~present]
    ]
    metrics = presence_metrics(present, scores, ("a",))
    assert metrics.auc == pytest.approx(np.mean(pairs))


def test_item_that_no_picture_shows_leaves_the_mean_alone() -> None:
    present = np.array([[1, 0], [0, 0]], bool)
    scores = np.array([[0.9, NOTHING], [NOTHING, NOTHING]])
    metrics = presence_metrics(present, scores, ("a", "b"))
    assert metrics.f1_mean == 1.0
    assert math.isnan(metrics.per_class[1].auc)
    assert metrics.per_class[1].threshold == math.inf


def test_missing_finds_are_never_said_whatever_the_threshold() -> None:
    present = np.array([[True]])
    metrics = presence_metrics(present, np.array([[NOTHING]]), ("a",), thresholds=NOTHING)
    assert (metrics.per_class[0].true, metrics.per_class[0].missed) == (0, 1)


def test_interval_of_a_share_is_that_of_the_binomial() -> None:
    present = np.zeros((400, 1), bool)
    scores = np.where(np.arange(400) < 100, 0.9, 0.1)[:, None]
    metrics = presence_metrics(present, scores, ("a",), thresholds=0.5)
    interval = metrics.intervals["none_accuracy"]
    # 0.75 with a standard error of sqrt(0.75 * 0.25 / 400) = 0.0217: 0.75 +- 0.042.
    assert interval.low == pytest.approx(0.75 - 0.0424, abs=0.01)
    assert interval.high == pytest.approx(0.75 + 0.0424, abs=0.01)


@pytest.mark.parametrize(
    ("present", "scores", "message"),
    [
        (np.zeros((2, 2), bool), np.zeros((2, 1)), r"got \(2, 2\) and \(2, 1\)"),
        (np.zeros((2, 1), bool), np.zeros((2, 1)), r"must both be \(pictures, 2\)"),
        (np.zeros((1, 2), bool), np.array([[0, np.nan]]), "picture 0, class 1"),
    ],
    ids=["shapes differ", "too few items", "nan"],
)
def test_wrong_input_is_refused_in_words(
    present: np.ndarray, scores: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        presence_metrics(present, scores, ("a", "b"))
