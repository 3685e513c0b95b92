"""What the jobs of the flywheel are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from visionkit.config.data import AugmentConfig, BackboneConfig, DataConfig
from visionkit.config.debugger import DebuggerConfig
from visionkit.config.jobs import TrainerConfig
from visionkit.config.limits import (
    Count,
    Fraction,
    IsPath,
    Limits,
    MadePath,
    OptionalPath,
    OptionalText,
    Positive,
    SomePath,
    Text,
)
from visionkit.config.task import TaskConfig

TOOLS = ("label_studio", "cvat")
"""Annotation tools that are asked, and answer."""

ExportFormat = Annotated[
    str,
    Limits(choices=("coco", "voc", "yolo", "groundtruth", "csv", "folders", "parquet", *TOOLS)),
]
ImportFormat = Annotated[
    str,
    Limits(
        choices=("auto", "coco", "voc", "yolo", "folders", "csv", "groundtruth", "cntk", *TOOLS)
    ),
]


@dataclass
class ReviewConfig:
    """What `visionkit review` is told (conf/review.yaml)."""

    catalog: SomePath
    host: str
    port: Annotated[int, Limits(minimum=0, maximum=65535)]
    hosts: list[str]
    token: OptionalText
    reviewer: OptionalText
    most: Positive
    audit: Fraction
    frozen: OptionalPath
    twice_share: Fraction
    lease_seconds: Annotated[float, Limits(minimum=5)]
    one_class: bool | None
    refresh_seconds: Annotated[float, Limits(minimum=1)]
    debug: bool


@dataclass
class MergeConfig:
    """What `visionkit merge` is told (conf/merge.yaml)."""

    catalog: SomePath
    author: OptionalText
    note: Text
    debug: bool


@dataclass
class VersionsConfig:
    """What `visionkit versions` is told (conf/versions.yaml)."""

    action: Annotated[str, Limits(choices=("list", "diff", "restore", "export", "ask", "import"))]
    catalog: SomePath
    version: str | None
    old: str | None
    author: OptionalText
    export_format: ExportFormat
    tool: Annotated[str, Limits(choices=TOOLS)]
    most: Positive
    audit: Fraction
    frozen: OptionalPath
    one_class: bool | None
    source: Annotated[str | None, IsPath]
    source_format: ImportFormat
    image_root: OptionalPath
    output: MadePath
    overwrite: bool
    debug: bool


@dataclass
class LoopConfig:
    """When and how models take one another's place (conf/loop)."""

    enabled: bool
    least_corrections: Count
    merge: bool
    promote: bool
    least_score: Fraction
    least_gain: Fraction
    level: Annotated[float, Limits(minimum=0.0001, maximum=0.5)]
    most_loss: Fraction
    class_level: Annotated[float, Limits(minimum=0.001, maximum=1)]
    test_share: Fraction
    frozen: OptionalPath
    refreeze: bool
    minutes: Annotated[float | None, Limits(minimum=0.01)]
    views: Count
    most_views: Count
    unlabelled: Annotated[int | None, Limits(minimum=0)]


@dataclass
class RetrainConfig:
    """What `visionkit retrain` is told (conf/retrain.yaml)."""

    task: TaskConfig
    backbone: BackboneConfig
    data: DataConfig
    augment: AugmentConfig
    trainer: TrainerConfig
    debugger: DebuggerConfig
    loop: LoopConfig
    catalog: SomePath
    bundle: OptionalPath
    move_backbone: bool
    author: OptionalText
    seed: Count
    output: MadePath
    overwrite: bool
    debug: bool
