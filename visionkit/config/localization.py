"""Locating objects of known classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from visionkit.config.data import PictureChangesConfig
from visionkit.config.limits import Count, Fraction, Freeze, Limits, OptionalPath, Positive, Rate
from visionkit.config.task import TaskConfig


@dataclass
class TilesConfig:
    """How large pictures are also seen in parts; fields as of `visionkit.inference.locate`."""

    enabled: bool
    scale: Annotated[float, Limits(minimum=0.01)]
    overlap: Annotated[float, Limits(minimum=0, maximum=0.9)]
    most: Positive


@dataclass
class LocalizationConfig(TaskConfig):
    """Locating objects of known classes (conf/task/localization.yaml)."""

    image_size: Annotated[int | None, Limits(minimum=32)]
    max_epochs: Annotated[int | None, Limits(minimum=0)]
    minutes: Annotated[float | None, Limits(minimum=0.01)]
    batch_size: Positive
    learning_rate: Rate
    weight_decay: Rate
    backbone_rate: Fraction
    layer_decay: Fraction
    warm_up: Fraction
    freeze: Freeze
    fixed_norms: bool
    average: Fraction
    scales: Annotated[list[float], Limits(minimum=0.1, maximum=4, length=2)]
    mosaic: Fraction
    calm: Fraction
    sure: Fraction
    doubt: Fraction
    validations: Positive
    gradient_clip: Rate
    boxes: OptionalPath
    width: Annotated[int, Limits(minimum=8)]
    depth: Count
    score_threshold: Fraction
    iou_threshold: Fraction
    max_detections: Positive
    augment: PictureChangesConfig
    tiles: TilesConfig
