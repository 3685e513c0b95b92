"""Backbone and localization head as Lightning trains them, by epochs or by the clock."""

from __future__ import annotations

from typing import cast

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.data.problems import Problem
from visionkit.heads.localization import BoxTargets, DenseOutputs, LocalizationHead
from visionkit.models.backbone import Backbone
from visionkit.training.averaging import averaged
from visionkit.training.boxed import BoxBatch, Turns
from visionkit.training.localization_settings import LocalizationSettings
from visionkit.training.pace import Pace
from visionkit.training.stepping import (
    backbone_rate,
    head_rate,
    keep_norms,
    layered_optimizer,
    require_finite,
    set_rates,
)

_GRID = 32  # sides of a resized batch are multiples of it, in pixels


class Localizer(nn.Module):
    """A backbone and a localization head as one network.

    Args:
        backbone: with maps of the strides that the head was made for.
        head: sees them.
    """

    def __init__(self, backbone: Backbone, head: LocalizationHead) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: Tensor) -> DenseOutputs:
        """What every cell says.

        Args:
            images: (B, 3, H, W) uint8 RGB, or floating point in 0..1.
        """
        pixels = images if images.is_floating_point() else images.float() / 255
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.backbone.frozen):
            features = self.backbone(pixels)
        outputs: DenseOutputs = self.head(features)
        return outputs


def box_losses(
    model: Localizer, batch: BoxBatch, scales: tuple[float, float], rng: np.random.Generator
) -> dict[str, Tensor]:
    """The losses of one batch by name, each (), at a size that is drawn anew.

    Args:
        model: finds the boxes.
        batch: at least one picture, on the device of the model.
        scales: smallest and largest factor of its size; (1, 1) leaves it.
        rng: draws the factor.
    """
    images, factors = _scaled(batch.images, scales, rng)
    losses: dict[str, Tensor] = model.head.loss(model(images), _targets(model.head, batch, factors))
    return losses


class ShownBoxes(nn.Module):
    """Counts the boxes that were to be shown; saved with the weights of a training.

    Args:
        classes: K.

    Attributes:
        given, lost: (K,) int64 boxes a class that were to be shown, and those of them of which
            augmentation left too little.
    """

    given: Tensor
    lost: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("given", torch.zeros(classes, dtype=torch.int64))
        self.register_buffer("lost", torch.zeros(classes, dtype=torch.int64))

    def add(self, batch: BoxBatch) -> None:
        """Counts those of a batch on the same device."""
        self.given += batch.given
        self.lost += batch.lost


class LocalizationTraining(L.LightningModule):
    """One step: find boxes, lower the loss, average the weights.

    Args:
        model: is changed in place.
        settings: how.
        turns: the order of the pictures, which is told when mosaics end.

    Attributes:
        averaged: the average of the model's past weights.
        pace: how far the training is.
        shown: boxes that were shown and lost so far.
        problems: pictures that could not be read, each once.
    """

    def __init__(self, model: Localizer, settings: LocalizationSettings, turns: Turns) -> None:
        super().__init__()
        self.model, self.settings = model, settings
        self.averaged = averaged(model, settings.average)
        self.pace = Pace(settings.minutes, settings.warm_up)
        self.shown = ShownBoxes(head_classes(model.head))
        self.problems: dict[str, Problem] = {}
        self._turns = turns

    @property
    def done(self) -> float:
        """Share of the training that is over, 0..1, by steps or by the clock."""
        return self.pace.done(self.trainer)

    def train(self, mode: bool = True) -> LocalizationTraining:
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
        self._turns.calm = self.done >= 1 - self.settings.calm

    def on_train_batch_start(self, batch: BoxBatch, batch_idx: int) -> None:
        """Sets the rate."""
        set_rates(self.optimizers(), self.pace.rate(self.trainer))

    def training_step(self, batch: BoxBatch, batch_idx: int) -> Tensor:
        """The loss of one batch, ()."""
        rng = np.random.default_rng([self.settings.seed, self.global_step])
        losses = box_losses(self.model, batch, self.settings.scales, rng)
        total = torch.stack(list(losses.values())).sum()
        rate = self.settings.learning_rate
        require_finite(total, step=self.global_step, learning_rate=rate)
        size = len(batch.boxes)
        self.log("train/loss", total.detach(), batch_size=size, on_step=True, on_epoch=True)
        values = {f"train/{name}": value.detach() for name, value in losses.items()}
        self.log_dict(values, batch_size=size, on_step=False, on_epoch=True)
        self.shown.add(batch)
        self.problems |= {problem.file: problem for problem in batch.problems}
        return total

    def on_train_batch_end(self, outputs: object, batch: BoxBatch, batch_idx: int) -> None:
        """Averages the weights, reads the clock and stops when the time is over."""
        self.averaged.update_parameters(self.model)
        self.pace.tick(self.trainer)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW: the backbone slower, its early layers slowest; norms and biases not decayed."""
        settings, model = self.settings, self.model
        return layered_optimizer(
            [(model.head, head_rate(settings))],
            model.backbone,
            backbone_rate(settings),
            layer_decay=settings.layer_decay,
        )


def head_classes(head: LocalizationHead) -> int:
    """How many classes the head tells apart."""
    return cast(int, head.sizes["class_count"])


def _targets(head: LocalizationHead, batch: BoxBatch, factors: Tensor) -> BoxTargets:
    """What is true of the batch, at the size that it has now."""
    boxes = [boxes * factors for boxes in batch.boxes]
    known = [labels < head_classes(head) for labels in batch.labels]
    return BoxTargets(
        [each[sure] for each, sure in zip(boxes, known, strict=True)],
        [each[sure] for each, sure in zip(batch.labels, known, strict=True)],
        [each[~sure] for each, sure in zip(boxes, known, strict=True)],
        batch.guessed,
    )


def _scaled(
    images: Tensor, scales: tuple[float, float], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """The pictures in 0..1 at a size between the scales, and the (4,) factors of their boxes."""
    pixels = images.float() / 255
    before = images.shape[-2:]
    smallest, largest = scales
    factor = rng.uniform(smallest, largest)
    after = [max(_GRID, round(side * factor / _GRID) * _GRID) for side in before]
    x, y = after[1] / before[1], after[0] / before[0]
    if smallest == largest == 1 or x == y == 1:
        return pixels, torch.ones(4)
    scaled = F.interpolate(pixels, size=after, mode="bilinear", antialias=x < 1 or y < 1)
    return scaled, torch.tensor([x, y, x, y])
