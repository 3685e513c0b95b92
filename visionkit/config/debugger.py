"""How trainings are watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from visionkit.config.limits import Fraction, Limits, Positive, Rate


@dataclass
class DebuggerConfig:
    """How trainings are watched (conf/debugger); fields as of `visionkit.training.debugger`."""

    enabled: bool
    interval: Positive
    stop: bool
    patience: Positive
    vanishing: Fraction
    exploding: Rate
    largest_value: Rate
    dead: Fraction
    saturated: Fraction
    largest_update: Rate
    smallest_update: Rate
    first_spread: Annotated[float, Limits(minimum=1)]
    loss_steps: Annotated[int, Limits(minimum=8)]
    loss_drop: Fraction
    overfit: Rate
    overtrained: Positive
    confused: Fraction
    imbalance: Annotated[float, Limits(minimum=1)]
    boxes_lost: Fraction
    waiting: Fraction
    waiting_seconds: Rate
    stalled_seconds: Rate
    collapsed: Fraction
    input_margin: Rate
