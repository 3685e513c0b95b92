from __future__ import annotations

import math

import pytest
import torch

from visionkit.training.balance import LossBalance


def after(steps: list[dict[str, float]], names: tuple[str, ...] = ("a", "b")) -> LossBalance:
    balance = LossBalance(names)
    for losses in steps:
        balance({name: torch.tensor(value) for name, value in losses.items()})
    return balance


def test_before_any_step_all_count_alike() -> None:
    assert after([]).weights.tolist() == [1, 1]


def test_a_single_loss_stays_as_it_is() -> None:
    balance = LossBalance(["a"])
    for value in (3.0, 0.02, 7.0):
        assert torch.equal(balance({"a": torch.tensor(value)}), torch.tensor(value))


def test_losses_are_brought_to_one_scale() -> None:
    weights = after([{"a": 4.0, "b": 1.0}] * 10).weights.tolist()
    assert weights == pytest.approx([0.5, 2.0])  # 4 * 0.5 = 1 * 2, and 0.5 * 2 = 1


def test_the_mean_is_of_all_steps_at_first_and_forgets_later() -> None:
    values = [float(number % 7 + 1) for number in range(80)]
    balance = after([{"a": value} for value in values], ("a",))
    mean = 0.0
    for step, value in enumerate(values, start=1):
        mean += max(1 / step, 0.02) * (value - mean)
    assert float(balance.means[0]) == pytest.approx(mean, rel=1e-5)
    assert float(after([{"a": 1.0}, {"a": 2.0}, {"a": 6.0}], ("a",)).means[0]) == pytest.approx(3)


def test_a_loss_next_to_nothing_does_not_drown_the_others() -> None:
    assert after([{"a": 1e-9, "b": 1.0}]).weights.tolist() == pytest.approx([3, 1 / 3])


def test_a_loss_that_is_not_there_in_a_step_keeps_its_mean() -> None:
    balance = after([{"a": 4.0, "b": 1.0}, {"a": 4.0}])
    assert balance.means.tolist() == [4, 1]
    assert balance.counts.tolist() == [2, 1]


def test_the_gradient_is_that_of_the_logarithms() -> None:
    value = torch.tensor([4.0, 1.0], requires_grad=True)
    LossBalance(["a", "b"])({"a": value[0], "b": value[1]}).backward()
    wanted = torch.tensor([4.0, 1.0], requires_grad=True)
    (math.sqrt(4.0 * 1.0) * wanted.log().sum()).backward()
    torch.testing.assert_close(value.grad, wanted.grad)
