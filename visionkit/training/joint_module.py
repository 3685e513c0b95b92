"""One backbone and several heads as Lightning trains them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from visionkit.data.problems import Problem
from visionkit.heads.classification import ClassificationHead
from visionkit.heads.localization import LocalizationHead
from visionkit.models.backbone import Backbone
from visionkit.training.averaging import averaged
from visionkit.training.balance import LossBalance
from visionkit.training.boxed import BoxBatch, Turns
from visionkit.training.classed import ClassBatch
from visionkit.training.classification_module import Classifier, class_loss
from visionkit.training.joint_settings import JointSettings
from visionkit.training.localization_module import (
    Localizer,
    ShownBoxes,
    box_losses,
    head_classes,
)
from visionkit.training.pace import Pace
from visionkit.training.stepping import (
    head_rate,
    keep_norms,
    layered_optimizer,
    require_finite,
    set_rates,
)

Batches = Mapping[str, ClassBatch | BoxBatch]
"""Task -> a batch of its own data, for each head there is."""


class JointNetwork(nn.Module):
    """One backbone with the heads that learn on it.

    Args:
        backbone: sees for all of them.
        heads: "classification" or "localization" -> the head.
    """

    def __init__(self, backbone: Backbone, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict(heads)

    @property
    def classifier(self) -> Classifier:
        """Backbone and classification head; the tensors are these.

        Raises:
            KeyError: there is no such head.
        """
        return Classifier(self.backbone, cast(ClassificationHead, self.heads["classification"]))

    @property
    def localizer(self) -> Localizer:
        """Backbone and localization head; the tensors are these.

        Raises:
            KeyError: there is no such head.
        """
        return Localizer(self.backbone, cast(LocalizationHead, self.heads["localization"]))


class JointTraining(L.LightningModule):
    """One step: a batch of each head's data, one balanced loss, all weights averaged.

    Args:
        model: is changed in place.
        settings: how.
        turns: the order of the pictures with boxes, which is told when mosaics end; None where
            there is no localization head.

    Attributes:
        averaged: the average of the model's past weights.
        balance: how much each head's loss counts.
        pace: how far the training is.
        shown: boxes that were shown and lost so far.
        problems: head -> pictures that could not be read, by their file.
    """

    def __init__(
        self, model: JointNetwork, settings: JointSettings, turns: Turns | None = None
    ) -> None:
        super().__init__()
        self.model, self.settings = model, settings
        self.averaged = averaged(model, settings.average)
        self.balance = LossBalance(tuple(model.heads))
        self.pace = Pace(settings.minutes, settings.warm_up)
        is_locating = "localization" in model.heads
        self.shown = ShownBoxes(head_classes(model.localizer.head) if is_locating else 0)
        self.problems: dict[str, dict[str, Problem]] = {task: {} for task in model.heads}
        self._turns = turns

    @property
    def done(self) -> float:
        """Share of the training that is over, 0..1, by steps or by the clock."""
        return self.pace.done(self.trainer)

    def train(self, mode: bool = True) -> JointTraining:
        """Itself, in training mode but for what keeps its statistics."""
        super().train(mode)
        self.averaged.eval()
        if self.settings.fixed_norms:
            keep_norms(self.model.backbone)
        return self

    def on_train_start(self) -> None:
        """Starts the clock; what was over before a resume stays so."""
        self.pace.start()
        self.pace.stop(self.trainer)

    def on_train_epoch_start(self) -> None:
        """Ends mosaics where it is time."""
        self.train()
        if self._turns is not None:
            self._turns.calm = self.done >= 1 - self.settings.localization.calm

    def on_train_batch_start(self, batch: Batches, batch_idx: int) -> None:
        """Sets the rates, and the chance that dropout draws from."""
        torch.manual_seed(self.settings.seed + 7919 * self.global_step)
        set_rates(self.optimizers(), self.pace.rate(self.trainer))

    def training_step(self, batch: Batches, batch_idx: int) -> Tensor | None:
        """The balanced loss, (); None where no picture could be read."""
        losses = {}
        for task, own in batch.items():
            self.problems[task] |= {problem.file: problem for problem in own.problems}
            if len(own.images):
                losses[task] = self._loss(own)
        if not losses:
            return None
        size = sum(len(own.images) for own in batch.values())
        total = torch.stack(list(losses.values())).sum()
        rate = self.settings.backbone_rate(losses).learning_rate
        require_finite(total, step=self.global_step, learning_rate=rate)
        balanced: Tensor = self.balance(losses)
        self.log("train/loss", total.detach(), batch_size=size, on_step=True, on_epoch=True)
        told = {f"train/{task}": loss.detach() for task, loss in losses.items()}
        weights = zip(self.balance.names, self.balance.weights, strict=True)
        told |= {f"train/weight_{task}": weight for task, weight in weights}
        self.log_dict(told, batch_size=size, on_step=False, on_epoch=True)
        return balanced

    def on_train_batch_end(self, outputs: object, batch: Batches, batch_idx: int) -> None:
        """Averages the weights, reads the clock and stops when the time is over."""
        self.averaged.update_parameters(self.model)
        self.pace.tick(self.trainer)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW: each head at its rate, early layers of the backbone slowest."""
        settings = self.settings
        rates = {
            "classification": head_rate(settings.naming),
            "localization": head_rate(settings.locating),
        }
        heads = [(head, rates[task]) for task, head in self.model.heads.items()]
        rate = settings.backbone_rate(tuple(self.model.heads))
        return layered_optimizer(heads, self.model.backbone, rate, layer_decay=settings.layer_decay)

    def _loss(self, batch: ClassBatch | BoxBatch) -> Tensor:
        rng = np.random.default_rng([self.settings.seed, self.global_step])
        if isinstance(batch, ClassBatch):
            return class_loss(self.model.classifier, batch, self.settings.naming.mix, rng)
        self.shown.add(batch)
        scales = self.settings.localization.scales
        losses = box_losses(self.model.localizer, batch, scales, rng)
        return torch.stack(list(losses.values())).sum()
