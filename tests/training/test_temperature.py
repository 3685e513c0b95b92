from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from visionkit.training.temperature import fit_temperature


def test_no_pictures_leave_the_temperature() -> None:
    assert fit_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)) == 1


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_logits_that_are_too_sure_or_not_sure_enough(true: float) -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (20_000, 4))
    chances = np.exp(honest) / np.exp(honest).sum(1, keepdims=True)
    drawn = np.array([rng.choice(4, p=row) for row in chances])
    outputs, targets = torch.from_numpy(true * honest), torch.from_numpy(drawn)
    assert fit_temperature(outputs, targets) == pytest.approx(true, rel=0.05)


def test_several_classes_a_picture() -> None:
    rng = np.random.default_rng(1)
    honest = rng.normal(0, 2, (5000, 3))
    drawn = rng.uniform(0, 1, honest.shape) < 1 / (1 + np.exp(-honest))
    outputs, targets = torch.from_numpy(2 * honest), torch.from_numpy(drawn).float()
    assert fit_temperature(outputs, targets) == pytest.approx(2, rel=0.05)


def test_the_best_of_a_fine_grid_is_no_better() -> None:
    outputs, targets = torch.randn(50, 3).double(), torch.arange(50) % 3
    found = fit_temperature(outputs, targets)

    def surprise(temperature: float) -> float:
        powers = np.exp(outputs.numpy() / temperature)
        logs = np.log(powers / powers.sum(1, keepdims=True))
        total = 0.0
        for picture in range(50):
            for k in range(3):
                share = 51 / 52 if k == targets[picture] else 1 / 52 / 2
                total -= share * logs[picture, k]
        return total / 50

    grid = np.geomspace(0.02, 50, 400)
    assert surprise(found) <= min(surprise(t) for t in grid) + 1e-6


def test_outputs_that_are_always_right_are_as_sure_as_their_number_allows() -> None:
    outputs = 5 * torch.eye(3)
    # exp(5 / t) / (exp(5 / t) + 2) = 4 / 5
    assert fit_temperature(outputs, torch.arange(3)) == pytest.approx(5 / math.log(8), rel=1e-3)
    assert 45 < fit_temperature(-outputs, torch.arange(3)) <= 50


def test_a_single_class() -> None:
    assert 0.02 <= fit_temperature(torch.ones(4, 1), torch.zeros(4, dtype=torch.int64)) <= 50
