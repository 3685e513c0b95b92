from __future__ import annotations

import pytest
import torch

from visionkit.training.shares import class_weights, shares_of


def test_classes_become_rows_and_rows_stay() -> None:
    rows = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert torch.equal(shares_of(torch.tensor([2, 0]), 3), rows)
    assert torch.equal(shares_of(rows, 3), rows)
    assert shares_of(torch.zeros(0, dtype=torch.int64), 3).shape == (0, 3)


def test_weights_make_every_class_count_the_same() -> None:
    weights = class_weights(torch.tensor([0, 0, 0, 1]), 3)
    assert 3 * weights[0] == pytest.approx(float(weights[1]))
    assert 3 * weights[0] + weights[1] == pytest.approx(4)
    assert weights[2] == 1
