from __future__ import annotations

import numpy as np
import pytest

from visionkit.matching.results import (
    best_of_each_place,
    clip_boxes,
    first_of_each,
    names_at,
    runners_up,
)


def test_nothing_to_report() -> None:
    no_boxes, none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    assert clip_boxes(no_boxes, (10, 10)).shape == (0, 4)
    no_scores = np.zeros(0, np.float32)
    assert best_of_each_place(no_boxes, no_scores, none, 0.5, 0.5).tolist() == []
    assert first_of_each(none, 3).tolist() == []
    assert names_at([], none).tolist() == []
    rival, score = runners_up(no_boxes, no_scores, none, none)
    assert rival.shape == score.shape == (0,)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((1, 2, 3, 4), (1, 2, 3, 4)),
        ((-5, -5, 200, 100), (0, 0, 60, 40)),
        ((70, 50, 80, 60), (60, 40, 60, 40)),
    ],
    ids=["inside", "around", "outside"],
)
def test_boxes_are_cut_at_the_rim(box: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert clip_boxes(np.array([box], np.float32), (40, 60))[0].tolist() == list(expected)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, [False] * 5),
        (1, [True, True, False, False, False]),
        (2, [True, True, True, False, True]),
    ],
)
def test_first_of_each_item(count: int, expected: list[bool]) -> None:
    assert first_of_each(np.array([3, 1, 3, 3, 1]), count).tolist() == expected


def test_runner_up_is_the_best_other_item_at_the_place() -> None:
    boxes = np.array(
        [[0, 0, 10, 10], [0, 0, 10, 11], [1, 0, 10, 10], [0, 0, 9, 10], [50, 50, 60, 60]],
        np.float32,
    )
    scores = np.array([0.9, 0.4, 0.6, 0.95, 0.99], np.float32)
    items = np.array([0, 1, 2, 0, 1])
    rival, score = runners_up(boxes, scores, items, np.array([0, 2, 4]))
    assert rival.tolist() == [2, 0, -1]
    assert score == pytest.approx([0.6, 0.95, 0.0])


def test_names() -> None:
    assert names_at(["a", "b"], np.array([1, -1, 0])).tolist() == ["b", "", "a"]


@pytest.mark.parametrize(
    ("place_iou_threshold", "expected"),
    [(0.5, [1, 3]), (None, [1, 2, 3]), (0.95, [1, 2, 3])],
    ids=["one item a place", "all items of a place", "places that hardly differ"],
)
def test_one_find_of_each_place_stays(
    place_iou_threshold: float | None, expected: list[int]
) -> None:
    boxes = np.array(
        [(0, 0, 10, 10), (0, 0, 10, 10), (0, 0, 10, 9), (50, 0, 60, 10), (80, 0, 80.5, 9)],
        np.float32,
    )
    scores = np.array([0.5, 0.9, 0.8, 0.3, 1.0], np.float32)
    items = np.array([0, 0, 1, 0, 0], np.int64)  # the last one is no place at all
    kept = best_of_each_place(boxes, scores, items, 0.5, place_iou_threshold)
    assert kept.tolist() == expected
