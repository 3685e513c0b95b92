from __future__ import annotations

import numpy as np

from visionkit.matching.regions import parts_around


def covered(parts: list[tuple[slice, slice]], size: tuple[int, int]) -> np.ndarray:  # type: ignore[type-arg]
    drawn = np.zeros(size, bool)
    for part in parts:
        drawn[part] = True
    return drawn


def test_no_boxes_no_parts() -> None:
    assert parts_around(np.zeros((0, 4), np.float32), (100, 200)) == []


def test_a_box_with_some_room_around_it() -> None:
    ((rows, columns),) = parts_around(np.array([[400, 300, 500, 340]], np.float32), (720, 1280))
    # Half as large again is 375..525 by 290..350; 8 px more is the least, and squares are 10 px.
    assert 350 <= columns.start <= 367
    assert 533 <= columns.stop <= 550
    assert 265 <= rows.start <= 282
    assert 358 <= rows.stop <= 375


def test_boxes_that_touch_make_one_part_and_others_their_own() -> None:
    boxes = np.array(
        [[100, 100, 200, 200], [180, 150, 300, 220], [900, 600, 1000, 700]], np.float32
    )
    parts = parts_around(boxes, (720, 1280))
    assert len(parts) == 2
    drawn = covered(parts, (720, 1280))
    assert all(drawn[int(y1) : int(y2), int(x1) : int(x2)].all() for x1, y1, x2, y2 in boxes)
    assert drawn.mean() < 0.15


def test_parts_do_not_overlap() -> None:
    # Two long boxes make a corner, and a small one lies within it without touching them.
    corner = [[100, 100, 140, 600], [100, 560, 500, 600]]
    boxes = np.array([*corner, [350, 200, 400, 260], [1100, 20, 1150, 60]], np.float32)
    parts = parts_around(boxes, (720, 1280))
    seen = np.zeros((720, 1280), int)
    for part in parts:
        seen[part] += 1
    assert seen.max() == 1
    assert len(parts) == 2
    assert all(seen[int(y1) : int(y2), int(x1) : int(x2)].all() for x1, y1, x2, y2 in boxes)


def test_what_lies_beyond_the_picture_is_cut() -> None:
    boxes = np.array([[-300, -200, 40, 30], [90, 60, 500, 400], [-90, -90, -50, -50]], np.float32)
    parts = parts_around(boxes, (64, 100))
    assert all(rows.start >= 0 and columns.start >= 0 for rows, columns in parts)
    picture = np.zeros((64, 100))
    assert all(picture[part].size for part in parts)


def test_a_line_of_pixels() -> None:
    parts = parts_around(np.array([[0, 0, 4000, 1]], np.float32), (1, 4000))
    assert covered(parts, (1, 4000)).all()
