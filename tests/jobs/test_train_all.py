"""Trainings of several heads together, as `visionkit train task=all` runs them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from visionkit.cli.compose import compose
from visionkit.config import AllConfig, TrainConfig
from visionkit.data.demo_digits import make_demo_digits
from visionkit.data.picture_files import find_images
from visionkit.inference.predictor import Predictor
from visionkit.jobs.settings import joint_settings
from visionkit.jobs.train import train
from visionkit.models.build_backbone import build_backbone
from visionkit.monitoring.reference import read_reference

WORDS = (
    "task=all",
    "trainer.accelerator=cpu",
    "trainer.progress=false",
    "trainer.max_epochs=1",
    "task.minutes=10",
    "task.validations=1",
    "task.classification.image_size=64",
    "task.classification.views=1",
    "task.localization.image_size=96",
    "task.localization.width=32",
    "task.localization.depth=1",
    "task.exemplar.learned.enabled=false",
    "task.exemplar.scenes.test=2",
    "augment.image_size=[160,160]",
    "data.demo.digits=200",
    "data.demo.pictures=16",
    "data.demo.classes=2",
    "data.demo.items=2",
    "data.demo.views=2",
    "data.demo.scenes=6",
    "data.demo.background=3",
)


def composed(scratch: Path, *words: str) -> TrainConfig:
    given = (
        f"data.demo.folder={scratch / 'demo'}",
        f"task.classification.cache.folder={scratch / 'features'}",
    )
    return compose("train", TrainConfig, [*WORDS, *given, *words]).config


def run(folder: Path, scratch: Path, *words: str) -> dict[str, float]:
    folder.mkdir(exist_ok=True)
    return dict(train(composed(scratch, *words), folder).metrics)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("all")


@pytest.fixture(scope="module")
def whole(scratch: Path) -> tuple[Path, dict[str, float]]:
    """The folder and figures of a training of all heads; not to be changed."""
    return scratch / "run", run(scratch / "run", scratch)


def test_one_bundle_answers_for_all_heads(whole: tuple[Path, dict[str, float]]) -> None:
    folder, figures = whole
    predictor = Predictor.load(folder / "bundle", device="cpu")
    assert predictor.tasks == ("exemplar", "classification", "localization")
    picture = next(iter(find_images(folder.parent / "demo" / "classification")))
    answer = predictor.predict(picture)[0]
    assert answer.exemplar is not None
    assert answer.classification is not None
    assert answer.localization is not None
    assert {name.partition("/")[0] for name in figures} == set(predictor.tasks)
    assert figures["classification/accuracy"] > 0.6  # chance is 0.1
    assert {*predictor.metadata} == set(predictor.tasks)


def test_all_heads_see_by_the_backbone_that_moved(
    whole: tuple[Path, dict[str, float]],
) -> None:
    predictor = Predictor.load(whole[0] / "bundle", device="cpu")
    start = build_backbone().network.state_dict()
    moved = predictor.backbone.network.state_dict()
    assert not all(torch.equal(start[name], moved[name]) for name in moved)
    assert predictor.backbone.holds(predictor.finder.backbone)


def test_each_head_has_a_folder_of_what_was_measured(
    whole: tuple[Path, dict[str, float]],
) -> None:
    folder, figures = whole
    written = json.loads((folder / "metrics.json").read_text())["figures"]
    assert written == pytest.approx(figures)
    for head in ("exemplar", "classification", "localization"):
        own = json.loads((folder / head / "metrics.json").read_text())["figures"]
        for name, value in own.items():
            if f"{head}/{name}" in figures:
                assert value == pytest.approx(figures[f"{head}/{name}"])
    assert (folder / "localization" / "report.html").is_file()
    assert (folder / "exemplar" / "report.html").is_file()


def test_on_the_backbone_of_a_bundle_its_other_heads_answer_the_same(
    whole: tuple[Path, dict[str, float]], scratch: Path, tmp_path: Path
) -> None:
    words = (f"bundle={whole[0] / 'bundle'}", "task.heads=[localization]")
    run(tmp_path / "run", scratch, *words)
    before = Predictor.load(whole[0] / "bundle", device="cpu")
    after = Predictor.load(tmp_path / "run" / "bundle", device="cpu")
    assert after.tasks == before.tasks
    assert after.backbone.weights_id == before.backbone.weights_id


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("task.localization.freeze=all", r"task.localization.freeze must be that of all heads"),
        (
            "task.classification.finetune.minutes=3",
            r"finetune.minutes must be that of all heads.*set task.minutes",
        ),
        ("task.classification.finetune.enabled=false", r"must be true.*task.freeze=all"),
    ],
)
def test_what_is_said_for_all_is_said_once(scratch: Path, word: str, message: str) -> None:
    config = composed(scratch, word)
    assert isinstance(config.task, AllConfig)
    with pytest.raises(ValueError, match=message):
        joint_settings(config.trainer, config.task, 0)


def test_what_is_said_for_all_reaches_every_head(scratch: Path) -> None:
    config = composed(scratch, "task.freeze=early", "task.average=0.9", "seed=3")
    assert isinstance(config.task, AllConfig)
    settings = joint_settings(config.trainer, config.task, 3)
    assert (settings.freeze, settings.average, settings.max_epochs) == ("early", 0.9, 1)
    assert settings.naming.seed == settings.locating.seed == 3


def test_options_of_a_head_that_is_not_trained_are_not_asked(scratch: Path) -> None:
    words = ("task.heads=[classification]", "task.localization.freeze=all")
    config = composed(scratch, *words)
    assert isinstance(config.task, AllConfig)
    assert joint_settings(config.trainer, config.task, 0).freeze == "none"


def test_the_bundle_holds_a_reference_that_heads_did_not_flatter(
    whole: tuple[Path, dict[str, float]],
) -> None:
    kept = read_reference(whole[0] / "bundle")
    assert {*kept.names} == {"exemplar", "classification", "localization"}
    seen = kept.observed
    scores = seen.numbers["classification.score"]
    assert len(seen) == len(scores) > 200  # the digits and the scenes
    asked = np.isfinite(scores)
    assert 0 < asked.sum() < len(seen)
    assert np.isfinite(seen.numbers["truth.right"][asked]).any()
    # Who learned from a picture is not asked about it.
    assert {word for word, own in zip(seen.kinds["classification.class"], asked, strict=True)
            if not own} == {""}  # fmt: skip


def test_what_was_learned_of_pictures_without_labels_is_said(
    scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = make_demo_digits(scratch / "digits", count=80, seed=0)
    make_demo_digits(scratch / "more", count=20, seed=1)
    run(
        scratch / "guessed", scratch, "task.heads=[classification]", f"data.labels={digits}",
        f"data.unlabelled={scratch / 'more'}",
    )  # fmt: skip
    # Two of the twenty are among the labelled ones.
    assert "18 pictures without a label were" in " ".join(capsys.readouterr().out.split())
