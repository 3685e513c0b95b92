"""What a pretraining run is told; `conf/pretrain.yaml` says a sentence about each key."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class TeacherConfig:
    """The network that is learned from."""

    name: str
    file: str
    mean: list[float]
    std: list[float]
    pad_type: str


@dataclass
class WishConfig:
    """How much each wish counts; 0 leaves it out."""

    match: float
    dense_8: float
    dense_16: float
    dense_32: float
    pooled: float
    logits: float
    labels: float


@dataclass
class BoxConfig:
    """How the class-agnostic box branch is learned."""

    minutes: float
    size: int
    batch_size: int
    learning_rate: float
    held_out: int


@dataclass
class ComparisonConfig:
    """How the general comparison of the exemplar head is learned."""

    minutes: float
    scenes: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    held_out: int


@dataclass
class PretrainConfig:
    """All of it; the values stand in `conf/pretrain.yaml`."""

    labelled: str
    labelled_val: str
    held_out: str
    held_out_every: int
    photos: list[str]
    left_out: list[str]
    teacher: TeacherConfig
    student: str
    start: str | None
    mean: list[float]
    std: list[float]
    wishes: WishConfig
    stage: str
    comparison: ComparisonConfig
    boxes: BoxConfig
    minutes: float
    batch_size: int
    pairs: int
    shown: int
    labelled_sizes: list[int]
    teacher_size: int
    view_size: int
    shown_size: int
    item_part: float
    mixed_part: float
    cutout_part: float
    alone_part: float
    bent_part: float
    covered_part: float
    photo_side: int
    mark_side: int
    marks: int
    learning_rate: float
    weight_decay: float
    average: float
    temperature: float
    shrinkage: float
    compiled: bool
    measure_minutes: float
    searches: int
    threads: int
    seed: int
    output: str
    resume: bool
    ship: str | None
    version: str
    commit: str
    note: str
    hardware: str
    figures: str | None
