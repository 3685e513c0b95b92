"""How far a training is, by its steps or by the clock, and how fast it learns there."""

from __future__ import annotations

import math
import time

import lightning as L
import torch
from torch import Tensor, nn

_LAST_RATE = 0.02  # of the learning rate, at the end


class Pace(nn.Module):
    """Counts the time of a training, that before a resume included; saved with its weights.

    Args:
        minutes: the training ends after so many; None is no limit.
        warm_up: share of the training in which the learning rate rises, 0..1.

    Attributes:
        elapsed: () float64 seconds so far.
    """

    elapsed: Tensor

    def __init__(self, minutes: float | None, warm_up: float) -> None:
        super().__init__()
        self.minutes, self.warm_up = minutes, warm_up
        self.register_buffer("elapsed", torch.zeros((), dtype=torch.float64))
        self._clock = 0.0

    def start(self) -> None:
        """Starts the clock."""
        self._clock = time.monotonic()

    def tick(self, trainer: L.Trainer) -> None:
        """Counts the time since the last one, and stops the training when it is over.

        All devices go by the clock of the first one.
        """
        now = time.monotonic()
        passed = now - self._clock
        self._clock = now
        self.elapsed += trainer.strategy.broadcast(passed)
        self.stop(trainer)

    def stop(self, trainer: L.Trainer) -> None:
        """Stops a training that is over, a resumed one before it begins."""
        if self.done(trainer) >= 1:
            trainer.should_stop = True

    def done(self, trainer: L.Trainer) -> float:
        """Share of the training that is over, 0..1, by steps or by the clock."""
        share, epochs = 0.0, trainer.max_epochs
        if epochs is not None and epochs >= 0:  # -1 is no limit
            share = trainer.global_step / max(1, epochs * int(trainer.num_training_batches))
        if self.minutes is not None:
            share = max(share, float(self.elapsed) / (60 * self.minutes))
        return min(1.0, share)

    def rate(self, trainer: L.Trainer) -> float:
        """Share of the learning rate that counts now: a warm-up, then a cosine."""
        done = self.done(trainer)
        warm = min(1.0, (done + 1e-3) / self.warm_up) if self.warm_up else 1.0
        return warm * (_LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * done)) / 2)
