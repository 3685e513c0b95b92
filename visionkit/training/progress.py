"""What a training shows: a line for each epoch, and in a terminal a bar for the one under way."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class EpochProgress(Callback):
    """A line for each epoch that is done; below them moves a bar, where the output is a terminal.

    Args:
        console: where to; None is the standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None)
        self._start = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A bar for the epoch."""
        self._start = time.monotonic()
        self._begin(trainer, self._epoch(trainer), int(trainer.num_training_batches))

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        """The bar moves."""
        self._bar.advance(self._task)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A bar for the validation."""
        words = f"{self._epoch(trainer)}: validation" if _fits(trainer) else "Validation"
        self._begin(trainer, words, int(sum(trainer.num_val_batches)))

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        """The bar moves."""
        self._bar.advance(self._task)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The epoch's line."""
        if trainer.is_global_zero:
            seconds = time.monotonic() - self._start
            line = f"{self._epoch(trainer)}: {_losses(trainer.callback_metrics)}, {seconds:.0f} s"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """The bar goes; an error is not printed into it."""
        self._bar.stop()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """The bar goes."""
        self._bar.stop()

    def _begin(self, trainer: L.Trainer, words: str, total: int) -> None:
        if trainer.is_global_zero:
            self._bar.reset(self._task, total=total, description=words)
            self._bar.start()

    def _epoch(self, trainer: L.Trainer) -> str:
        number = f"Epoch {trainer.current_epoch + 1}"
        endless = trainer.max_epochs is None or trainer.max_epochs < 0  # it ends by the clock
        return number if endless else f"{number} of {trainer.max_epochs}"


def _fits(trainer: L.Trainer) -> bool:
    return trainer.state.fn == "fit"


def _losses(metrics: Mapping[str, Any]) -> str:
    names = {
        "train/loss_epoch": "loss",
        "val/loss": "validation loss",
        "val/ap50": "validation AP50",
    }
    return ", ".join(
        f"{words} {float(metrics[name]):.4f}" for name, words in names.items() if name in metrics
    )
