"""The debugger as Lightning's Trainer takes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from visionkit.training.debugger.classes import NamedClasses
from visionkit.training.debugger.findings import Finding
from visionkit.training.debugger.settings import DebuggerSettings
from visionkit.training.debugger.watch import TrainingWatch

_VALIDATION = ("val/loss", "val_loss", "valid_loss", "validation_loss")
_FIGURES = ("val/ap", "val/accuracy", "val_acc", "val_accuracy", "val_map")  # more is better
_NOT_FINITE = ("finite", "nan", "inf")  # words of the errors that say so


class TrainingDebugger(Callback):
    """Watches any LightningModule: `Trainer(callbacks=[TrainingDebugger()])`; or a plain loop.

    Args:
        settings: how; None takes the defaults.
        folder: where `findings.json` is written; None is the trainer's `default_root_dir`.
        frozen: beginnings of the names of tensors that are meant to stay as they are, beside those
            that have no gradient.
        class_weights: (K,) how much pictures of each class count in the loss; None takes what the
            model's own modules say, such as a criterion within it.
        say: called with each new finding; None prints it.
        write: whether anything is written.

    Attributes:
        findings: of the training, each rule's first one.
    """

    def __init__(
        self,
        settings: DebuggerSettings | None = None,
        *,
        folder: str | Path | None = None,
        frozen: Sequence[str] = (),
        class_weights: Tensor | None = None,
        say: Callable[[Finding], None] | None = None,
        write: bool = True,
    ) -> None:
        self.settings = settings or DebuggerSettings()
        self.findings: list[Finding] = []
        self._folder, self._frozen, self._say = folder, tuple(frozen), say
        self._write, self._class_weights = write, class_weights
        self._named: NamedClasses | None = None
        self._watch: TrainingWatch | None = None
        self._batch: tuple[Any, int] | None = None

    def watch(
        self, model: nn.Module, *optimizers: torch.optim.Optimizer, first_step: int = 0
    ) -> TrainingWatch:
        """What is told of each step of a plain loop; see `TrainingWatch`.

        Args:
            model: what is trained.
            optimizers: of it.
            first_step: for a training that goes on.
        """
        return TrainingWatch(
            model,
            optimizers,
            self.settings,
            frozen_names=self._frozen,
            say=self._say,
            first_step=first_step,
            class_weights=self._class_weights,
        )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Watching begins."""
        if not self.settings.enabled or not trainer.is_global_zero:
            return
        self._watch = self.watch(pl_module, *trainer.optimizers, first_step=trainer.global_step)
        known = {finding.rule for finding in self.findings}  # of the run that goes on
        self._watch.findings += self.findings
        self.findings = self._watch.findings
        self._watch.stopped = self.settings.stop and bool(known) and self._is_hopeless()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """A step begins."""
        if self._watch is not None:
            self._batch = (batch, batch_idx)
            self._watch.begin(batch, epoch=trainer.current_epoch)

    def on_before_backward(
        self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor
    ) -> None:
        """The loss is known; where it is no number, the layer that made it is looked for."""
        if self._watch is not None:
            scale = trainer.accumulate_grad_batches  # what Lightning has divided by
            self._watch.loss(loss * scale, again=lambda: self._again(pl_module))

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Gradients are whole."""
        if self._watch is not None:
            self._watch.before_update()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """A step ends, and with it perhaps the training."""
        if self._watch is not None:
            self._watch.end()
            self._batch = None
            if self._watch.stopped:
                trainer.should_stop = True

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A validation begins: how it names pictures is seen where the network says classes."""
        if self._watch is not None and not trainer.sanity_checking:
            self._named = NamedClasses(pl_module, max(self._watch.history.labels, default=-1) + 1)

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """A batch of a validation is over."""
        if self._named is not None:
            self._named.add(batch)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A validation is over."""
        confusion = None if self._named is None else self._named.close()
        self._named = None
        if self._watch is None or trainer.sanity_checking:
            return
        loss = _first(trainer.callback_metrics, _VALIDATION)
        figure = _first(trainer.callback_metrics, _FIGURES)
        if (loss, figure, confusion) != (None, None, None):
            self._watch.validated(loss, figure=figure, confusion=confusion)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Figures that other callbacks measured where there is no validation by Lightning."""
        if self._watch is None or trainer.enable_validation:
            return
        figure = _first(trainer.callback_metrics, _FIGURES)
        if figure is not None:
            self._watch.validated(figure=figure)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """What was found is written."""
        self._finish(trainer)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """A training that ends because its loss is no number is looked at before it goes."""
        if self._watch is None:
            return
        if self._named is not None:  # a validation that was under way
            self._named.close()
            self._named = None
        words = str(exception).lower()
        if self._batch is not None and any(word in words for word in _NOT_FINITE):
            self._watch.nonfinite(math.nan, again=lambda: self._again(pl_module))
        self._finish(trainer)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has found before."""
        return {"findings": [vars(finding) for finding in self.findings]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from it."""
        self.findings = [Finding(**values) for values in state_dict["findings"]]

    def _again(self, pl_module: L.LightningModule) -> None:
        """The forward pass of the batch that is under way, once more and without a log."""
        if self._batch is not None:
            with _quiet(pl_module):
                pl_module.training_step(*self._batch)

    def _finish(self, trainer: L.Trainer) -> None:
        if self._watch is None:
            return
        folder = trainer.default_root_dir if self._folder is None else self._folder
        self.findings = self._watch.finish(folder if self._write else None)
        self._watch = self._batch = None

    def _is_hopeless(self) -> bool:
        return any(finding.hopeless for finding in self.findings)


def _first(metrics: Mapping[str, Tensor], names: Sequence[str]) -> float | None:
    found = [float(metrics[name]) for name in names if name in metrics]
    return found[0] if found else None


@contextmanager
def _quiet(module: L.LightningModule) -> Iterator[None]:
    """A module that logs nothing."""
    own = vars(module)
    own["log"] = own["log_dict"] = lambda *_, **__: None
    try:
        yield
    finally:
        del own["log"], own["log_dict"]
