"""The branches of the localization head before they have learned: sure of nothing, small boxes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from visionkit.heads.branches import BoxBranch, ClassBranch

STRIDES = (8, 16)


def maps(batch: int = 2, *, dtype: torch.dtype = torch.float32) -> dict[int, Tensor]:
    """12 cells of stride 8 and 3 of stride 16, of 16 channels."""
    torch.manual_seed(0)
    sizes = {8: (3, 4), 16: (1, 3)}
    return {stride: torch.randn(batch, 16, *size).to(dtype) for stride, size in sizes.items()}


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_every_cell_of_every_level_speaks(batch: int) -> None:
    quality, distances = BoxBranch(16, STRIDES, depth=1)(maps(batch))
    assert (quality.shape, distances.shape) == ((batch, 15), (batch, 15, 4))
    assert ClassBranch(16, 5, depth=1)(maps(batch)).shape == (batch, 15, 5)


def test_before_learning_nothing_is_likely_and_boxes_are_four_cells_wide() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        quality, distances = BoxBranch(16, STRIDES, depth=1).eval()(maps())
        classes = ClassBranch(16, 5, depth=1).eval()(maps())
    for logits in (quality, classes):
        torch.testing.assert_close(logits.sigmoid().mean(), torch.tensor(0.01), atol=2e-3, rtol=0)
    sides = distances[..., :2] + distances[..., 2:]
    assert float(sides[:, :12].mean()) == pytest.approx(4 * 8, rel=0.05)
    assert float(sides[:, 12:].mean()) == pytest.approx(4 * 16, rel=0.05)


def test_cells_come_row_by_row_and_level_by_level() -> None:
    branch = ClassBranch(16, 5, depth=0).eval()
    given = maps()
    weight, bias = branch.logits.weight[..., 0, 0], branch.logits.bias
    assert bias is not None
    with torch.no_grad():
        cells = [given[8][1, :, 2, 3], given[16][1, :, 0, 1]]
        expected = torch.stack([weight @ cell + bias for cell in cells])
        torch.testing.assert_close(branch(given)[1, [2 * 4 + 3, 12 + 1]], expected)


def test_no_side_is_endless_and_what_is_said_is_single_precision() -> None:
    branch = BoxBranch(16, STRIDES, depth=0).half()
    with torch.no_grad():
        branch.distances.get_parameter("bias").fill_(1000.0)
        quality, distances = branch(maps(dtype=torch.float16))
    assert (quality.dtype, distances.dtype) == (torch.float32, torch.float32)
    assert float(distances.max()) == pytest.approx(16 * 148.413, rel=1e-4)  # e^5 cells
