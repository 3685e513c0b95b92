"""Backbone and classification head as Lightning trains them, by epochs or by the clock."""

from __future__ import annotations

from typing import cast

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from visionkit.data.problems import Problem
from visionkit.heads.classification import ClassificationHead
from visionkit.models.backbone import Backbone
from visionkit.training.averaging import averaged
from visionkit.training.classed import ClassBatch
from visionkit.training.finetune_settings import FinetuneSettings
from visionkit.training.mixing import MixSettings, mix
from visionkit.training.pace import Pace
from visionkit.training.shares import shares_of
from visionkit.training.stepping import (
    backbone_rate,
    head_rate,
    keep_norms,
    layered_optimizer,
    require_finite,
    set_rates,
)

ERROR = "val/error"
"""What the kept weights are chosen by: share of wrong pictures, or where there may be several
classes a picture the mean negative log likelihood."""


class Classifier(nn.Module):
    """A backbone and a classification head as one network.

    Args:
        backbone: gives the pooled features.
        head: of as many channels.
    """

    def __init__(self, backbone: Backbone, head: ClassificationHead) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: Tensor) -> Tensor:
        """(B, K) logits.

        Args:
            images: (B, 3, H, W) uint8 RGB, or floating point in 0..1.
        """
        pixels = images if images.is_floating_point() else images.float() / 255
        outputs: Tensor = self.head(self.backbone(pixels).pooled)
        return outputs


def class_loss(
    model: Classifier, batch: ClassBatch, settings: MixSettings, rng: np.random.Generator
) -> Tensor:
    """The loss of one batch, (), as its pictures are mixed this time.

    Args:
        model: names them.
        batch: at least one picture, on the device of the model.
        settings: how they are mixed.
        rng: draws how.
    """
    shares = shares_of(batch.targets, model.head.class_count)
    images, shares = mix(batch.images.float() / 255, shares, settings, rng)
    return model.head.loss(model(images), shares)["class"]


class ClassificationTraining(L.LightningModule):
    """One step: name pictures, lower the loss, average the weights.

    Args:
        model: is changed in place.
        settings: how.

    Attributes:
        averaged: the average of the model's past weights, which is validated and kept.
        problems: pictures that could not be read, by their file.
    """

    def __init__(self, model: Classifier, settings: FinetuneSettings) -> None:
        super().__init__()
        self.model, self.settings = model, settings
        self.averaged = averaged(model, settings.average)
        self.pace = Pace(settings.minutes, settings.warm_up)
        self.problems: dict[str, Problem] = {}

    def train(self, mode: bool = True) -> ClassificationTraining:
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
        """Sets the modes again after a validation."""
        self.train()

    def on_train_batch_start(self, batch: ClassBatch, batch_idx: int) -> None:
        """Sets the rate, and the chance that dropout draws from."""
        torch.manual_seed(self.settings.seed + 7919 * self.global_step)
        set_rates(self.optimizers(), self.pace.rate(self.trainer))

    def training_step(self, batch: ClassBatch, batch_idx: int) -> Tensor | None:
        """The loss of one batch, (); None where none of its pictures could be read."""
        self._note(batch)
        if not len(batch.images):
            return None
        rng = np.random.default_rng([self.settings.seed, self.global_step])
        loss = class_loss(self.model, batch, self.settings.mix, rng)
        rate = self.settings.learning_rate
        require_finite(loss, step=self.global_step, learning_rate=rate)
        size = len(batch.images)
        self.log("train/loss", loss.detach(), batch_size=size, on_step=True, on_epoch=True)
        return loss

    def on_train_batch_end(self, outputs: object, batch: ClassBatch, batch_idx: int) -> None:
        """Averages the weights, reads the clock and stops when the time is over."""
        self.averaged.update_parameters(self.model)
        self.pace.tick(self.trainer)

    def validation_step(self, batch: ClassBatch, batch_idx: int) -> None:
        """Loss and error of the averaged weights on one batch that nobody learns from."""
        self._note(batch)
        size = len(batch.images)
        if not size:
            return
        head = cast(Classifier, self.averaged.module).head
        outputs = self.averaged(batch.images)
        loss = head.loss(outputs, batch.targets)["class"]
        wrong = loss
        if batch.targets.ndim == 1:
            wrong = (outputs.argmax(1) != batch.targets).float().mean()
        self.log("val/loss", loss, batch_size=size)
        self.log(ERROR, wrong, batch_size=size)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW: the backbone slower, its early layers slowest; norms and biases not decayed."""
        settings, model = self.settings, self.model
        return layered_optimizer(
            [(model.head, head_rate(settings))],
            model.backbone,
            backbone_rate(settings),
            layer_decay=settings.layer_decay,
        )

    def _note(self, batch: ClassBatch) -> None:
        self.problems |= {problem.file: problem for problem in batch.problems}
