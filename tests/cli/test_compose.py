from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from visionkit.cli.compose import ConfigError, compose, expand_sweep
from visionkit.cli.quoting import path_keys, quote_path
from visionkit.config import (
    ClassificationConfig,
    EvaluateConfig,
    ExemplarConfig,
    GalleryConfig,
    PredictConfig,
    TrainConfig,
)
from visionkit.config.flywheel import MergeConfig, RetrainConfig, ReviewConfig


def train(*words: str, config_folder: Path | None = None) -> TrainConfig:
    return compose("train", TrainConfig, words, config_folder=config_folder).config


def test_the_defaults_of_a_task_are_typed() -> None:
    config = train("task=exemplar")
    assert isinstance(config.task, ExemplarConfig)
    assert config.task.correlation.enabled is True
    assert config.backbone.weights == "starter"
    assert config.data.items is None
    assert isinstance(config.task.learned.max_epochs, int)


def test_a_key_may_be_called_like_a_group_of_another_command() -> None:
    words = ["bundle=b", "data=my scenes/[1]"]
    assert compose("evaluate", EvaluateConfig, words).config.data == "my scenes/[1]"


def test_overrides_win_over_files() -> None:
    config = train("task=exemplar", "task.learned.learning_rate=1e-4", "trainer=gpu", "seed=7")
    assert isinstance(config.task, ExemplarConfig)
    assert config.task.learned.learning_rate == 1e-4
    assert config.trainer.accelerator == "gpu"
    assert config.trainer.patience == train("task=exemplar").trainer.patience
    assert config.seed == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"task must be chosen: task=.*exemplar"),
        (["task=exmplar"], "there is no such task; did you mean exemplar?"),
        (["tsk=exemplar"], "tsk is not an option of train; did you mean task?"),
        (["task=exemplar", "data.itms=x"], "did you mean data.items?"),
        (["task=exemplar", "max_epoch=3"], "did you mean trainer.max_epochs?"),
        (["task=exemplar", "zzz=3"], r"zzz is not an option of train \(--help lists them\)"),
        (["task=exemplar", "backbone=resnet5"], "did you mean resnet50?"),
        (
            ["task=exemplar", "+task.learnd.enabled=true"],
            "task.learnd is not an option.*did you mean task.learned?",
        ),
        (["task=exemplar", "trainer.max_epochs=many"], "trainer.max_epochs: .*'many'.*Integer"),
        (["task=exemplar", "trainer.max_epochs=-1"], "trainer.max_epochs must be at least 0"),
        (["task=exemplar", "backbone.strides=[8,0]"], "backbone.strides must be at least 1, got 0"),
        (["task=exemplar", "augment.items=[1]"], r"augment.items must be a list of 2.*\[1\]"),
        (["task=exemplar", "augment.items=3"], "augment.items: .*list"),
        (["task=exemplar", "data.format=cocoo"], "must be one of auto.*did you mean coco?"),
        (["task=exemplar", "task.iou_threshold=nan"], "at least 0 and at most 1, got nan"),
        (["task=exemplar", "data.splits.train=0.5"], "data.splits.train, val and test must sum"),
        (["task=exemplar", "seed=1,2"], "add -m to run each"),
        (["task=exemplar", "seed=[1"], "the value of seed can't be read"),
        (["task=exemplar", "seed"], "options are written key=value, got 'seed'"),
        (["task=exemplar", "~seed=0"], "can't be taken away"),
        (["task=exemplar", "task.name=other"], "task.name must be one of .*exemplar.*, got other"),
        (["task=exemplar", "hydra.run.dir=x"], "output=PATH"),
        (["task=exemplar", "experiment=nothing_like_it"], "there is no such experiment"),
    ],
)
def test_what_can_not_be_is_named_with_the_nearest_that_can(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(*words)


def test_a_required_value_that_is_not_given_is_named() -> None:
    with pytest.raises(ConfigError, match=r"source must be given: source=\.\.\."):
        compose("predict", PredictConfig, ["bundle=b"])


@pytest.mark.parametrize("word", ["source=", "source=' '", "bundle=", "output=''"])
def test_an_empty_path_is_not_the_current_folder(word: str) -> None:
    key = word.partition("=")[0]
    with pytest.raises(ConfigError, match=f"{key} must be a path"):
        compose("predict", PredictConfig, ["bundle=b", "source=s", word])


@pytest.mark.parametrize(
    "path",
    [
        "my pictures/logo (2).png",
        "[brackets]/a,b=c.png",
        "C:\\photos\\",
        "it's/~tilde #1 & 100%/{x}",
        "ünïcode/日本.png",
        "photos/**/*.jpg",
        "  spaces  ",
    ],
)
def test_any_path_means_itself(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if path.startswith("["):  # would be a list if there were no file of that name
        (tmp_path / "[brackets]").mkdir()
        (tmp_path / path).touch()
    config = compose("predict", PredictConfig, ["bundle=b", f"source={path}"]).config
    assert config.source == path


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a b.png", ["a b.png"]), ("[a.png,b.png]", ["a.png", "b.png"]), ("[]", [])],
)
def test_one_path_is_a_list_of_one_where_several_may_stand(value: str, expected: list[str]) -> None:
    words = ["action=add", "bundle=b", f"images={value}"]
    assert compose("gallery", GalleryConfig, words).config.images == expected


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of the user, and another one as the working folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_a_path_may_begin_at_home(home: Path) -> None:
    words = ["catalog=~/my shop", "task=classification", "data.background=~", "output=a/~/b"]
    words += ["task.cache.folder='~/cache'", "author='~me'"]
    config = compose("retrain", RetrainConfig, words).config
    assert config.catalog == str(home / "my shop")
    assert config.data.background == str(home)
    assert isinstance(config.task, ClassificationConfig)
    assert config.task.cache.folder == str(home / "cache")
    assert (config.output, config.author) == ("a/~/b", "~me")
    words = ["bundle=b", "source=~nobody-of-this-name/x"]
    assert compose("predict", PredictConfig, words).config.source == "~nobody-of-this-name/x"


@pytest.mark.parametrize(
    "value",
    [
        "[~/a b.png,~/c.png,d.png]",
        "[ ~/a b.png, ~/c.png ,d.png]",
        "['~/a b.png','~/c.png',d.png]",
    ],
)
def test_each_path_of_a_list_may_begin_at_home(value: str, home: Path) -> None:
    words = ["action=add", "bundle=b", f"images={value}"]
    images = compose("gallery", GalleryConfig, words).config.images
    assert images == [str(home / "a b.png"), str(home / "c.png"), "d.png"]


def test_each_path_of_a_sweep_may_begin_at_home(home: Path) -> None:
    runs = expand_sweep(["bundle=b", "source=~/a b,~/c,d"], PredictConfig)
    sources = [compose("predict", PredictConfig, words).config.source for words in runs]
    assert sources == [str(home / "a b"), str(home / "c"), "d"]


def test_a_path_of_a_file_of_ones_own_may_begin_at_home(home: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text("defaults: [default]\nroot: ~/pictures\n")
    config = train("task=classification", "data=mine", config_folder=tmp_path)
    assert config.data.root == str(home / "pictures")


TEXTS = [
    "1.50",
    "true",
    "1e3",
    "0x10",
    "1_000",
    "Müsli",
    "咖啡",
    "M&M's",
    "l'Oréal",
    "'s Gravenhage",
    "Coca-Cola (0.5 l)",
    "[a,b]",
    "{a: b}",
    "a=b, c",
    "~",
    "C:\\",
    "\\' and \\\\'",
    'the "best" one',
    '"M" and "N"',
    "it costs ${x}",
    "\\${x} costs $5",
    "sum(1)",
    "  spaces  ",
    "two\nlines",
]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_means_itself(text: str) -> None:
    words = ["action=add", "bundle=b", f"item={text}"]
    assert compose("gallery", GalleryConfig, words).config.item == text
    merge = compose("merge", MergeConfig, ["catalog=c", f"author={text}", f"note={text}"]).config
    assert (merge.author, merge.note) == (text, text)
    words = ["catalog=c", f"reviewer={text}", f"token={text}"]
    review = compose("review", ReviewConfig, words).config
    assert (review.reviewer, review.token) == (text, text)


def test_a_token_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVIEW_TOKEN", "a long secret, 42")
    words = ["catalog=c", "token=${oc.env:REVIEW_TOKEN}"]
    assert compose("review", ReviewConfig, words).config.token == "a long secret, 42"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"M and M"', "M and M"),
        ("'1.50'", "1.50"),
        ("'M&M\\'s'", "M&M's"),
        ('"null"', "null"),
        ("null", None),
        ("", ""),
    ],
)
def test_quotes_and_null_keep_their_meaning_in_texts(value: str, expected: str | None) -> None:
    words = ["action=add", "bundle=b", f"item={value}"]
    assert compose("gallery", GalleryConfig, words).config.item == expected


def test_values_that_hydra_gives_a_meaning_keep_it_in_paths() -> None:
    assert quote_path("data.items=null", {"data.items"}) == "data.items=null"
    assert quote_path("data.items='a b'", {"data.items"}) == "data.items='a b'"
    assert quote_path("seed=a b", {"data.items"}) == "seed=a b"
    assert {"data.items", "data.demo.folder", "backbone.file", "output"} <= path_keys(TrainConfig)


def test_an_empty_sweep_is_one_run() -> None:
    assert expand_sweep([], TrainConfig) == [[]]


def test_a_sweep_is_the_product_of_its_lists() -> None:
    runs = expand_sweep(["task=exemplar", "seed=1,2", "trainer=cpu,quick"], TrainConfig)
    assert runs == [
        ["task=exemplar", "seed=1", "trainer=cpu"],
        ["task=exemplar", "seed=1", "trainer=quick"],
        ["task=exemplar", "seed=2", "trainer=cpu"],
        ["task=exemplar", "seed=2", "trainer=quick"],
    ]


def test_ranges_and_globs_of_a_group_can_be_swept() -> None:
    assert expand_sweep(["seed=range(1,4)"], TrainConfig) == [["seed=1"], ["seed=2"], ["seed=3"]]
    assert expand_sweep(["trainer=glob([c*,q*])"], TrainConfig) == [
        ["trainer=cpu"],
        ["trainer=quick"],
    ]


def test_lists_are_values_in_a_sweep() -> None:
    runs = expand_sweep(["backbone.strides=[8],[8,16]"], TrainConfig)
    assert runs == [["backbone.strides=[8]"], ["backbone.strides=[8,16]"]]


def test_a_folder_of_ones_own_adds_options_and_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "mine.yaml"
    file.write_text(
        "# @package _global_\n# visionkit train experiment=mine\n"
        "defaults:\n  - override /task: exemplar\n  - override /trainer: quick\nseed: 3\n"
    )
    composed = compose("train", TrainConfig, ["experiment=mine"], config_folder=tmp_path)
    assert (composed.config.seed, composed.config.trainer.max_epochs) == (3, 1)
    assert composed.origins["seed"] == "conf/experiment/mine.yaml"
    assert composed.origins["trainer.max_epochs"] == "conf/trainer/quick.yaml"
    file.write_text("# @package _global_\ndefaults:\n  - override /task: exemplar\nsed: 3\n")
    with pytest.raises(ConfigError, match=r"sed is not an option.*did you mean seed\?"):
        train("experiment=mine", config_folder=tmp_path)
    with pytest.raises(ConfigError, match="--config-dir must be a folder"):
        train("task=exemplar", config_folder=tmp_path / "missing")


def test_every_value_says_where_it_came_from() -> None:
    words = ["task=exemplar", "data=demo_large", "trainer.patience=2", "+backbone.options.mine=1"]
    composed = compose("train", TrainConfig, words)
    expected: dict[str, Any] = {
        "seed": "conf/train.yaml",
        "task.candidates": "conf/task/exemplar.yaml",
        "data.demo.items": "conf/data/demo_large.yaml",
        "data.demo.seed": "conf/data/default.yaml",
        "trainer.patience": "command line",
        "backbone.options.mine": "command line",
    }
    assert {key: composed.origins[key] for key in expected} == expected
    assert "" not in composed.origins.values()
