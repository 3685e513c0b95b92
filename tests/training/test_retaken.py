from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.worlds import mark, photo, scene_with
from visionkit.data.augment import AugmentSettings
from visionkit.training.pairs import LabelledScene
from visionkit.training.retaken import RETAKE, RetakenScenes

STILL = AugmentSettings(
    scale=0, shift=0, roll=0, perspective=0, light=0, colour=0, blur=0, noise=0, jpeg=100
)


def shown() -> list[LabelledScene]:
    image, box = scene_with(mark(3), (60, 30), 70, 4)
    boxes = np.array([box], np.float32)
    return [LabelledScene(image, boxes, ("mark",), frozenset({2})), LabelledScene.empty(photo(5))]


def test_nothing_can_be_taken_of_nothing() -> None:
    none = RetakenScenes([], count=9, seed=0)
    assert len(none) == 0
    with pytest.raises(IndexError):
        none[0]


def test_scenes_are_taken_in_turn_and_are_as_before_where_nothing_changes() -> None:
    scenes = shown()
    taken = RetakenScenes(scenes, count=5, seed=0, settings=STILL)
    assert len(taken) == 5
    for index in range(5):
        before = scenes[index % 2]
        np.testing.assert_array_equal(taken[index].image, before.image)
        np.testing.assert_allclose(taken[index].boxes, before.boxes, atol=1e-3)
        assert taken[index].items == before.items
        assert taken[index].shown_views == before.shown_views
    with pytest.raises(IndexError):
        taken[5]


def test_a_box_goes_where_its_item_goes() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[40:80, 50:100] = 255
    scene = LabelledScene(image, np.array([[50, 40, 100, 80]], np.float32), ("square",))
    steady = replace(RETAKE, light=0, colour=0, blur=0, noise=0, jpeg=100)
    moved = 0
    source = RetakenScenes([scene], count=12, seed=1, settings=steady)
    for taken in source:  # type: ignore[attr-defined]
        if not len(taken.boxes):
            continue
        bright = taken.image.mean(2) > 170
        rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(taken.boxes[0], seen, atol=5)
        moved += bool(np.abs(taken.boxes[0] - scene.boxes[0]).max() > 3)
    assert moved >= 6


def test_an_item_that_left_the_picture_is_not_said_to_be_there() -> None:
    scene = shown()[0]
    far = AugmentSettings(shift=1.0, min_visible=0.9)
    counts = {
        len(taken.items)
        for taken in RetakenScenes([scene], count=20, seed=0, settings=far)  # type: ignore[attr-defined]
    }
    assert counts == {0, 1}


def test_the_same_number_and_seed_give_the_same_scene() -> None:
    first, second = (RetakenScenes(shown(), count=4, seed=7) for _ in range(2))
    second[0]  # what was asked for before makes no difference
    np.testing.assert_array_equal(first[2].image, second[2].image)
    np.testing.assert_array_equal(first[2].boxes, second[2].boxes)
    other = RetakenScenes(shown(), count=4, seed=8)
    assert not np.array_equal(first[2].image, other[2].image)
