"""Watching one training, whoever runs it: told of each step, it looks now and then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from visionkit.files import write_json
from visionkit.training.debugger.batches import labels_of, read_batch
from visionkit.training.debugger.classes import class_weights_of
from visionkit.training.debugger.findings import FILE_NAME, Finding, write_findings
from visionkit.training.debugger.flow import FlowRecorder, expected_ranges, watched_modules
from visionkit.training.debugger.history import Batch, History, Look
from visionkit.training.debugger.hooks import Hook
from visionkit.training.debugger.nonfinite import first_nonfinite
from visionkit.training.debugger.rules import check
from visionkit.training.debugger.series import SERIES_NAME, series_of
from visionkit.training.debugger.settings import DebuggerSettings
from visionkit.training.debugger.weights import (
    Step,
    StepRecorder,
    Unmoved,
    frozen,
    frozen_statistics,
    learning,
)

Loaded = TypeVar("Loaded")
_FIRST = 4  # steps that are looked at, whatever the interval


class TrainingWatch:
    """Sees one training from its first step on.

    In a plain loop three lines do:

        watch = visionkit.TrainingDebugger().watch(model, optimizer)
        for images, labels in watch.batches(loader):
            ...
            watch.loss(loss)  # before loss.backward()

    Args:
        model: what is trained, as it is right before the first step.
        optimizers: of it.
        settings: how it is watched.
        frozen_names: beginnings of the names of tensors that are meant to stay as they are, beside
            those that have no gradient.
        say: called with each new finding; None prints it.
        first_step: number of the first step, for a training that goes on.
        class_weights: (K,) how much pictures of each class count in the loss; None takes what
            the model's own modules say.

    Attributes:
        findings: so far, each rule's first one.
        history: what was seen.
        stopped: whether the training should end: it can't recover, and `settings.stop` says so.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer] = (),
        settings: DebuggerSettings | None = None,
        *,
        frozen_names: Sequence[str] = (),
        say: Callable[[Finding], None] | None = None,
        first_step: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        self.settings = settings or DebuggerSettings()
        self.findings: list[Finding] = []
        self.history = History()
        self.stopped = False
        self._model, self._optimizers = model, list(optimizers)
        self._say = say or print_finding
        self._step = self._first = first_step
        self._epoch = -1
        self._modules = watched_modules(model)
        self._expected = expected_ranges(model)
        self._learning = learning(model)
        trained = {
            id(each)
            for optimizer in self._optimizers
            for group in optimizer.param_groups
            for each in group["params"]
        }
        self._frozen = Unmoved(frozen(model, trained, frozen_names))
        self._frozen_names = tuple(frozen_names)
        self._statistics = Unmoved(frozen_statistics(model, frozen_names))
        self.history.fan_in = {
            name: math.prod(each.shape[1:])
            for name, each in self._learning.items()
            if each.ndim > 1
        }
        weights = class_weights_of(model) if class_weights is None else class_weights
        self.history.class_weights = {} if weights is None else dict(enumerate(weights.tolist()))
        device = next(iter(model.parameters()), torch.zeros(())).device
        self.history.has_accelerator = device.type != "cpu"
        self._flow: FlowRecorder | None = None
        self._update: StepRecorder | None = None
        self._done: Step | None = None
        self._wants_update = False
        self._batch: Batch = Batch()
        self._labels: Tensor | None = None
        self._pending: list[tuple[int, Tensor]] = []
        self._ended: float | None = None
        self._wait = 0.0
        self._again: Callable[[], object] | None = None  # of a plain loop

    def begin(self, batch: object, *, epoch: int) -> None:
        """A step begins.

        Args:
            batch: as the network gets it.
            epoch: from 0.
        """
        now = time.monotonic()
        if epoch != self._epoch:
            self._ended, self._epoch = None, epoch
        self._wait = 0.0 if self._ended is None else now - self._ended
        nth = self._step - self._first
        if self._flow is not None:
            self._labels = labels_of(batch)  # of the vectors that it sees last
        elif nth < _FIRST or self._step % self.settings.interval == 0:
            self._open(batch)

    def loss(self, loss: Tensor, *, again: Callable[[], object] | None = None) -> None:
        """Tells the step's loss; before its backward pass, so that what made it NaN can be found.

        Args:
            loss: () of this step.
            again: runs the forward pass of the step once more.
        """
        loss = loss.detach()
        self._pending.append((self._step, loss))
        if not self.history.has_accelerator and not math.isfinite(float(loss)):
            self.nonfinite(float(loss), again=again or self._again)

    def nonfinite(self, value: float, *, again: Callable[[], object] | None = None) -> None:
        """Says where a loss that is no finite number came from.

        Args:
            value: the loss.
            again: as of `loss`.
        """
        self._drop()
        if any(finding.rule == "nonfinite" for finding in self.findings):
            return
        step = next((n for n, loss in self._pending if not math.isfinite(float(loss))), self._step)
        layer = first_nonfinite(self._model, again)
        self._add(
            Finding(
                "nonfinite",
                f"the loss is {value}; the first value that is not finite lies in batch "
                f"{step} of the training",
                layer,
                step,
                value,
                torch.finfo(torch.float32).max,
                "Every weight that learns from such a loss becomes NaN itself. The training can't "
                "come back from it.",
                "look at the batch where it is the input; else a smaller task.learning_rate, "
                "task.gradient_clip=1, or trainer.precision=32-true",
                hopeless=True,
            )
        )

    def before_update(self) -> None:
        """The optimizer is about to change the weights; gradients are whole."""
        if self._wants_update:
            self._update, self._wants_update = StepRecorder(self._learning), False

    def end(self) -> None:
        """A step has ended."""
        now = time.monotonic()
        if self._ended is not None and self._epoch > 0:
            self.history.waits.append(self._wait)
            self.history.seconds.append(now - self._ended)
        if self._update is not None:
            self._done, self._update = self._update.close(), None
        if self._flow is not None and not self._wants_update:
            self._close()
        elif not self.history.has_accelerator:
            self._take_losses()
        self._step += 1
        self._ended = time.monotonic()

    def validated(
        self,
        loss: float | None = None,
        *,
        figure: float | None = None,
        confusion: NDArray[np.int64] | None = None,
    ) -> None:
        """Tells of a validation what is known of it.

        Args:
            loss: its loss.
            figure: 0 or more, and more is better, such as the accuracy.
            confusion: (K, K) int64 how many pictures of each class (row) were named as each.
        """
        if loss is not None and math.isfinite(loss):
            self.history.validation.append((self._step, loss))
        if figure is not None and math.isfinite(figure):
            self.history.measured.append((self._step, figure))
        if confusion is not None:
            self.history.confusion = [*self.history.confusion, confusion][-self.settings.patience :]
        self._ended = None
        self._check()

    def batches(self, loader: Iterable[Loaded]) -> Iterator[Loaded]:
        """The batches of one epoch of a plain loop; each step ends where the next batch is asked.

        Ends early where the training should stop.
        """
        epoch = self._epoch + 1
        inputs: list[tuple[Any, Any]] = []

        def keep(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            inputs[:] = [(given, named)]

        handles = [self._model.register_forward_pre_hook(Hook(keep), with_kwargs=True)]
        handles += [
            optimizer.register_step_pre_hook(lambda *_: self.before_update())
            for optimizer in self._optimizers
        ]
        self._again = lambda: [self._model(*given, **named) for given, named in inputs]
        try:
            for batch in loader:
                self.begin(batch, epoch=epoch)
                try:
                    yield batch
                finally:  # also where the loop is left early
                    self.end()
                inputs.clear()
                if self.stopped:
                    return
        finally:
            self._drop()  # one that waits for its optimizer would see the validation
            for handle in handles:
                handle.remove()

    def finish(self, folder: str | Path | None = None) -> list[Finding]:
        """The findings; also written to `findings.json` of a folder, with what was seen beside it.

        Raises:
            RuntimeError: the disk is full.
        """
        self._drop()
        self._take_losses()
        if folder is not None:
            write_findings(Path(folder) / FILE_NAME, self.findings)
            write_json(Path(folder) / SERIES_NAME, series_of(self.history))
        return list(self.findings)

    def _open(self, batch: object) -> None:
        self._batch, self._labels = read_batch(batch), labels_of(batch)
        self._flow = FlowRecorder(self._modules, self._expected)
        self._wants_update, self._done = True, None

    def _close(self) -> None:
        if self._flow is None:
            return
        flow, pictures, embeddings = self._flow.close(self._labels)
        self._flow = None
        self._take_losses()
        done = self._done
        still = frozen_statistics(self._model, self._frozen_names)
        rates = [
            float(group["lr"])
            for optimizer in self._optimizers
            for group in optimizer.param_groups
            if "lr" in group
        ]
        look = Look(
            step=self._step,
            epoch=self._epoch,
            rate=max(rates, default=math.nan),
            gradients=done.gradients if done else {},
            weights=done.weights if done else {},
            updates=done.updates if done else {},
            constant=done.constant if done else (),
            moved=self._frozen.moved(),
            statistics=tuple(name for name in self._statistics.moved() if name in still),
            flow=flow,
            pictures=pictures,
            embeddings=embeddings,
            batch=self._batch,
        )
        self.history.add(look)
        self._check()

    def _drop(self) -> None:
        """A look that leads to nothing."""
        if self._flow is not None:
            self._flow.drop()
        self._flow = self._update = self._done = None
        self._wants_update = False

    def _take_losses(self) -> None:
        if not self._pending:
            return
        values = torch.stack([loss.float().reshape(()) for _, loss in self._pending]).tolist()
        steps = [step for step, _ in self._pending]
        self.history.losses += [
            (step, value) for step, value in zip(steps, values, strict=True) if math.isfinite(value)
        ]
        wrong = [value for value in values if not math.isfinite(value)]
        if wrong and self.history.has_accelerator:
            self.nonfinite(wrong[0])
        self._pending.clear()

    def _check(self) -> None:
        known = {finding.rule for finding in self.findings}
        if self.history.looks and "nonfinite" not in known:
            for finding in check(self.history, self.settings, known):
                self._add(finding)

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)
        self._say(finding)
        self.stopped = self.stopped or (self.settings.stop and finding.hopeless)


def print_finding(finding: Finding) -> None:
    """Prints a finding on the terminal."""
    Console().print(str(finding), markup=False, highlight=False)
