"""The types of the configs: what a job may be told, and which values are allowed.

The values and a sentence about each stand in `conf/*.yaml`; here stand only their types and
limits. Jobs (`visionkit/jobs`) take these; nothing below them sees a config object.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints


@dataclass(frozen=True)
class Limits:
    """What a field, or each entry of a field that is a list, may hold beside its type.

    Attributes:
        minimum, maximum: bounds of a number, both included; None is no bound.
        choices: the only values; empty is any.
        length: how many entries a list must have; None is any number.
        path: whether it holds paths, whose special characters mean themselves.
    """

    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    length: int | None = None
    path: bool = False


IsPath = Limits(path=True)
Count = Annotated[int, Limits(minimum=0)]
Positive = Annotated[int, Limits(minimum=1)]
Rate = Annotated[float, Limits(minimum=0)]
Fraction = Annotated[float, Limits(minimum=0, maximum=1)]
SomePath = Annotated[str, IsPath]
OptionalPath = Annotated[str | None, IsPath]
DataFormat = Annotated[
    str,
    Limits(
        choices=("auto", "coco", "voc", "yolo", "folders", "csv", "groundtruth", "items", "cntk")
    ),
]
Freeze = Annotated[str, Limits(choices=("none", "early", "all"))]
BUNDLE_TASKS = ("exemplar", "classification", "localization")
Accelerator = Annotated[str, Limits(choices=("auto", "cpu", "gpu", "mps"))]


@dataclass
class BackboneConfig:
    """Which network sees the pictures (conf/backbone)."""

    name: str
    weights: Annotated[str, Limits(choices=("starter", "hub", "file", "random"))]
    file: OptionalPath
    strides: Annotated[list[int], Limits(minimum=1)]
    image_size: Annotated[int | None, Limits(minimum=16)]
    mean: Annotated[list[float] | None, Limits(minimum=0, maximum=1, length=3)]
    std: Annotated[list[float] | None, Limits(minimum=0, length=3)]
    options: dict[str, Any]


@dataclass
class DemoConfig:
    """The set that is made where no data of one's own is given."""

    folder: OptionalPath
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
    format: DataFormat
    image_root: OptionalPath
    max_megapixels: Annotated[float, Limits(minimum=0.01)]
    splits: SplitConfig
    demo: DemoConfig


@dataclass
class TaskConfig:
    """What is learned (conf/task); each task has its own fields beside the name."""

    name: str


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

    image_size: Annotated[int, Limits(minimum=32)]
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

    folder: OptionalPath
    max_gigabytes: Annotated[float, Limits(minimum=0.001)]


@dataclass
class ClassificationConfig(TaskConfig):
    """Naming what a picture shows (conf/task/classification.yaml)."""

    image_size: Annotated[int | None, Limits(minimum=16)]
    kind: Annotated[str, Limits(choices=("linear", "cosine"))]
    label_smoothing: Annotated[float, Limits(minimum=0, maximum=0.9)]
    dropout: Annotated[float, Limits(minimum=0, maximum=0.9)]
    views: Count
    view: ViewConfig
    frozen: FrozenConfig
    finetune: FinetuneConfig
    precision_goal: Fraction
    cache: CacheConfig


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
    """Sets on which a bundle's other heads are measured where its backbone moves."""

    scenes: OptionalPath
    labels: OptionalPath
    boxes: OptionalPath


@dataclass
class TrainConfig:
    """What `visionkit train` is told (conf/train.yaml)."""

    task: TaskConfig
    backbone: BackboneConfig
    data: DataConfig
    augment: AugmentConfig
    trainer: TrainerConfig
    bundle: OptionalPath
    move_backbone: bool
    others: OthersConfig
    seed: Count
    output: OptionalPath
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
    accelerator: Accelerator
    seed: Count
    output: OptionalPath
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
    accelerator: Accelerator
    output: OptionalPath
    overwrite: bool
    resume: OptionalPath
    debug: bool


@dataclass
class GalleryConfig:
    """What `visionkit gallery` is told (conf/gallery.yaml)."""

    action: Annotated[str, Limits(choices=("add", "remove", "list", "audit", "promote"))]
    bundle: SomePath
    item: str | None
    images: Annotated[list[str], IsPath]
    format: DataFormat
    background: OptionalPath
    finds: Annotated[list[str], IsPath]
    reviewed: bool
    least: Positive
    output: OptionalPath
    overwrite: bool
    debug: bool


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is spelt most like `name`; None where none is like it.

    >>> nearest("exmplar", ["classification", "exemplar"])
    'exemplar'
    """
    matches = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return matches[0] if matches else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A sentence that names the nearest of `names`, or "" where none is like `name`."""
    close = nearest(name, names)
    return f"; did you mean {close}?" if close else ""


def limits_of(config_type: type[Any]) -> dict[str, Limits]:
    """Field name -> limits, of the fields of a config dataclass that have any."""
    hints = get_type_hints(config_type, include_extras=True)
    return {
        name: extra
        for name, hint in hints.items()
        for extra in getattr(hint, "__metadata__", ())
        if isinstance(extra, Limits)
    }


def check_values(config: Any, prefix: str = "") -> None:
    """Checks the limits of every field of a config and of the configs within it.

    Args:
        config: an instance of one of the dataclasses of this module.
        prefix: dotted name of `config` within a larger one, with a closing dot, or "".

    Raises:
        ValueError: a value is outside of what its field allows; names the field in full,
            the value and what is allowed.
    """
    limits = limits_of(type(config))
    for entry in fields(config):
        name, value = prefix + entry.name, getattr(config, entry.name)
        if is_dataclass(value):
            check_values(value, name + ".")
        elif value is not None and entry.name in limits:
            _check_length(name, value, limits[entry.name].length)
            for single in value if isinstance(value, list) else [value]:
                _check_path(name, single, limits[entry.name].path)
                _check_choice(name, single, limits[entry.name].choices)
                _check_range(name, single, limits[entry.name])
    if isinstance(config, SplitConfig) and abs(config.train + config.val + config.test - 1) > 1e-6:
        raise ValueError(
            f"{prefix}train, val and test must sum to 1, "
            f"got {config.train} + {config.val} + {config.test}"
        )


def _check_length(name: str, value: Any, length: int | None) -> None:
    if length is not None and len(value) != length:
        raise ValueError(f"{name} must be a list of {length} values, got {value}")


def _check_path(name: str, value: Any, path: bool) -> None:
    if path and not value.strip():  # would mean the current folder, and all that is in it
        raise ValueError(f"{name} must be a path, got {value!r}; the current folder is .")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if choices and value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(choices)}, got {value}"
            f"{did_you_mean(str(value), choices)}"
        )


def _check_range(name: str, value: Any, limits: Limits) -> None:
    minimum, maximum = limits.minimum, limits.maximum
    below = minimum is not None and not value >= minimum  # NaN is outside of every range
    above = maximum is not None and not value <= maximum
    if below or above:
        words = [f"at least {minimum}"] * (minimum is not None)
        words += [f"at most {maximum}"] * (maximum is not None)
        raise ValueError(f"{name} must be {' and '.join(words)}, got {value}")
