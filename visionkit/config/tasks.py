"""Several heads on one backbone, and all tasks by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from visionkit.config.classification import ClassificationConfig
from visionkit.config.exemplar import ExemplarConfig
from visionkit.config.limits import BUNDLE_TASKS, Fraction, Freeze, Limits, Positive, Rate
from visionkit.config.localization import LocalizationConfig
from visionkit.config.task import TaskConfig


@dataclass
class AllConfig(TaskConfig):
    """Several heads on one backbone (conf/task/all.yaml)."""

    heads: Annotated[list[str], Limits(choices=BUNDLE_TASKS)]
    max_epochs: Annotated[int | None, Limits(minimum=0)]
    minutes: Annotated[float | None, Limits(minimum=0.01)]
    layer_decay: Fraction
    warm_up: Fraction
    freeze: Freeze
    fixed_norms: bool
    average: Fraction
    validations: Positive
    gradient_clip: Rate
    exemplar: ExemplarConfig
    classification: ClassificationConfig
    localization: LocalizationConfig


TASKS: dict[str, type[TaskConfig]] = {
    "all": AllConfig,
    "classification": ClassificationConfig,
    "exemplar": ExemplarConfig,
    "localization": LocalizationConfig,
}
"""Name of a task (`task.name`) -> the type of its options."""
