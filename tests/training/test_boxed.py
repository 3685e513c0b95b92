from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.boxes import NAMES, SIZE, samples_in
from visionkit.data.augment import AugmentSettings
from visionkit.data.framing import Framing
from visionkit.training.boxed import (
    OPEN,
    FramedPictures,
    TrainingPictures,
    Turn,
    Turns,
    fitting_side,
    frame_size,
    join,
)
from visionkit.types import ObjectBox, Sample

FRAMING = Framing(SIZE, "letterbox")
SHIFTED = AugmentSettings(
    flip=0, scale=0, shift=1.0, roll=0, perspective=0, light=0, colour=0, blur=0, noise=0, jpeg=100
)


def framed(samples: list[Sample], **options: int) -> FramedPictures:
    return FramedPictures(samples, NAMES, FRAMING, **options)


# Framed.


def test_no_pictures() -> None:
    assert len(framed([])) == 0
    with pytest.raises(IndexError):
        framed([])[0]


def test_a_picture_without_boxes_is_a_background(tmp_path: Path) -> None:
    picture = framed([replace(samples_in(tmp_path, 1)[0], objects=())])[0]
    assert picture.boxes.shape == (0, 4)
    assert picture.labels.shape == (0,)


def test_boxes_lie_in_the_frame(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    image = np.zeros((100, 400, 3), np.uint8)
    image[20:60, 100:300] = (255, 0, 0)
    cv2.imwrite(str(path), image[..., ::-1])
    boxes = [
        ObjectBox("square", (100, 20, 300, 60)),
        ObjectBox("square", (390, 90, 500, 200)),  # half outside
        ObjectBox("square", (500, 20, 600, 60)),  # outside
        ObjectBox("unknown", (0, 0, 10, 10)),
    ]
    sample = Sample("a", path.as_posix(), 400, 100, "x", objects=tuple(boxes))
    picture = framed([sample])[0]
    assert picture.image.shape == (*SIZE, 3)
    scale = SIZE[1] / 400
    np.testing.assert_allclose(
        picture.boxes, np.array([[100, 20, 300, 60], [390, 90, 400, 100]]) * scale, atol=1e-3
    )
    assert picture.labels.tolist() == [1, 1]
    assert picture.placement.inner == (SIZE[1] // 4, SIZE[1])
    assert tuple(picture.image[int(40 * scale), int(200 * scale)]) == (255, 0, 0)


def test_pictures_are_kept_in_memory_as_far_as_there_is_room(tmp_path: Path) -> None:
    samples = samples_in(tmp_path, 2)
    pictures = framed(samples, memory=3 * SIZE[0] * SIZE[1])
    for index in range(2):
        pictures[index]
    for sample in samples:
        Path(sample.uri).unlink()
    assert pictures[0].image.shape == (*SIZE, 3)
    with pytest.raises(FileNotFoundError):
        pictures[1]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(640, 480)], (320, 416)),
        ([(480, 640)], (416, 320)),
        ([(500, 500)], (416, 416)),
        ([(10_000, 10)], (32, 416)),
        ([(100, 100), (100, 100), (400, 100)], (416, 416)),
    ],
)
def test_the_frame_has_the_middle_aspect(
    sizes: list[tuple[int, int]], expected: tuple[int, int]
) -> None:
    samples = [Sample(str(number), "", *size, "") for number, size in enumerate(sizes)]
    assert frame_size(samples, 416) == expected


def test_frames_of_other_sides_are_refused() -> None:
    sample = Sample("a", "", 10, 10, "")
    with pytest.raises(ValueError, match="at least one picture"):
        frame_size([], 416)
    for side in (0, 400):
        with pytest.raises(ValueError, match=f"multiple of 32, got {side}"):
            frame_size([sample], side)


# Changed at random.


def test_without_settings_pictures_are_shown_as_they_are(tmp_path: Path) -> None:
    pictures = framed(samples_in(tmp_path, 2))
    shown = TrainingPictures(pictures, None)[Turn(3, 1)]
    np.testing.assert_array_equal(shown.image, pictures[1].image)
    np.testing.assert_array_equal(shown.boxes, pictures[1].boxes)
    assert shown.given.tolist() == np.bincount(pictures[1].labels, minlength=2).tolist()
    assert shown.lost.tolist() == [0, 0]
    assert shown.problems == ()


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_the_same_turn_gives_the_same_picture(tmp_path: Path, mosaic: float) -> None:
    pictures = framed(samples_in(tmp_path, 3))
    first = TrainingPictures(pictures, AugmentSettings(), mosaic=mosaic)
    second = TrainingPictures(pictures, AugmentSettings(), mosaic=mosaic)
    second[Turn(0, 2)]  # what was asked for before makes no difference
    np.testing.assert_array_equal(first[Turn(1, 0)].image, second[Turn(1, 0)].image)
    np.testing.assert_array_equal(first[Turn(1, 0)].boxes, second[Turn(1, 0)].boxes)
    assert not np.array_equal(first[Turn(1, 0)].image, first[Turn(2, 0)].image)
    other = TrainingPictures(pictures, AugmentSettings(), mosaic=mosaic, seed=1)
    assert not np.array_equal(first[Turn(1, 0)].image, other[Turn(1, 0)].image)


def test_mosaics_show_boxes_of_several_pictures_but_not_in_the_end(tmp_path: Path) -> None:
    pictures = framed(samples_in(tmp_path, 4))
    shown = TrainingPictures(pictures, None, mosaic=1.0)
    assert shown[Turn(0, 0)].given.sum() > len(pictures[0].boxes)
    np.testing.assert_array_equal(shown[Turn(0, 0, calm=True)].image, pictures[0].image)


def test_boxes_that_vanish_are_counted(tmp_path: Path) -> None:
    shown = TrainingPictures(framed(samples_in(tmp_path, 4)), SHIFTED)
    lost = 0
    for epoch in range(10):
        for index in range(4):
            picture = shown[Turn(epoch, index)]
            left = np.bincount(picture.labels, minlength=2)
            assert (picture.given - picture.lost).tolist() == left.tolist()
            assert (picture.lost >= 0).all()
            lost += int(picture.lost.sum())
    assert lost > 0


def test_a_picture_that_is_gone_is_reported_and_another_stands_in(tmp_path: Path) -> None:
    samples = samples_in(tmp_path, 3)
    Path(samples[1].uri).unlink()
    Path(samples[2].uri).write_bytes(b"no picture")
    pictures = framed(samples)
    shown = TrainingPictures(pictures, None)[Turn(0, 1)]
    np.testing.assert_array_equal(shown.image, pictures[0].image)
    assert [problem.file for problem in shown.problems] == [samples[1].uri, samples[2].uri]
    Path(samples[0].uri).unlink()
    with pytest.raises(ValueError, match="readable, got 3 in a row"):
        TrainingPictures(framed(samples), None)[Turn(0, 0)]


# Orders and batches.


def test_each_epoch_shows_every_picture_once_in_an_order_of_its_own() -> None:
    turns = Turns(8, seed=0)
    orders = []
    for epoch in (0, 1, 0):
        turns.set_epoch(epoch)
        shown = list(turns)
        assert {turn.epoch for turn in shown} == {epoch}
        orders.append([turn.index for turn in shown])
        assert sorted(orders[-1]) == list(range(8))
    assert orders[0] == orders[2] != orders[1]
    turns.calm = True
    assert all(turn.calm for turn in turns)


def test_of_further_pictures_no_more_are_shown_than_of_the_others_and_others_each_time() -> None:
    turns, few = Turns(4, seed=0, further=20), Turns(4, seed=0, further=2)
    assert (len(turns), len(few)) == (8, 6)
    seen: set[int] = set()
    orders = []
    for epoch in range(20):
        turns.set_epoch(epoch)
        shown = [turn.index for turn in turns]
        assert sorted(shown)[:4] == [0, 1, 2, 3]
        assert len(set(shown)) == 8
        seen.update(shown)
        orders.append(shown)
        few.set_epoch(epoch)
        assert sorted(turn.index for turn in few) == list(range(6))
    assert seen == set(range(24))
    assert any(max(order[:4]) >= 4 for order in orders)  # they are mixed
    turns.set_epoch(3)
    assert [turn.index for turn in turns] == orders[3]


def test_a_box_that_may_hold_something_is_shown_as_of_no_class_and_not_counted(
    tmp_path: Path,
) -> None:
    sample = samples_in(tmp_path, 1)[0]
    doubtful = replace(sample, objects=(*sample.objects, ObjectBox(OPEN, (0, 0, 30, 30))))
    pictures = framed([doubtful])
    assert pictures[0].labels.tolist() == [0, 2]
    np.testing.assert_allclose(pictures[0].boxes[1], [0, 0, 15, 15])
    shown = TrainingPictures(pictures, SHIFTED)
    for epoch in range(5):
        picture = shown[Turn(epoch, 0)]
        assert picture.given.tolist() == [1, 0]
        assert picture.lost.sum() == 1 - (picture.labels == 0).sum()


def test_a_batch_holds_its_pictures_and_sums_their_counts(tmp_path: Path) -> None:
    pictures = TrainingPictures(framed(samples_in(tmp_path, 3)), None)
    shown = [pictures[Turn(0, index)] for index in range(3)]
    batch = join(shown)
    assert batch.images.shape == (3, 3, *SIZE)
    for index in range(3):
        np.testing.assert_array_equal(batch.images[index].permute(1, 2, 0), shown[index].image)
        np.testing.assert_array_equal(batch.boxes[index], shown[index].boxes)
        np.testing.assert_array_equal(batch.labels[index], shown[index].labels)
    assert batch.given.tolist() == sum(each.given for each in shown).tolist()  # type: ignore[union-attr]
    assert batch.inner == tuple(each.inner for each in shown)


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ([], 416),
        ([200, 300], 416),  # large already
        ([20, 20, 20, 20], 640),  # 1,024 would be needed
        ([40, 40, 40, 400], 512),  # 40 of 640 become 32 at 512
        ([1, 80, 80, 80, 80], 416),  # one of five may stay small
    ],
)
def test_the_frame_is_large_enough_for_three_of_four_objects(
    sides: list[int], expected: int
) -> None:
    objects = tuple(ObjectBox("a", (0.0, 0.0, float(side), float(side))) for side in sides)
    pictures = [Sample("1", "1.png", 640, 480, "hash", objects=objects)]
    assert fitting_side(pictures) == expected
