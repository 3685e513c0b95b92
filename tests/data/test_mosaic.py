from __future__ import annotations

import numpy as np
import pytest

from visionkit.data.mosaic import mosaic
from visionkit.types import Image

NOTHING = np.zeros((0, 4), np.float32)
COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]


def plain(colour: tuple[int, int, int], height: int = 60, width: int = 80) -> Image:
    return np.full((height, width, 3), colour, np.uint8)


def test_pictures_without_boxes() -> None:
    put = mosaic(np.random.default_rng(0), [(plain((9, 9, 9)), NOTHING)] * 4, (60, 80))
    assert put.image.shape == (60, 80, 3)
    assert put.boxes.shape == (0, 4)
    assert put.picture.shape == put.kept.shape == (0,)


@pytest.mark.parametrize("count", [0, 3, 5])
def test_other_numbers_of_pictures_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"four pictures, got {count}"):
        mosaic(np.random.default_rng(0), [(plain((9, 9, 9)), NOTHING)] * count, (60, 80))


def test_each_picture_lies_in_its_quarter_and_the_rest_is_grey() -> None:
    put = mosaic(np.random.default_rng(1), [(plain(each), NOTHING) for each in COLOURS], (60, 80))
    corners = [put.image[0, 0], put.image[0, -80 // 4], put.image[-60 // 4, 0]]
    seen = {tuple(int(value) for value in pixel) for pixel in put.image.reshape(-1, 3)}
    assert set(COLOURS) <= seen <= {*COLOURS, (114, 114, 114)}
    assert tuple(corners[0]) == COLOURS[0]
    assert tuple(corners[1]) == COLOURS[1]
    assert tuple(corners[2]) == COLOURS[2]


@pytest.mark.parametrize("seed", range(12))
def test_boxes_follow_their_objects(seed: int) -> None:
    """A white square on each picture: where its box says it is, and nowhere else, is white."""
    pictures = []
    for colour in COLOURS:
        image = plain(colour)
        image[20:40, 30:60] = 255
        pictures.append((image, np.array([[30, 20, 60, 40]], np.float32)))
    put = mosaic(np.random.default_rng(seed), pictures, (60, 80), min_visible=0.0)
    white = (put.image > 235).all(2)
    for box, picture in zip(put.boxes, put.picture, strict=True):
        x_min, y_min, x_max, y_max = box.round().astype(int)
        inside = white[y_min + 1 : y_max - 1, x_min + 1 : x_max - 1]
        assert inside.size == 0 or inside.mean() > 0.9
        white[max(y_min - 1, 0) : y_max + 1, max(x_min - 1, 0) : x_max + 1] = False
        assert 0 <= picture < 4
    assert not white.any()


def test_boxes_of_which_little_is_left_are_dropped() -> None:
    image = plain((0, 0, 0), 100, 100)
    boxes = np.array([[0, 0, 100, 100], [5, 5, 6, 6]], np.float32)
    shown = [(image, boxes)] * 4
    for seed in range(10):
        every = mosaic(np.random.default_rng(seed), shown, (64, 64), min_visible=0.0)
        most = mosaic(np.random.default_rng(seed), shown, (64, 64), min_visible=0.9)
        areas = (every.boxes[:, 2:] - every.boxes[:, :2]).prod(1)
        assert len(most.boxes) <= len(every.boxes)
        assert (every.kept[areas > 0] <= 1).all()
        # Between 0.5 and 1 of a side of 100 in 0.3 to 0.7 of 64: at most 0.81 of a whole one shows.
        assert (most.kept == 1).all()


def test_the_same_numbers_give_the_same_mosaic() -> None:
    pictures = [(plain(each), NOTHING) for each in COLOURS]
    first, second, other = (
        mosaic(np.random.default_rng(seed), pictures, (60, 80)).image for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
