"""The pace of a training: how far it is, how fast it learns there, and when it ends."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from visionkit.training import pace
from visionkit.training.pace import Pace


def trainer(step: int = 0, *, epochs: int | None = 2, batches: int = 5) -> Any:
    """What Lightning's trainer says of itself after `step` steps."""
    return SimpleNamespace(
        max_epochs=epochs,
        global_step=step,
        num_training_batches=batches,
        should_stop=False,
        strategy=SimpleNamespace(broadcast=lambda value: value),
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that is set by hand, in seconds."""
    own = SimpleNamespace(now=100.0)
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: own.now))
    return own


@pytest.mark.parametrize(
    ("step", "epochs", "minutes", "seconds", "done"),
    [
        (0, 2, None, 50.0, 0.0),
        (4, 2, None, 50.0, 0.4),
        (12, 2, None, 0.0, 1.0),
        (4, None, 1.0, 15.0, 0.25),
        (4, -1, 1.0, 15.0, 0.25),
        (4, 2, 1.0, 15.0, 0.4),
        (4, 2, 1.0, 45.0, 0.75),
        (0, 0, None, 0.0, 0.0),
    ],
    ids=[
        "at the start",
        "by steps",
        "never more than all",
        "by the clock",
        "Lightning's word for no limit",
        "steps are ahead",
        "the clock is ahead",
        "no epochs",
    ],
)
def test_done(
    step: int, epochs: int | None, minutes: float | None, seconds: float, done: float
) -> None:
    own = Pace(minutes, 0.0)
    own.elapsed += seconds
    assert own.done(trainer(step, epochs=epochs)) == pytest.approx(done)


def test_the_rate_rises_and_falls() -> None:
    own = Pace(None, 0.2)
    rates = [own.rate(trainer(step, batches=50)) for step in range(101)]
    assert rates[0] == pytest.approx(0.001 / 0.2)
    assert rates[50] == pytest.approx(0.02 + 0.98 / 2)
    assert rates[100] == pytest.approx(0.02)
    assert 0.9 < max(rates) < 1
    assert rates.index(max(rates)) in range(15, 21)
    by_hand = [0.02 + 0.98 * (1 + math.cos(math.pi * step / 100)) / 2 for step in range(101)]
    assert rates[20:] == pytest.approx(by_hand[20:])


def test_a_tick_stops_what_is_over(clock: SimpleNamespace) -> None:
    own, running = Pace(1.0, 0.0), trainer(epochs=None)
    own.start()
    for now, elapsed, over in ((130.0, 30.0, False), (159.0, 59.0, False), (160.0, 60.0, True)):
        clock.now = now
        own.tick(running)
        assert float(own.elapsed) == elapsed
        assert running.should_stop is over


def test_the_last_step_stops_a_training_without_a_clock() -> None:
    own = Pace(None, 0.0)
    own.start()
    for step, over in ((9, False), (10, True)):
        running = trainer(step)
        own.tick(running)
        assert running.should_stop is over


def test_a_resumed_training_goes_on_from_the_time_that_is_over(clock: SimpleNamespace) -> None:
    before, after, running = Pace(1.0, 0.0), Pace(1.0, 0.0), trainer(epochs=None)
    before.start()
    clock.now += 40
    before.tick(running)
    after.load_state_dict(before.state_dict())
    clock.now += 1000  # nothing ran
    after.start()
    clock.now += 20
    after.tick(running)
    assert torch.equal(after.elapsed, torch.tensor(60.0, dtype=torch.float64))
    assert running.should_stop
