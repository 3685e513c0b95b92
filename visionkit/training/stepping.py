"""What trainings of a backbone with heads share: what is free, rates by layer, norms, a check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import timm.optim
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from visionkit.models.backbone import Backbone
from visionkit.training.averaging import by_decay
from visionkit.training.finetune_settings import FinetuneSettings
from visionkit.training.localization_settings import Freeze, LocalizationSettings


@dataclass(frozen=True)
class Rate:
    """How fast a part learns.

    Attributes:
        learning_rate: of AdamW at its highest; of a backbone, of its last layers.
        weight_decay: of AdamW, of weights; norms and biases have none.
    """

    learning_rate: float
    weight_decay: float


def head_rate(settings: FinetuneSettings | LocalizationSettings) -> Rate:
    """How fast the head learns."""
    return Rate(settings.learning_rate, settings.weight_decay)


def backbone_rate(settings: FinetuneSettings | LocalizationSettings) -> Rate:
    """How fast the last layers of the backbone learn."""
    return Rate(settings.learning_rate * settings.backbone_rate, settings.weight_decay)


def layered_optimizer(
    heads: Iterable[tuple[nn.Module, Rate]], backbone: Backbone, rate: Rate, *, layer_decay: float
) -> torch.optim.Optimizer:
    """AdamW for all that is free: heads at one rate each, early layers of the backbone slowest.

    Args:
        heads: each with its rate.
        backbone: what of it is frozen is left out.
        rate: of the backbone.
        layer_decay: 0..1, how much smaller the rate of each earlier layer is.
    """
    groups: list[dict[str, Any]] = [
        {"params": part, "weight_decay": decay, "full_rate": own.learning_rate}
        for head, own in heads
        for part, decay in by_decay(head.parameters(), own.weight_decay)
    ]
    layers = cast(Any, timm.optim).param_groups_layer_decay(
        backbone.network, rate.weight_decay, layer_decay=layer_decay
    )
    groups += [{**layer, "full_rate": rate.learning_rate * layer["lr_scale"]} for layer in layers]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=rate.learning_rate)


def set_rates(optimizers: object, share: float) -> None:
    """Gives every part of a `layered_optimizer` this share of its full rate.

    Args:
        optimizers: what `LightningModule.optimizers` gives for the one there is.
        share: 0..1.
    """
    for group in cast(LightningOptimizer, optimizers).param_groups:
        group["lr"] = share * group["full_rate"]


def freeze(backbone: Backbone, what: Freeze) -> None:
    """Freezes the early layers of a backbone, or all of it; what is frozen already stays so."""
    if what == "all":
        backbone.freeze()
    elif what == "early" and not backbone.frozen:
        backbone.freeze(min(backbone.strides))


def keep_norms(backbone: Backbone) -> None:
    """Puts the batch norms into evaluation mode: they keep the statistics they have."""
    for part in backbone.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()


def require_finite(loss: Tensor, *, step: int, learning_rate: float) -> None:
    """Passes if a loss, (), is a number.

    Raises:
        RuntimeError: it is not; names the step.
    """
    if not torch.isfinite(loss):
        raise RuntimeError(
            f"the loss must be finite, got {float(loss.detach())} in step {step}; try a smaller "
            f"learning_rate than {learning_rate}"
        )
