from __future__ import annotations

import math

import pytest
import torch

from visionkit.heads.dense import (
    Assignment,
    Cells,
    PaddedBoxes,
    assign,
    boxes_of,
    cells_of,
    distances_of,
    pad_boxes,
    quality_focal_loss,
)


def grid(rows: int = 4, columns: int = 4) -> Cells:
    """Cells of 8 pixels: number 0 has its centre at (4, 4), number 1 at (12, 4)."""
    return cells_of({8: torch.zeros(1, 1, rows, columns)})


def truth_of(*boxes: tuple[float, float, float, float]) -> PaddedBoxes:
    return pad_boxes([torch.tensor(boxes).reshape(-1, 4)], None, torch.device("cpu"))


def around(cells: Cells, reach: float = 4.0) -> torch.Tensor:
    """(1, M, 4): every cell's box reaches as far to each side."""
    return boxes_of(cells.centres, torch.full((1, len(cells.centres), 4), reach))


def chosen_by(found: Assignment, box: int = 0) -> list[int]:
    """Numbers of the cells that answer for a box of the first picture."""
    return torch.where(found.chosen[0] & (found.box[0] == box))[0].tolist()


# Places.


def test_cells_level_by_level_and_row_by_row() -> None:
    cells = cells_of({8: torch.zeros(1, 5, 2, 3), 16: torch.zeros(1, 5, 1, 2)})
    assert cells.centres.tolist() == [
        [4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12], [8, 8], [24, 8],
    ]  # fmt: skip
    assert cells.strides.tolist() == [8, 8, 8, 8, 8, 8, 16, 16]


def test_distances_of_a_known_box_at_a_known_cell() -> None:
    centres = torch.tensor([[12.0, 4.0], [20.0, 4.0]])
    box = torch.tensor([[3.0, 1.0, 15.0, 11.0]]).expand(2, 4)
    distances = distances_of(centres, box)
    # 12 - 3, 4 - 1, 15 - 12, 11 - 4; the second cell lies 5 pixels to the right of the box
    assert distances.tolist() == [[9, 3, 3, 7], [17, 3, -5, 7]]
    assert boxes_of(centres, distances).tolist() == box.tolist()


def test_no_cells() -> None:
    cells = cells_of({8: torch.zeros(1, 1, 0, 4)})
    assert cells.centres.shape == (0, 2)
    assert boxes_of(cells.centres, torch.zeros(1, 0, 4)).shape == (1, 0, 4)
    found = assign(torch.zeros(1, 0, 4), torch.zeros(1, 1, 0), cells, truth_of((0, 0, 9, 9)))
    assert found.chosen.shape == (1, 0)


# Padding.


def test_pictures_with_and_without_boxes_in_one_tensor() -> None:
    boxes = [
        torch.zeros(0, 4),
        torch.tensor([[1.0, 2, 3, 4], [5, 5, 5, 9], [5, 6, 7, 8]]),  # the second has no width
    ]
    labels = [torch.zeros(0, dtype=torch.int64), torch.tensor([2, 0, 1])]
    padded = pad_boxes(boxes, labels, torch.device("cpu"))
    assert padded.there.tolist() == [[False, False], [True, True]]
    assert padded.boxes[1].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert padded.labels[1].tolist() == [2, 1]


# Which cell answers for which box.


def test_cells_within_a_box_weigh_by_score_and_sixth_power_of_iou() -> None:
    cells = grid()
    said = around(cells, reach=0.5)
    said[0, 0] = torch.tensor([0.0, 0, 16, 16])  # the box itself
    said[0, 1] = torch.tensor([0.0, 0, 16, 8])  # half of it
    said[0, 2] = torch.tensor([0.0, 0, 16, 16])  # the box itself too, but from outside
    scores = torch.full((1, 1, 16), 0.2)
    scores[0, 0, 1] = 0.8
    found = assign(said, scores, cells, truth_of((0, 0, 16, 16)))
    assert chosen_by(found) == [0, 1, 4, 5]
    assert found.weight[0, 0] == 1
    assert found.weight[0, 1] == pytest.approx(4 * 0.5**6, rel=1e-5)
    assert found.weight[0, 4] < 1e-9
    torch.testing.assert_close(found.quality, found.weight)  # the best IoU is 1


def test_quality_is_no_better_than_the_best_box() -> None:
    cells = grid()
    said = around(cells, reach=0.5)
    said[0, 5] = torch.tensor([0.0, 0, 16, 8])
    found = assign(said, torch.full((1, 1, 16), 0.3), cells, truth_of((0, 0, 16, 16)))
    assert found.weight[0, 5] == 1
    assert found.quality[0, 5] == pytest.approx(0.5)


def test_no_more_than_ten_cells() -> None:
    cells = grid(8, 8)
    found = assign(around(cells), torch.full((1, 1, 64), 0.1), cells, truth_of((0, 0, 64, 64)))
    assert int(found.chosen.sum()) == 10


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        # Its middle (7.5, 7.5) is 3.5 pixels from cell 0 and 4.5 from the others.
        ((6.0, 6.0, 9.0, 9.0), [0]),
        # Its middle (8, 8) is 4 pixels from all four cells around it.
        ((7.0, 7.0, 9.0, 9.0), [0, 1, 4, 5]),
        # A line of one pixel along the cells' rim.
        ((0.0, 7.0, 16.0, 8.0), [0, 1]),
    ],
    ids=["near one", "between four", "a line"],
)
def test_a_box_that_holds_no_centre_takes_the_nearest_cells(
    box: tuple[float, float, float, float], expected: list[int]
) -> None:
    cells = grid()
    found = assign(around(cells), torch.full((1, 1, 16), 0.1), cells, truth_of(box))
    assert chosen_by(found) == expected


def test_a_box_within_another_keeps_its_cell() -> None:
    cells = grid()
    said = around(cells, reach=14.0)  # 28 pixels wide: like the large box, unlike the small one
    scores = torch.full((1, 2, 16), 0.1)
    found = assign(said, scores, cells, truth_of((0, 0, 32, 32), (9, 9, 15, 15)))
    assert chosen_by(found, 1) == [5]  # centre (12, 12), the only one within the small box
    assert found.weight[0, 5] == 1
    assert len(chosen_by(found, 0)) == 9


def test_a_box_beyond_all_cells_teaches_nothing() -> None:
    cells = grid()
    truth = truth_of((100, 100, 120, 120), (0, 0, 16, 16))
    found = assign(around(cells), torch.full((1, 2, 16), 0.1), cells, truth)
    assert chosen_by(found, 0) == []
    assert chosen_by(found, 1) == [0, 1, 4, 5]
    assert torch.isfinite(found.quality).all()


def test_pictures_without_boxes_are_all_background() -> None:
    cells = grid()
    truth = pad_boxes(
        [torch.zeros(0, 4), torch.tensor([[0.0, 0, 16, 16]])], None, torch.device("cpu")
    )
    said = around(cells).expand(2, -1, -1)
    found = assign(said, torch.full((2, 1, 16), 0.1), cells, truth)
    assert found.chosen.sum(1).tolist() == [0, 4]
    assert found.quality[0].tolist() == [0] * 16
    assert all(torch.isfinite(value).all() for value in (found.weight, found.quality))
    none = assign(
        said,
        torch.zeros(2, 0, 16),
        cells,
        pad_boxes([torch.zeros(0, 4)] * 2, None, torch.device("cpu")),
    )
    assert not none.chosen.any()


# The loss.


@pytest.mark.parametrize(
    ("logit", "target", "expected"),
    [
        (0.0, 1.0, 0.25 * math.log(2)),
        (0.0, 0.5, 0.0),
        (math.log(3), 0.75, 0.0),  # sigmoid(log 3) = 3 / 4
        (math.log(3), 0.25, -0.25 * (0.25 * math.log(0.75) + 0.75 * math.log(0.25))),
        (-50.0, 0.0, 0.0),
    ],
)
def test_quality_focal_loss(logit: float, target: float, expected: float) -> None:
    loss = quality_focal_loss(torch.tensor([logit]), torch.tensor([target]))
    assert float(loss) == pytest.approx(expected, abs=1e-6)
