"""What a config says, as the settings that the library takes: below here nothing knows configs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from visionkit.config import (
    AllConfig,
    AugmentConfig,
    ClassificationConfig,
    DebuggerConfig,
    ExemplarConfig,
    LocalizationConfig,
    TrainerConfig,
)
from visionkit.data.augment import AugmentSettings
from visionkit.data.compose import ComposeSettings
from visionkit.data.views import ViewSettings
from visionkit.inference.locate import Tiles
from visionkit.matching.finder import FinderSettings
from visionkit.matching.geometry import GeometrySettings
from visionkit.matching.pyramid import PyramidSettings
from visionkit.matching.search import SearchSettings
from visionkit.training.classification import ClassificationSettings
from visionkit.training.debugger import DebuggerSettings
from visionkit.training.finetune_settings import FinetuneSettings
from visionkit.training.fit import FitSettings
from visionkit.training.frozen import FrozenSettings
from visionkit.training.joint_settings import JointSettings
from visionkit.training.localization_settings import LocalizationSettings
from visionkit.training.mixing import MixSettings

_Settings = TypeVar(
    "_Settings",
    AugmentSettings,
    ClassificationSettings,
    ComposeSettings,
    DebuggerSettings,
    FinderSettings,
    FinetuneSettings,
    FitSettings,
    FrozenSettings,
    GeometrySettings,
    JointSettings,
    LocalizationSettings,
    MixSettings,
    PyramidSettings,
    SearchSettings,
    Tiles,
    ViewSettings,
)


def finder_settings(task: ExemplarConfig) -> FinderSettings:
    """The settings of the finder that the task's config says."""
    return _settings(
        FinderSettings,
        task,
        pyramid=_settings(PyramidSettings, task.correlation),
        search=_settings(SearchSettings, task.correlation),
        geometry=_settings(GeometrySettings, task.geometry),
        use_correlation=task.correlation.enabled,
        use_geometry=task.geometry.enabled,
        use_learned=task.learned.enabled,
    )


def compose_settings(augment: AugmentConfig) -> ComposeSettings:
    """How scenes are composed, as the config says."""
    return _settings(ComposeSettings, augment)


def debugger_settings(debugger: DebuggerConfig | None) -> DebuggerSettings:
    """How trainings are watched, as the config says; None takes the defaults."""
    return DebuggerSettings() if debugger is None else _settings(DebuggerSettings, debugger)


def fit_settings(
    trainer: TrainerConfig,
    task: ExemplarConfig,
    seed: int,
    debugger: DebuggerConfig | None = None,
) -> FitSettings:
    """How the head is trained, as the config says."""
    watched = debugger_settings(debugger)
    return _settings(FitSettings, task.learned, _Given(trainer), seed=seed, debugger=watched)


def localization_settings(
    trainer: TrainerConfig,
    task: LocalizationConfig,
    seed: int,
    debugger: DebuggerConfig | None = None,
) -> LocalizationSettings:
    """How a localization head is trained, as the config says."""
    return _settings(
        LocalizationSettings,
        task,
        _Given(trainer),
        augment=_settings(AugmentSettings, task.augment),
        seed=seed,
        debugger=debugger_settings(debugger),
    )


def tiles_of(task: LocalizationConfig) -> Tiles | None:
    """How pictures are also seen in parts, as the config says."""
    return _settings(Tiles, task.tiles) if task.tiles.enabled else None


class _Given:
    """What of a trainer's config is given: it comes before what the task says."""

    def __init__(self, trainer: TrainerConfig) -> None:
        vars(self).update({k: v for k, v in vars(trainer).items() if v is not None})


def classification_settings(
    trainer: TrainerConfig,
    task: ClassificationConfig,
    seed: int,
    debugger: DebuggerConfig | None = None,
) -> ClassificationSettings:
    """How a classification head is trained, as the config says."""
    view = _settings(ViewSettings, task.view)
    tuned = None
    if task.finetune.enabled and trainer.max_epochs != 0:
        mix = _settings(MixSettings, task.finetune.mix)
        tuned = _settings(
            FinetuneSettings,
            task.finetune,
            _Given(trainer),
            seed=seed,
            views=view,
            mix=mix,
            debugger=debugger_settings(debugger),
        )
    return _settings(
        ClassificationSettings,
        task,
        view=view,
        frozen=_settings(FrozenSettings, task.frozen, seed=seed),
        finetune=tuned,
        hold_back=False,
        batch_size=ClassificationSettings.batch_size,
        seed=seed,
    )


def joint_settings(
    trainer: TrainerConfig, task: AllConfig, seed: int, debugger: DebuggerConfig | None = None
) -> JointSettings:
    """How several heads are trained together, as the config says.

    Raises:
        ValueError: a head's own options differ from what is said for all heads of the task.
    """
    if "classification" in task.heads:
        _check_shared(task, "classification.finetune", vars(task.classification.finetune))
    if "localization" in task.heads:
        _check_shared(task, "localization", vars(task.localization))
    return _settings(
        JointSettings,
        task,
        _Given(trainer),
        classification=classification_settings(trainer, task.classification, seed),
        localization=localization_settings(trainer, task.localization, seed),
        seed=seed,
        debugger=debugger_settings(debugger),
    )


def _check_shared(task: AllConfig, place: str, options: Mapping[str, object]) -> None:
    if options.get("enabled") is False:
        raise ValueError(
            f"task.{place}.enabled must be true where heads are trained together, got false; for a "
            "frozen backbone set task.freeze=all"
        )
    for name in options.keys() & {entry.name for entry in fields(JointSettings)}:
        if options[name] != getattr(task, name):
            raise ValueError(
                f"task.{place}.{name} must be that of all heads, {getattr(task, name)}, got "
                f"{options[name]}; set task.{name}"
            )


def _settings(kind: type[_Settings], *configs: object, **own: object) -> _Settings:
    """Settings whose every field is one of `own` or stands in a config under the same name.

    Of two configs the later one counts. A field that none has is an error, not its default: an
    option can't be forgotten here.
    """
    said: dict[str, Any] = {name: value for each in configs for name, value in vars(each).items()}
    said |= own
    values: dict[str, Any] = {
        entry.name: tuple(value) if isinstance(value := said[entry.name], list) else value
        for entry in fields(kind)
    }
    return kind(**values)
