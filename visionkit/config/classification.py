"""Naming what a picture shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from visionkit.config.limits import Count, Fraction, Freeze, Limits, MadePath, Positive, Rate
from visionkit.config.task import TaskConfig


@dataclass
class ViewConfig:
    """How random views of a picture differ; fields as of `visionkit.data.views`."""

    area: Annotated[list[float], Limits(minimum=0, maximum=1, length=2)]
    aspect: Annotated[float, Limits(minimum=0, maximum=4)]
    flip: Fraction
    light: Fraction
    colour: Fraction
    blur: Annotated[float, Limits(minimum=0, maximum=50)]


@dataclass
class FrozenConfig:
    """What is tried on features of a frozen backbone."""

    shrinkages: Annotated[list[float], Limits(minimum=0, maximum=1)]
    penalties: Annotated[list[float], Limits(minimum=0)]
    steps: Positive
    balanced: bool
    folds: Annotated[int, Limits(minimum=2)]
    sure: Fraction


@dataclass
class MixConfig:
    """How pictures of a batch are mixed."""

    mixup: Fraction
    cutmix: Fraction
    strength: Rate


@dataclass
class FinetuneConfig:
    """Training backbone and classification head together."""

    enabled: bool
    max_epochs: Count
    minutes: Annotated[float | None, Limits(minimum=0.01)]
    patience: Positive
    gradient_clip: Rate
    batch_size: Positive
    learning_rate: Rate
    weight_decay: Rate
    backbone_rate: Fraction
    layer_decay: Fraction
    warm_up: Fraction
    freeze: Freeze
    fixed_norms: bool
    average: Fraction
    balance: Annotated[str, Limits(choices=("none", "sampling", "weights"))]
    mix: MixConfig


@dataclass
class CacheConfig:
    """Where features of a frozen backbone are kept."""

    folder: MadePath
    max_gigabytes: Annotated[float, Limits(minimum=0.001)]


@dataclass
class ClassificationConfig(TaskConfig):
    """Naming what a picture shows (conf/task/classification.yaml)."""

    image_size: Annotated[int | None, Limits(minimum=16)]
    fit: Annotated[str, Limits(choices=("stretch", "crop", "letterbox"))]
    kind: Annotated[str, Limits(choices=("linear", "cosine"))]
    label_smoothing: Annotated[float, Limits(minimum=0, maximum=0.9)]
    dropout: Annotated[float, Limits(minimum=0, maximum=0.9)]
    views: Count
    view: ViewConfig
    frozen: FrozenConfig
    finetune: FinetuneConfig
    precision_goal: Fraction
    cache: CacheConfig
