from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from visionkit.training.best_average import BestAverage, Judge


class Training:
    """What Lightning would hand over, with one weight that says the epoch."""

    def __init__(self, epochs: int) -> None:
        self.model = nn.Linear(1, 1, bias=False)
        self.averaged = SimpleNamespace(module=self.model)
        self.epochs, self.logged = epochs, []  # type: ignore[var-annotated]
        self.done = 0.0

    def log_dict(self, figures: dict[str, float]) -> None:
        self.logged.append(dict(figures))

    def run(self, best: BestAverage) -> None:
        trainer: Any = SimpleNamespace(current_epoch=0, should_stop=False, callback_metrics={})
        module: Any = self
        self._set(0)
        best.on_train_start(trainer, module)
        for epoch in range(self.epochs):
            trainer.current_epoch = epoch
            best.on_train_epoch_start(trainer, module)
            self._set(epoch + 1)
            self.done = (epoch + 1) / self.epochs
            best.on_train_epoch_end(trainer, module)

    def _set(self, value: float) -> None:
        nn.init.constant_(self.model.weight, value)


def judge(name: str, figures: list[float]) -> Judge:
    """Gives the figure of the epoch that the weight says."""
    return lambda model: {name: figures[round(next(model.parameters()).item())]}


def kept(figures: dict[str, list[float]], validations: int, *, from_start: bool = True) -> Any:
    epochs = len(next(iter(figures.values()))) - 1
    training = Training(epochs)
    judges = [judge(name, values) for name, values in figures.items()]
    best = BestAverage(judges, validations, from_start=from_start)
    training.run(best)
    model = nn.Linear(1, 1, bias=False)
    best.restore(model)
    assert model.weight.item() == best.epoch
    assert best.figures == {name: values[best.epoch] for name, values in figures.items()}
    return best


@pytest.mark.parametrize(
    ("figures", "epoch"),
    [
        ([0.1, 0.5, 0.4, 0.3], 1),
        ([0.1, 0.2, 0.3, 0.3], 3),  # of equals the later one
        ([0.9, 0.2, 0.3, 0.4], 0),
        ([0.0, 0.0, 0.0, 0.0], 3),
    ],
    ids=["best", "equal", "start", "nothing"],
)
def test_of_one_judge_the_best_is_kept(figures: list[float], epoch: int) -> None:
    assert kept({"a": figures}, 3).epoch == epoch


def test_low_figures_count_as_much_as_high_ones() -> None:
    # Epoch 1: 1 and 1/2 of the highest, mean 0.75; epoch 2: 0.9 and 1, mean 0.95. The sum of the
    # figures would keep epoch 1: 1.02 against 0.94.
    assert kept({"high": [0.1, 1.0, 0.9], "low": [0.0, 0.02, 0.04]}, 2).epoch == 2


def test_the_start_is_measured_only_where_asked() -> None:
    figures = {"a": [0.9, 0.2, 0.3]}
    assert kept(figures, 2).start == {"a": 0.9}
    best = kept(figures, 2, from_start=False)
    assert (best.start, best.epoch) == ({}, 2)


def test_as_often_as_asked_and_at_the_end() -> None:
    training = Training(10)
    training.run(BestAverage([judge("a", [float(number) for number in range(11)])], 3))
    assert [each["a"] for each in training.logged] == [4, 7, 10]


def test_without_a_judge_the_last_is_kept() -> None:
    best = BestAverage([], 2, from_start=True)
    Training(4).run(best)
    assert (best.epoch, best.figures, best.start) == (4, {}, {})


def test_a_resumed_one_goes_on() -> None:
    first = kept({"a": [0.1, 0.6, 0.5]}, 2)
    second = BestAverage([judge("a", [0.1, 0.6, 0.5])], 2, from_start=True)
    second.load_state_dict(first.state_dict())
    model = nn.Linear(1, 1, bias=False)
    second.restore(model)
    assert (model.weight.item(), second.epoch) == (1, 1)
    assert second.start == {"a": 0.1}
    torch.testing.assert_close(second.state_dict(), first.state_dict())
