"""An average of the weights that training went through: steadier than where it ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from torch import Tensor, nn
from torch.optim import swa_utils
from torch.optim.swa_utils import AveragedModel


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of the model that follows it step by step; it is never trained itself.

    Statistics of batch norms are taken over as they are.

    Args:
        model: what is trained.
        decay: 0..1, how much of the average stays in each step; fewer at the beginning, so that
            the start is forgotten. 0 is the model itself.
    """
    copy = AveragedModel(model, multi_avg_fn=_averager(decay))
    copy.requires_grad_(False)
    return copy


def by_decay(
    parameters: Iterable[nn.Parameter], decay: float
) -> list[tuple[list[nn.Parameter], float]]:
    """Those that learn: weights with their decay, norms and biases without one."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    parts = [
        ([parameter for parameter in trained if parameter.ndim > 1], decay),
        ([parameter for parameter in trained if parameter.ndim <= 1], 0.0),
    ]
    return [part for part in parts if part[0]]


def _averager(decay: float) -> Any:
    def average(means: list[Tensor], values: list[Tensor], count: Tensor | int) -> None:
        steps = int(count)
        share = min(decay, (1 + steps) / (10 + steps))
        cast(Any, swa_utils).get_ema_multi_avg_fn(share)(means, values, count)

    return average
