"""What `visionkit monitor` is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from visionkit.config.limits import (
    BUNDLE_TASKS,
    Accelerator,
    Count,
    Engine,
    Fraction,
    Limits,
    MadePath,
    OptionalPath,
    Positive,
    SomePath,
)


@dataclass
class MonitorConfig:
    """What `visionkit monitor` is told (conf/monitor.yaml)."""

    bundle: SomePath
    source: OptionalPath
    catalog: OptionalPath
    days: Annotated[float, Limits(minimum=0)]
    reference: OptionalPath
    keep_pictures: bool
    tasks: Annotated[list[str] | None, Limits(choices=BUNDLE_TASKS)]
    most: Annotated[int, Limits(minimum=20)]
    frame_seconds: Annotated[float, Limits(minimum=0.01)]
    level: Annotated[float, Limits(minimum=0.0001, maximum=0.5)]
    act_effect: Fraction
    act_accuracy: Fraction
    permutations: Annotated[int, Limits(minimum=99)]
    culprits: Positive
    queue: bool
    history: OptionalPath
    season: Positive
    forecast_chance: Annotated[float, Limits(minimum=0.0001, maximum=0.5)]
    engine: Engine
    accelerator: Accelerator
    seed: Count
    output: MadePath
    overwrite: bool
    debug: bool
