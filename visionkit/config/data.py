"""The network, the pictures and how they are changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from visionkit.config.limits import (
    Count,
    DataFormat,
    Fraction,
    Limits,
    MadePath,
    OptionalPath,
    Positive,
    Rate,
)


@dataclass
class BackboneConfig:
    """Which network sees the pictures (conf/backbone)."""

    name: str
    weights: Annotated[str, Limits(choices=("starter", "hub", "file", "random"))]
    file: OptionalPath
    strides: Annotated[list[int], Limits(minimum=1)]
    pooling: Annotated[str, Limits(choices=("map", "head", "both"))]
    image_size: Annotated[int | None, Limits(minimum=16)]
    mean: Annotated[list[float] | None, Limits(minimum=0, maximum=1, length=3)]
    std: Annotated[list[float] | None, Limits(minimum=0, length=3)]
    options: dict[str, Any]


@dataclass
class DemoConfig:
    """The set that is made where no data of one's own is given."""

    folder: MadePath
    items: Annotated[int, Limits(minimum=2)]
    views: Positive
    scenes: Annotated[int, Limits(minimum=6)]
    background: Positive
    digits: Annotated[int, Limits(minimum=20, maximum=1797)]
    pictures: Annotated[int, Limits(minimum=6)]
    classes: Annotated[int, Limits(minimum=1, maximum=8)]
    seed: Count


@dataclass
class SplitConfig:
    """Which part of the scenes goes where; parts that sum to 1."""

    train: Fraction
    val: Fraction
    test: Fraction


@dataclass
class DataConfig:
    """Where the pictures are and how they are read (conf/data)."""

    items: OptionalPath
    scenes: OptionalPath
    root: OptionalPath
    labels: OptionalPath
    boxes: OptionalPath
    val: OptionalPath
    test: OptionalPath
    background: OptionalPath
    unlabelled: OptionalPath
    format: DataFormat
    image_root: OptionalPath
    max_megapixels: Annotated[float, Limits(minimum=0.01)]
    splits: SplitConfig
    demo: DemoConfig


@dataclass
class AugmentConfig:
    """How scenes are composed (conf/augment); fields as of `visionkit.data.compose`."""

    image_size: Annotated[list[int], Limits(minimum=32, length=2)]
    items: Annotated[list[int], Limits(minimum=0, length=2)]
    empty: Fraction
    item_side: Annotated[list[float], Limits(minimum=0, length=2)]
    min_visible: Fraction
    roll: Rate
    tilt: Rate
    bend: Fraction
    mount: Fraction
    cover: Fraction
    distractors: Annotated[list[int], Limits(minimum=0, length=2)]
    patches: Annotated[list[int], Limits(minimum=0, length=2)]
    camera: Rate


@dataclass
class PictureChangesConfig:
    """How training pictures are changed; fields as of `visionkit.data.augment`."""

    flip: Fraction
    flip_vertical: Fraction
    scale: Annotated[float, Limits(minimum=0, maximum=0.9)]
    shift: Fraction
    roll: Annotated[float, Limits(minimum=0, maximum=180)]
    perspective: Annotated[float, Limits(minimum=0, maximum=0.45)]
    light: Fraction
    colour: Fraction
    blur: Annotated[float, Limits(minimum=0, maximum=50)]
    noise: Fraction
    jpeg: Annotated[int, Limits(minimum=1, maximum=100)]
    min_visible: Fraction
