"""Measuring an average of weights now and then while it is trained, and keeping the best one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Judge = Callable[[nn.Module], dict[str, float]]
"""Gives a model's figures by name, each 0 or more; the first one counts, and more is better."""


class Averaging(Protocol):
    """What is asked of the module that is trained."""

    averaged: AveragedModel

    @property
    def done(self) -> float:
        """Share of the training that is over, 0..1."""


class BestAverage(Callback):
    """Measures the average of the weights several times and keeps the best; survives a resume.

    Where there are several judges, the best is the one that is best by the mean over the judges of
    its figure, each as a share of the highest that this judge ever gave: so a head whose figures
    are low counts as much as one whose figures are high. Weights that were passed over don't come
    back when a later, higher figure changes the shares.

    Args:
        judges: what measures the model; without any, the last average is kept.
        validations: how often, spread over the training, its end included.
        from_start: whether the weights before the first step are measured and may be kept, too.

    Attributes:
        start: all figures by name before the first step; empty where they were not measured.
        figures: the same of the weights that are kept; empty where nothing was measured.
        epoch: after which they stood, from 1; 0 before the first.
    """

    def __init__(
        self, judges: Sequence[Judge], validations: int, *, from_start: bool = False
    ) -> None:
        self._judges, self._validations = tuple(judges), validations
        self._from_start = from_start
        self._weights: dict[str, Tensor] = {}
        self._measured = 0  # of `validations`
        self._highest = [0.0] * len(self._judges)
        self._kept = [0.0] * len(self._judges)
        self.start: dict[str, float] = {}
        self.figures: dict[str, float] = {}
        self.epoch = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measures what there is before the first step."""
        if self._from_start and self._judges and not self._weights:
            module = cast(Averaging, pl_module)
            counting, self.start = self._measure(module)
            self._keep(module, counting, self.start, epoch=0)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forgets the figures of an earlier epoch, which Lightning would show again."""
        for name in self.figures:
            trainer.callback_metrics.pop(name, None)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measures where it is time, and at the end."""
        module = cast(Averaging, pl_module)
        is_last = module.done >= 1 or trainer.should_stop
        due = int(module.done * self._validations)
        if not is_last and due <= self._measured:
            return
        self._measured = due
        epoch = trainer.current_epoch + 1
        if not self._judges:
            self._keep(module, [], {}, epoch=epoch)
            return
        counting, figures = self._measure(module)
        pl_module.log_dict(figures)
        if not self._weights or _mean_share(counting, self._highest) >= _mean_share(
            self._kept, self._highest
        ):
            self._keep(module, counting, figures, epoch=epoch)

    def restore(self, model: nn.Module) -> None:
        """Puts the kept weights into the model, where there are any."""
        if self._weights:
            model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from."""
        names = ("start", "figures", "epoch", "_measured", "_weights", "_highest", "_kept")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from it."""
        vars(self).update(state_dict)

    def _measure(self, module: Averaging) -> tuple[list[float], dict[str, float]]:
        """The figure of each judge that counts, and all figures."""
        given = [judge(module.averaged.module) for judge in self._judges]
        counting = [next(iter(figures.values())) for figures in given]
        self._highest = [max(pair) for pair in zip(counting, self._highest, strict=True)]
        return counting, {name: value for each in given for name, value in each.items()}

    def _keep(
        self,
        module: Averaging,
        counting: list[float],
        figures: Mapping[str, float],
        *,
        epoch: int,
    ) -> None:
        state = module.averaged.module.state_dict()
        self._weights = {name: value.detach().cpu().clone() for name, value in state.items()}
        self._kept, self.figures, self.epoch = counting, dict(figures), epoch


def _mean_share(figures: Sequence[float], highest: Sequence[float]) -> float:
    """Mean of the figures as shares of the highest ones; where that is 0, all are alike."""
    shares = [
        figure / most if most > 0 else 1.0 for figure, most in zip(figures, highest, strict=True)
    ]
    return sum(shares) / len(shares)
