"""What each job is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from visionkit.config.data import AugmentConfig, BackboneConfig, DataConfig
from visionkit.config.debugger import DebuggerConfig
from visionkit.config.limits import (
    BUNDLE_TASKS,
    EXPORTERS,
    PRECISIONS,
    Accelerator,
    Count,
    DataFormat,
    Engine,
    Fraction,
    IsPath,
    Limits,
    MadePath,
    OptionalPath,
    OptionalText,
    Positive,
    Rate,
    SomePath,
)
from visionkit.config.task import TaskConfig


@dataclass
class TrainerConfig:
    """On what and for how long is trained (conf/trainer); None is as the task says."""

    accelerator: Accelerator
    devices: Positive
    precision: Annotated[str, Limits(choices=("32-true", "16-mixed", "bf16-mixed"))]
    max_epochs: Annotated[int | None, Limits(minimum=0)]
    patience: Annotated[int | None, Limits(minimum=1)]
    gradient_clip: Annotated[float | None, Limits(minimum=0)]
    workers: Count
    progress: bool


@dataclass
class OthersConfig:
    """Sets on which heads of a bundle are measured that the main set is not for."""

    scenes: OptionalPath
    labels: OptionalPath
    boxes: OptionalPath
    image_root: OptionalPath


@dataclass
class TrainConfig:
    """What `visionkit train` is told (conf/train.yaml)."""

    task: TaskConfig
    backbone: BackboneConfig
    data: DataConfig
    augment: AugmentConfig
    trainer: TrainerConfig
    debugger: DebuggerConfig
    bundle: OptionalPath
    move_backbone: bool
    others: OthersConfig
    seed: Count
    output: MadePath
    overwrite: bool
    resume: OptionalPath
    debug: bool


@dataclass
class EvaluateConfig:
    """What `visionkit evaluate` is told (conf/evaluate.yaml)."""

    bundle: SomePath
    data: SomePath
    task: Annotated[str | None, Limits(choices=BUNDLE_TASKS)]
    format: DataFormat
    image_root: OptionalPath
    background: OptionalPath
    split: Annotated[str, Limits(choices=("all", "train", "val", "test"))]
    engine: Engine
    accelerator: Accelerator
    seed: Count
    output: MadePath
    overwrite: bool
    debug: bool


@dataclass
class PredictConfig:
    """What `visionkit predict` is told (conf/predict.yaml)."""

    bundle: SomePath
    source: SomePath
    tasks: Annotated[list[str] | None, Limits(choices=BUNDLE_TASKS)]
    batch_size: Positive
    score_threshold: Annotated[float | None, Limits(minimum=0, maximum=1)]
    draw: bool
    catalog: OptionalPath
    engine: Engine
    accelerator: Accelerator
    output: MadePath
    overwrite: bool
    resume: OptionalPath
    debug: bool


@dataclass
class PredictVideoConfig:
    """What `visionkit predict_video` is told (conf/predict_video.yaml)."""

    bundle: SomePath
    source: SomePath
    tasks: Annotated[list[str] | None, Limits(choices=BUNDLE_TASKS)]
    every: Positive
    fps: Annotated[float | None, Limits(minimum=0)]
    keyframes: bool
    start: Annotated[float | None, Limits(minimum=0)]
    end: Annotated[float | None, Limits(minimum=0)]
    batch_size: Annotated[int | None, Limits(minimum=1)]
    score_threshold: Annotated[float | None, Limits(minimum=0, maximum=1)]
    reuse: Annotated[float, Limits(minimum=0, maximum=255)]
    decoder_threads: Annotated[int | None, Limits(minimum=1)]
    timeout: Annotated[float | None, Limits(minimum=0)]
    track: bool | None
    gap_seconds: Rate
    timeline: bool
    annotate: bool
    crops: bool
    unsure: Count
    catalog: OptionalPath
    compute: Annotated[str, Limits(choices=("local", "ray"))]
    workers: Annotated[int | None, Limits(minimum=1)]
    piece_seconds: Annotated[float, Limits(minimum=1)]
    address: str | None
    engine: Engine
    accelerator: Accelerator
    output: MadePath
    overwrite: bool
    resume: OptionalPath
    debug: bool


@dataclass
class ExportConfig:
    """What `visionkit export` is told (conf/export.yaml)."""

    bundle: SomePath
    engine: Annotated[str, Limits(choices=EXPORTERS)]
    precision: Annotated[str, Limits(choices=PRECISIONS)]
    images: OptionalPath
    calibration: Positive
    data: OptionalPath
    task: Annotated[str | None, Limits(choices=BUNDLE_TASKS)]
    others: OthersConfig
    format: DataFormat
    image_root: OptionalPath
    split: Annotated[str, Limits(choices=("all", "train", "val", "test"))]
    max_loss: Fraction
    force: bool
    seed: Count
    output: MadePath
    overwrite: bool
    debug: bool


@dataclass
class GalleryConfig:
    """What `visionkit gallery` is told (conf/gallery.yaml)."""

    action: Annotated[str, Limits(choices=("add", "remove", "list", "audit", "promote"))]
    bundle: SomePath
    item: OptionalText
    images: Annotated[list[str], IsPath]
    format: DataFormat
    background: OptionalPath
    finds: Annotated[list[str], IsPath]
    reviewed: bool
    least: Positive
    output: MadePath
    overwrite: bool
    debug: bool
