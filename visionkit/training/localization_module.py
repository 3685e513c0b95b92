"""Backbone and localization head as Lightning trains them, by epochs or by the clock."""

from __future__ import annotations

import math
import time
from typing import Any, cast

import lightning as L
import numpy as np
import timm.optim
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from visionkit.data.problems import Problem
from visionkit.heads.localization import BoxTargets, DenseOutputs, LocalizationHead
from visionkit.models.backbone import Backbone
from visionkit.training.boxed import BoxBatch, Turns
from visionkit.training.localization_settings import LocalizationSettings

_GRID = 32  # sides of a resized batch are multiples of it, in pixels
_LAST_RATE = 0.02  # of the learning rate, at the end


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


class LocalizationTraining(L.LightningModule):
    """One step: find boxes, lower the loss, average the weights.

    Args:
        model: is changed in place.
        settings: how.
        turns: the order of the pictures, which is told when mosaics end.

    Attributes:
        averaged: the average of the model's past weights.
        elapsed: () float64 seconds of training so far, those before a resume included.
        given, lost: (K,) int64 boxes a class that were to be shown, and those of them of which
            augmentation left too little.
        problems: pictures that could not be read, each once.
    """

    elapsed: Tensor
    given: Tensor
    lost: Tensor

    def __init__(self, model: Localizer, settings: LocalizationSettings, turns: Turns) -> None:
        super().__init__()
        self.model, self.settings = model, settings
        self.averaged = AveragedModel(model, multi_avg_fn=_averager(settings.average))
        self.averaged.requires_grad_(False)
        self.register_buffer("elapsed", torch.zeros((), dtype=torch.float64))
        classes = head_classes(model.head)
        self.register_buffer("given", torch.zeros(classes, dtype=torch.int64))
        self.register_buffer("lost", torch.zeros(classes, dtype=torch.int64))
        self.problems: dict[str, Problem] = {}
        self._turns = turns
        self._clock = 0.0

    @property
    def done(self) -> float:
        """Share of the training that is over, 0..1, by steps or by the clock."""
        share = 0.0
        if self.settings.max_epochs is not None:
            steps = self.settings.max_epochs * int(self.trainer.num_training_batches)
            share = self.global_step / max(1, steps)
        if self.settings.minutes is not None:
            share = max(share, float(self.elapsed) / (60 * self.settings.minutes))
        return min(1.0, share)

    def rate(self) -> float:
        """Share of the learning rate that counts now: a warm-up, then a cosine."""
        done = self.done
        warm = min(1.0, (done + 1e-3) / self.settings.warm_up) if self.settings.warm_up else 1.0
        return warm * (_LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * done)) / 2)

    def train(self, mode: bool = True) -> LocalizationTraining:
        """Itself, in training mode but for what keeps its statistics."""
        super().train(mode)
        self.averaged.eval()
        if self.settings.fixed_norms:
            for part in self.model.backbone.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    part.eval()
        return self

    def on_train_start(self) -> None:
        """Starts the clock."""
        self._clock = time.monotonic()

    def on_train_epoch_start(self) -> None:
        """Ends mosaics where it is time."""
        self.train()
        self._turns.calm = self.done >= 1 - self.settings.calm

    def on_train_batch_start(self, batch: BoxBatch, batch_idx: int) -> None:
        """Sets the rate."""
        share = self.rate()
        for group in cast(torch.optim.Optimizer, self.optimizers()).param_groups:
            group["lr"] = share * group["full_rate"]

    def training_step(self, batch: BoxBatch, batch_idx: int) -> Tensor:
        """The loss of one batch, ()."""
        images, factors = self._scaled(batch.images)
        boxes = [boxes * factors for boxes in batch.boxes]
        targets = BoxTargets(boxes, batch.labels)
        losses = self.model.head.loss(self.model(images), targets)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise RuntimeError(
                f"the loss must be finite, got {float(total.detach())} in step "
                f"{self.global_step}; try a smaller learning_rate than "
                f"{self.settings.learning_rate}"
            )
        size = len(batch.boxes)
        self.log("train/loss", total.detach(), batch_size=size, on_step=True, on_epoch=True)
        values = {f"train/{name}": value.detach() for name, value in losses.items()}
        self.log_dict(values, batch_size=size, on_step=False, on_epoch=True)
        self.given += batch.given
        self.lost += batch.lost
        self.problems |= {problem.file: problem for problem in batch.problems}
        return total

    def on_train_batch_end(self, outputs: object, batch: BoxBatch, batch_idx: int) -> None:
        """Averages the weights, reads the clock and stops when the time is over."""
        self.averaged.update_parameters(self.model)
        self.read_clock()
        if self.done >= 1:
            self.trainer.should_stop = True

    def read_clock(self) -> None:
        """Counts the time since it was last read; all devices go by the first one's."""
        now = time.monotonic()
        passed = now - self._clock
        self._clock = now
        self.elapsed += self.trainer.strategy.broadcast(passed)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW: the backbone slower, its early layers slowest; norms and biases not decayed."""
        settings = self.settings
        head = self.model.head.parameters()
        groups: list[dict[str, Any]] = [
            {"params": list(part), "weight_decay": decay, "full_rate": settings.learning_rate}
            for part, decay in _by_decay(head, settings.weight_decay)
        ]
        for group in cast(Any, timm.optim).param_groups_layer_decay(
            self.model.backbone.network, settings.weight_decay, layer_decay=settings.layer_decay
        ):
            rate = settings.learning_rate * settings.backbone_rate * group["lr_scale"]
            groups.append({**group, "full_rate": rate})
        groups = [group for group in groups if group["params"]]
        return torch.optim.AdamW(groups, lr=settings.learning_rate)

    def transfer_batch_to_device(
        self, batch: BoxBatch, device: torch.device, dataloader_idx: int
    ) -> BoxBatch:
        """The batch with its pictures on a device; boxes go there with the loss."""
        if device.type == "cpu":
            return batch
        moved = {name: getattr(batch, name).to(device) for name in ("images", "given", "lost")}
        return BoxBatch(**{**vars(batch), **moved})

    def _scaled(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The pictures in 0..1 at the size of this step, and the (4,) factors of their boxes."""
        pixels = images.float() / 255
        smallest, largest = self.settings.scales
        if smallest == largest == 1:
            return pixels, torch.ones(4)
        rng = np.random.default_rng([self.settings.seed, self.global_step])
        factor = rng.uniform(smallest, largest)
        before = images.shape[-2:]
        after = [max(_GRID, round(side * factor / _GRID) * _GRID) for side in before]
        x, y = after[1] / before[1], after[0] / before[0]
        if x == y == 1:
            return pixels, torch.ones(4)
        scaled = F.interpolate(pixels, size=after, mode="bilinear", antialias=x < 1 or y < 1)
        return scaled, torch.tensor([x, y, x, y])


def head_classes(head: LocalizationHead) -> int:
    """How many classes the head tells apart."""
    return cast(int, head.sizes["class_count"])


def _by_decay(parameters: Any, decay: float) -> list[tuple[list[nn.Parameter], float]]:
    """Weights with their decay, norms and biases without one."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return [
        ([parameter for parameter in trained if parameter.ndim > 1], decay),
        ([parameter for parameter in trained if parameter.ndim <= 1], 0.0),
    ]


def _averager(decay: float) -> Any:
    """Exponential average that forgets its beginning: short at first, `decay` a step later on."""

    @torch.no_grad()
    def average(means: list[Tensor], values: list[Tensor], count: Tensor | int) -> None:
        steps = int(count)
        share = min(decay, (1 + steps) / (10 + steps))
        for mean, value in zip(means, values, strict=True):
            mean.lerp_(value, 1 - share)

    return average
