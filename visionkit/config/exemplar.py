"""Finding items from a few pictures of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from visionkit.config.limits import Count, Fraction, Limits, Positive, Rate
from visionkit.config.task import TaskConfig


@dataclass
class CorrelationConfig:
    """Finding by similarity of feature patches, without training."""

    enabled: bool
    stride: Positive
    max_upscale: Rate
    max_side: Positive
    min_side: Positive
    template_cells: Annotated[list[float], Limits(minimum=1)]
    small_template_cells: Annotated[list[float], Limits(minimum=1)]
    peaks: Positive
    dense_views: Positive


@dataclass
class GeometryConfig:
    """Finding and verification by local features and a homography."""

    enabled: bool
    keypoints: Annotated[int, Limits(minimum=8)]
    scene_side: Positive
    max_scene_side: Positive
    ratio: Fraction
    min_inliers: Annotated[int, Limits(minimum=4)]
    instances: Positive
    reprojection: Rate
    verified_views: Positive


@dataclass
class LearnedConfig:
    """Embedding, box refinement and re-scoring: what comes with visionkit, and what is trained."""

    enabled: bool
    embedding_size: Positive
    max_epochs: Count
    patience: Positive
    gradient_clip: Rate
    learning_rate: Rate
    weight_decay: Rate
    batch_size: Positive
    trust: Fraction


@dataclass
class ScenesConfig:
    """How many scenes are composed from the items; how is said by AugmentConfig."""

    train: Count
    val: Count
    test: Positive
    exemplars: Count


@dataclass
class ExemplarConfig(TaskConfig):
    """Finding items from a few pictures of each (conf/task/exemplar.yaml)."""

    candidates: Positive
    per_item: Positive
    iou_threshold: Fraction
    place_iou_threshold: Fraction
    false_alarm_rate: Fraction
    correlation: CorrelationConfig
    geometry: GeometryConfig
    learned: LearnedConfig
    scenes: ScenesConfig
