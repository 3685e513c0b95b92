"""Every file of conf/ is a config that works and says what it is for."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from visionkit.cli.commands import COMMANDS
from visionkit.cli.compose import compose
from visionkit.cli.describe import conf_folder, defaults_of, entries_of, headline, options_of
from visionkit.config import TrainConfig
from visionkit.data.compose import ComposeSettings
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
from visionkit.training.localization_settings import AUGMENT, LocalizationSettings

FILES = sorted(file.relative_to(conf_folder()).as_posix() for file in conf_folder().rglob("*.yaml"))
GROUPS = defaults_of(conf_folder() / "train.yaml")
OPTIONS = [(group, option) for group in GROUPS for option in options_of(group, None)]


@pytest.mark.parametrize("name", FILES)
def test_every_file_and_every_key_has_a_sentence(name: str) -> None:
    sentences = {"the file": headline(name, None)}
    for key, entry in entries_of(name, "", None).items():
        if entry.file == f"conf/{name}":
            sentences[key] = entry.sentence
    without = [key for key, text in sentences.items() if not re.search(r"\w.*[.:]$", text)]
    assert without == []


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_of_every_group_composes(group: str, option: str) -> None:
    words = [f"{group}={option}"]
    if group not in ("task", "experiment"):
        words.append("task=exemplar")
    if group == "backbone" and "file=???" in _required(group, option):
        words.append("backbone.file=weights.safetensors")
    composed = compose("train", TrainConfig, words)
    assert "" not in composed.origins.values()


def test_a_file_within_a_branch_of_another_is_described_there() -> None:
    entries = entries_of("task/all.yaml", "task.", None)
    alone = entries_of("task/localization.yaml", "", None)
    assert entries["task.localization.width"] == alone["width"]
    assert entries["task.localization.freeze"].file == "conf/task/all.yaml"
    assert {f"task.localization.{key}" for key in alone} <= entries.keys()
    assert list(entries)[:2] == ["task.name", "task.heads"]  # its own come first
    composed = compose("train", TrainConfig, ["task=all"])
    assert {key for key in composed.values if key.startswith("task.")} <= entries.keys()
    assert composed.config.task.localization.freeze == "none"  # type: ignore[attr-defined]


@pytest.mark.parametrize("option", options_of("experiment", None))
def test_every_experiment_opens_with_its_command_and_the_figure_to_expect(option: str) -> None:
    text = headline(f"experiment/{option}.yaml", None)
    assert f"visionkit train experiment={option}" in text
    assert re.search(r"[Ee]xpect.*\d", text)


def test_every_command_has_a_file() -> None:
    assert {f"{name}.yaml" for name in COMMANDS} <= set(FILES)


@pytest.mark.parametrize(
    ("settings", "task", "part"),
    [
        (FinderSettings(), "exemplar", "task"),
        (PyramidSettings(), "exemplar", "task.correlation"),
        (SearchSettings(), "exemplar", "task.correlation"),
        (GeometrySettings(), "exemplar", "task.geometry"),
        (ComposeSettings(), "exemplar", "augment"),
        (FitSettings(), "exemplar", "trainer"),
        (FitSettings(), "exemplar", "task.learned"),
        (LocalizationSettings(), "localization", "task"),
        (AUGMENT, "localization", "task.augment"),
        (Tiles(), "localization", "task.tiles"),
        (ClassificationSettings(), "classification", "task"),
        (ClassificationSettings().view, "classification", "task.view"),
        (FrozenSettings(), "classification", "task.frozen"),
        (FinetuneSettings(), "classification", "task.finetune"),
        (FinetuneSettings().mix, "classification", "task.finetune.mix"),
        (JointSettings(), "all", "task"),
        (DebuggerSettings(), "exemplar", "debugger"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_configs_and_the_library_have_the_same_defaults(
    settings: Any, task: str, part: str
) -> None:
    config: Any = compose("train", TrainConfig, [f"task={task}"]).config
    for name in part.split("."):
        config = getattr(config, name)
    shared = {entry.name for entry in fields(settings)} & {entry.name for entry in fields(config)}
    values = {name for name in shared if not is_dataclass(getattr(config, name))}
    if part == "trainer":  # None is as the task says
        values = {name for name in values if getattr(config, name) is not None}
    assert values
    for name in values:
        expected = getattr(settings, name)
        expected = list(expected) if isinstance(expected, tuple) else expected
        assert getattr(config, name) == expected, f"{part}.{name}"


def _required(group: str, option: str) -> list[str]:
    return [f"{k}={e.value}" for k, e in entries_of(f"{group}/{option}.yaml", "", None).items()]
