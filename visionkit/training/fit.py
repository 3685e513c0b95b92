"""Training the scorers of a gallery's items: Lightning runs it, a killed run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from visionkit.heads.exemplar import ExemplarHead
from visionkit.matching.finder import Finder
from visionkit.training.debugger.settings import DebuggerSettings
from visionkit.training.lightning_parts import (
    Clock,
    Patience,
    Shuffled,
    best_epoch,
    calm,
    last_of,
    new_trainer,
    whole_epochs,
)
from visionkit.training.module import ExemplarTraining
from visionkit.training.pairs import LessonDataset, SceneSource, join


@dataclass(frozen=True)
class FitSettings:
    """How the head is trained.

    Attributes:
        max_epochs: 0 trains nothing.
        patience: epochs without a better validation loss after which training ends.
        batch_size: scenes a step.
        learning_rate: of Adam.
        weight_decay: strength of the L2 penalty.
        trust: part of the learned change of scores that is used afterwards, 0..1. Composed scenes
            are not the real ones: halfway from the untrained to the trained score is better than
            the whole way, as in Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR
            2022. AP50 with the starter weights at 0, 0.25, 0.5, 0.75 and 1: 0.748, 0.754, 0.771,
            0.761 and 0.764 on refrigerators to choose on; 0.648, 0.665, 0.675, 0.673 and 0.662 on
            FlickrLogos-27's second subset.
        gradient_clip: largest norm of the gradient; 0 clips nothing.
        accelerator, devices, precision: as Lightning's Trainer takes them.
        workers: processes that prepare scenes; 0 is the main process.
        progress: whether to print a line an epoch and, in a terminal, to show a bar.
        debugger: how the training is watched.
        seed: of everything random.
    """

    max_epochs: int = 12
    patience: int = 4
    batch_size: int = 8
    learning_rate: float = 1e-2
    weight_decay: float = 1e-4
    trust: float = 0.5
    gradient_clip: float = 1.0
    accelerator: str = "auto"
    devices: int = 1
    precision: Any = "32-true"
    workers: int = 0
    progress: bool = True
    debugger: DebuggerSettings = field(default_factory=DebuggerSettings)
    seed: int = 0


@dataclass(frozen=True)
class FitResult:
    """What training came to.

    Attributes:
        untrained_loss: validation loss of the head that changes nothing.
        best_loss: validation loss of the head that was kept.
        epochs: trained, those of a resumed run included.
        seconds: of each epoch of this process, validation included.
        curve: a dict an epoch with the mean losses, e.g. "train/loss", "val/loss".
    """

    untrained_loss: float
    best_loss: float
    epochs: int
    seconds: tuple[float, ...]
    curve: tuple[dict[str, float], ...]

    @property
    def learned(self) -> bool:
        """Whether training made the validation loss smaller."""
        return self.best_loss < self.untrained_loss


def fit(
    finder: Finder,
    train: SceneSource,
    val: SceneSource,
    folder: Path,
    settings: FitSettings,
) -> FitResult:
    """Trains a scorer for each of the finder's items and keeps the best epoch.

    Scorers that end up worse on the validation scenes than none are taken away again.

    Args:
        finder: with its gallery filled; its backbone must be frozen.
        train: scenes to learn from.
        val: scenes to choose the epoch on.
        folder: of the run: checkpoints, logs and cached lessons. What lies there from a killed
            run is used: training goes on after its last whole epoch.
        settings: how.

    Raises:
        ValueError: there are no scenes.
        RuntimeError: the loss is not finite.
    """
    if not len(train) or not len(val):
        raise ValueError(
            f"training must have scenes, got {len(train)} to train and {len(val)} to validate on"
        )
    with calm(), _whole_general(finder.head):
        L.seed_everything(settings.seed, verbose=False)
        finder.learn_items()
        train_loader = _loader(finder, train, folder / "cache" / "train", settings, shuffle=True)
        val_loader = _loader(finder, val, folder / "cache" / "val", settings, shuffle=False)
        module = ExemplarTraining(
            finder.head, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay
        )
        best = best_epoch(folder, "val/loss")
        clock = Clock()
        stop = Patience("val/loss", patience=settings.patience, check_finite=True)
        trainer = new_trainer(folder, settings, [best, whole_epochs(folder), clock, stop])
        untrained = _loss(trainer, module, val_loader)
        finder.head.train()
        trainer.fit(module, train_loader, val_loader, ckpt_path=last_of(folder))
        _require_finite(trainer, settings)
        best_loss = untrained
        best_file = Path(best.best_model_path)
        if best_file.is_file():
            state = torch.load(best_file, map_location="cpu", weights_only=True)
            module.load_state_dict(state["state_dict"])
            best_loss = _loss(trainer, module, val_loader)
        if best_loss < untrained:
            finder.head.temper(settings.trust)
        else:
            finder.forget_items()
        finder.head.eval()
    return FitResult(
        untrained, best_loss, trainer.current_epoch, tuple(clock.seconds), tuple(clock.curve)
    )


@contextmanager
def _whole_general(head: ExemplarHead) -> Iterator[None]:
    """The general comparison counts whole, lest the scorers learn what is left out of it."""
    trust, head.general_trust = head.general_trust, 1.0
    try:
        yield
    finally:
        head.general_trust = trust


def _loader(
    finder: Finder, scenes: SceneSource, cache: Path, settings: FitSettings, *, shuffle: bool
) -> DataLoader[Any]:
    return DataLoader(
        LessonDataset(finder, scenes, cache),
        batch_size=settings.batch_size,
        sampler=Shuffled(len(scenes), settings.seed) if shuffle else None,
        num_workers=settings.workers,
        collate_fn=join,
    )


def _loss(trainer: L.Trainer, module: ExemplarTraining, loader: DataLoader[Any]) -> float:
    """Mean loss of the head as it is; also fills the cache."""
    return float(trainer.validate(module, loader, verbose=False)[0]["val/loss"])


def _require_finite(trainer: L.Trainer, settings: FitSettings) -> None:
    loss = trainer.callback_metrics.get("val/loss")
    if loss is not None and not torch.isfinite(loss):
        raise RuntimeError(
            f"the validation loss must be finite, got {float(loss)} in epoch "
            f"{trainer.current_epoch}; try a smaller learning rate than {settings.learning_rate}"
        )
