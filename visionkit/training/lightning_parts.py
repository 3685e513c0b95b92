"""What every training by Lightning shares: whole checkpoints, a clock, loggers, orders to see."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import lightning as L
import numpy as np
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch.utils.data import Sampler

from visionkit.files import atomic_path
from visionkit.training.debugger import DebuggerSettings, TrainingDebugger
from visionkit.training.progress import EpochProgress

LAST = "last.ckpt"
"""Name of the checkpoint of the last whole epoch, in the folder `checkpoints` of a run."""


class TrainerSettings(Protocol):
    """What the settings of every training say."""

    @property
    def max_epochs(self) -> int | None:
        """Training ends after so many; None is no limit."""

    @property
    def accelerator(self) -> str:
        """As Lightning's Trainer takes it."""

    @property
    def devices(self) -> int:
        """How many."""

    @property
    def precision(self) -> Any:
        """As Lightning's Trainer takes it."""

    @property
    def gradient_clip(self) -> float:
        """Largest norm of the gradient; 0 clips nothing."""

    @property
    def progress(self) -> bool:
        """Whether a line an epoch is printed."""

    @property
    def debugger(self) -> DebuggerSettings:
        """How the training is watched."""


@contextmanager
def calm() -> Iterator[None]:
    """Lightning without its greetings and hints: what a user can act on is said by the job."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated")
            warnings.filterwarnings("ignore", "The '.*dataloader' does not have many workers")
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
            warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")
            warnings.filterwarnings("ignore", "You defined a `validation_step` but have no")
            warnings.filterwarnings("ignore", "The dirpath has changed from")  # the run was moved
            # What is frozen, and averages of weights, are meant to stay in evaluation mode.
            warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")
            yield
    finally:
        logger.setLevel(level)


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or not there, whenever the process is killed."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Writes beside the place and moves there in one step."""
        with atomic_path(Path(path)) as partial:
            super().save_checkpoint(checkpoint, partial, storage_options)


class Clock(Callback):
    """Seconds and figures of each epoch.

    Attributes:
        seconds: of each epoch of this process.
        curve: the figures of each epoch, those of a resumed run included.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.curve: list[dict[str, float]] = []
        self._start = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock."""
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reads it."""
        self.seconds.append(time.monotonic() - self._start)
        self.curve.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from."""
        return {"curve": self.curve}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from it."""
        self.curve = list(state_dict["curve"])


class Shuffled(Sampler[int]):
    """Numbers in an order of each epoch's own, whatever ran before it.

    So a resumed training sees what an uninterrupted one would have seen.

    Args:
        count: how many numbers, from 0.
        seed: another seed gives other orders.

    Attributes:
        epoch: whose order comes next.
    """

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed, self.epoch = count, seed, 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([self._seed, self.epoch]).permutation(self._count)
        return iter(order.tolist())

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch


def new_trainer(
    folder: Path, settings: TrainerSettings, callbacks: list[Callback], *, log_every: int = 1
) -> L.Trainer:
    """A trainer that writes whole checkpoints and curves, says a line an epoch, and is watched.

    Args:
        folder: of the run.
        settings: on what, how long and how loud.
        callbacks: of the training.
        log_every: steps from one point of the curves to the next.
    """
    shown: list[Callback] = [EpochProgress()] if settings.progress else []
    if settings.debugger.enabled:
        shown.append(TrainingDebugger(settings.debugger, folder=folder))
    return L.Trainer(
        max_epochs=-1 if settings.max_epochs is None else settings.max_epochs,
        accelerator=settings.accelerator,
        devices=settings.devices,
        precision=settings.precision,
        gradient_clip_val=settings.gradient_clip or None,
        callbacks=[*callbacks, *shown],
        logger=loggers(folder),
        plugins=[AtomicCheckpoints()],
        enable_progress_bar=False,  # its own floods what is no terminal
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=log_every,
        default_root_dir=folder,
    )


def whole_epochs(folder: Path) -> ModelCheckpoint:
    """Keeps the last whole epoch of the run in this folder, for `last_of`."""
    return ModelCheckpoint(
        folder / "checkpoints",
        Path(LAST).stem,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


class Patience(EarlyStopping):
    """Ends a training that gets no better; one that was ended so does not begin again."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ends a resumed training that had run out of patience."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from the epochs that were waited, with the patience that is asked for now."""
        super().load_state_dict({**state_dict, "patience": self.patience})


class BestEpoch(ModelCheckpoint):
    """A checkpoint of the best epoch, which is known again where the run was moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from the best epoch so far, in the folder that the run is in now."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath), Path(path).name)) if path else path

        moved = {
            name: here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path")
        }
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        found = {**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath}
        super().load_state_dict(found)


def best_epoch(folder: Path, figure: str) -> BestEpoch:
    """Keeps the epoch of the smallest figure of the run in this folder; beside `whole_epochs`.

    Its own `save_last` is no stand-in for that: it passes over epochs that are not better.
    """
    return BestEpoch(
        folder / "checkpoints",
        "best",
        monitor=figure,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def last_of(folder: Path) -> Path | None:
    """What a run in this folder goes on from; None where there is nothing yet."""
    file = folder / "checkpoints" / LAST
    return file if file.is_file() else None


def loggers(folder: Path) -> list[Logger]:
    """CSV and TensorBoard curves in `folder/logs`."""
    return [
        CSVLogger(folder, name="logs", version=_log_name(folder)),
        TensorBoardLogger(folder, name="logs", version=""),
    ]


def _log_name(folder: Path) -> str:
    """A resumed run writes a table of its own: the logger would delete the one that is there."""
    return f"part_{1 + len(list((folder / 'logs').glob('part_*')))}"
