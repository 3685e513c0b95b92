from __future__ import annotations

import math

import numpy as np
import pytest

from visionkit.evaluation.label_errors import label_doubts


def sure_pictures(count: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and scores that are near 0.8 for the label."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    scores = rng.uniform(0.0, 0.1, (count, classes))
    scores[np.arange(count), labels] = rng.uniform(0.7, 0.9, count)
    return labels, scores / scores.sum(1, keepdims=True)


@pytest.mark.parametrize("labels", [np.zeros(0, np.int64), np.zeros((0, 3), bool)])
def test_no_pictures_no_doubts(labels: np.ndarray) -> None:
    assert label_doubts(labels, np.zeros((0, 3))) == []


def test_labels_that_models_agree_with_are_not_doubted() -> None:
    assert label_doubts(*sure_pictures(60, 4)) == []


def test_swapped_labels_are_found_and_the_surest_stands_first() -> None:
    labels, scores = sure_pictures(60, 4)
    wrong = {}
    for picture in (3, 17, 40):
        wrong[picture] = int(labels[picture])
        labels[picture] = (labels[picture] + 1) % 4
        scores[picture, wrong[picture]] += 0.1
    doubts = label_doubts(labels, scores)
    assert {doubt.picture: doubt.likely for doubt in doubts} == wrong
    leads = [doubt.likely_score - doubt.label_score for doubt in doubts]
    assert leads == sorted(leads, reverse=True)
    assert all(doubt.label == labels[doubt.picture] for doubt in doubts)


def test_a_class_must_be_believed_as_much_as_its_pictures_usually_are() -> None:
    # Pictures of class 0 have 0.6 and 0.8 on average 0.7; the third reaches 0.65 only.
    labels = np.array([0, 0, 1])
    scores = np.array([[0.6, 0.4], [0.8, 0.2], [0.65, 0.35]])
    assert label_doubts(labels, scores) == []
    scores[2] = [0.75, 0.25]
    assert [(doubt.picture, doubt.likely) for doubt in label_doubts(labels, scores)] == [(2, 0)]


def test_pictures_that_were_not_judged_are_left_out() -> None:
    labels, scores = sure_pictures(20, 3)
    scores[5, labels[5]] = 0.95
    labels[5] = (labels[5] + 1) % 3
    assert [doubt.picture for doubt in label_doubts(labels, scores)] == [5]
    scores[5] = math.nan
    assert label_doubts(labels, scores) == []


def test_of_several_labels_one_is_missing_and_one_too_many() -> None:
    labels = np.tile(np.array([[1, 0], [0, 1]], bool), (10, 1))
    scores = np.where(labels, 0.9, 0.1)
    assert label_doubts(labels, scores) == []
    scores[4] = [0.02, 0.1]  # labelled class 0, which nothing tells
    scores[6] = [0.9, 0.97]  # seems to show class 1, too
    found = label_doubts(labels, scores)
    assert {(doubt.picture, doubt.label, doubt.likely) for doubt in found} == {
        (4, 0, -1),
        (6, -1, 1),
    }
    assert [doubt.picture for doubt in found] == [4, 6]  # 0.98 and 0.97


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([0, 1]), r"labels must be \(3,\)"),
        (np.array([0, 1, 2]), r"in 0\.\.1"),
        (np.zeros((3, 1), bool), r"or \(3, 2\)"),
    ],
)
def test_labels_that_do_not_fit(labels: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        label_doubts(labels, np.zeros((3, 2)))
