"""Trainings of the classification and the localization head, as `visionkit train` runs them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.jobs.conftest import write_broken, write_picture
from tests.worlds import photo
from visionkit.cli.compose import compose
from visionkit.config import EvaluateConfig, TrainConfig
from visionkit.data.demo_boxes import make_demo_boxes
from visionkit.data.demo_digits import make_demo_digits
from visionkit.data.formats import read
from visionkit.data.images import read_image
from visionkit.data.picture_files import find_images
from visionkit.data.table import to_samples
from visionkit.inference.predictor import Predictor
from visionkit.jobs.evaluate import evaluate
from visionkit.jobs.train import train
from visionkit.models.weights import starter_boxes

DIGITS, BOXES = 200, 16


def run(folder: Path, scratch: Path, *words: str) -> dict[str, float]:
    """Figures of a training on a small demo set."""
    given = [
        "trainer.accelerator=cpu",
        "trainer.progress=false",
        f"data.demo.folder={scratch / 'demo'}",
        *words,
    ]
    config = compose("train", TrainConfig, given).config
    folder.mkdir(exist_ok=True)
    return dict(train(config, folder).metrics)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("heads")


@pytest.fixture(scope="module")
def digits(scratch: Path) -> tuple[Path, dict[str, float]]:
    """A classification training's folder and figures; not to be changed."""
    folder = scratch / "digits"
    words = (
        "task=classification",
        "task.image_size=64",
        "task.views=1",
        f"task.cache.folder={scratch / 'features'}",
        f"data.demo.digits={DIGITS}",
    )
    return folder, run(folder, scratch / "digits_demo", *words)


@pytest.fixture(scope="module")
def both(digits: tuple[Path, dict[str, float]], scratch: Path) -> tuple[Path, dict[str, float]]:
    """The folder and figures of a training that adds a localization head to the bundle."""
    folder = scratch / "both"
    words = (
        "task=localization",
        f"bundle={digits[0] / 'bundle'}",
        "task.image_size=96",
        "task.width=32",
        "task.depth=1",
        "task.minutes=10",
        "trainer.max_epochs=1",
        f"data.demo.pictures={BOXES}",
        "data.demo.classes=2",
    )
    return folder, run(folder, scratch / "boxes_demo", *words)


def pictures(scratch: Path) -> list[Path]:
    return list(find_images(scratch / "digits_demo" / "demo"))[::20]


def test_digits_are_named_far_better_than_by_chance(
    digits: tuple[Path, dict[str, float]],
) -> None:
    folder, figures = digits
    assert figures["accuracy"] > 0.6  # chance is 0.1
    assert {path.name for path in folder.iterdir()} >= {
        "bundle",
        "metrics.json",
        "evaluation.manifest",
        "evaluation_summary.json",
        "report.html",
        "table.parquet",
    }
    written = json.loads((folder / "metrics.json").read_text())
    assert written["figures"]["accuracy"] == figures["accuracy"]


def test_the_figures_are_those_of_the_answers_that_were_written(
    digits: tuple[Path, dict[str, float]],
) -> None:
    """By counting the marks of the manifest, which is a data set again."""
    folder, figures = digits
    rows = [json.loads(line) for line in (folder / "evaluation.manifest").read_text().splitlines()]
    right = 0
    for row in rows:
        marks = [value for key, value in row.items() if key.endswith("-metadata")]
        right += any(one.get("is-true-positive") for one in marks)
    assert right / len(rows) == pytest.approx(figures["accuracy"])
    samples = to_samples(
        read(folder / "evaluation.manifest", "groundtruth", image_root=folder.parent).table
    )
    assert [Path(sample.uri).parent.name for sample in samples] == [
        sample.labels[0] for sample in samples
    ]


def test_a_head_that_is_added_changes_no_answer_of_the_others(
    digits: tuple[Path, dict[str, float]], both: tuple[Path, dict[str, float]], scratch: Path
) -> None:
    before = Predictor.load(digits[0] / "bundle", device="cpu")
    after = Predictor.load(both[0] / "bundle", device="cpu")
    assert (before.tasks, after.tasks) == (
        ("classification",),
        ("classification", "localization"),
    )
    old = before.predict(pictures(scratch))
    new = after.predict(pictures(scratch))
    for one, other in zip(old, new, strict=True):
        assert one.classification is not None
        assert other.classification is not None
        np.testing.assert_array_equal(
            one.classification.confidence, other.classification.confidence
        )
        assert one.localization is None
        assert other.localization is not None


def test_a_located_run_holds_its_files(both: tuple[Path, dict[str, float]]) -> None:
    folder, figures = both
    assert 0 <= figures["ap50"] <= 1
    assert {path.name for path in folder.iterdir()} >= {
        "bundle",
        "checkpoints",
        "evaluation.manifest",
        "evaluation_summary.json",
        "metrics.json",
        "outcomes.jsonl",
        "report.html",
        "table.parquet",
    }


def test_fine_tuning_does_not_move_the_backbone_of_a_bundle(
    digits: tuple[Path, dict[str, float]], scratch: Path, tmp_path: Path
) -> None:
    words = (
        "task=classification",
        "task.finetune.enabled=true",
        f"bundle={digits[0] / 'bundle'}",
        f"data.demo.digits={DIGITS}",
    )
    with pytest.raises(ValueError, match=r"finetune.enabled must be false.*leave away bundle="):
        run(tmp_path / "run", scratch / "digits_demo", *words)


def test_where_the_backbone_moves_other_heads_are_measured_before_and_after(
    digits: tuple[Path, dict[str, float]], scratch: Path, tmp_path: Path
) -> None:
    words = (
        "task=localization",
        f"bundle={digits[0] / 'bundle'}",
        "move_backbone=true",
        "task.image_size=96",
        "task.width=32",
        "task.depth=1",
        "task.minutes=10",
        "trainer.max_epochs=1",
        f"data.demo.pictures={BOXES}",
        "data.demo.classes=2",
    )
    with pytest.raises(ValueError, match=r"others.labels must name pictures.*classification"):
        run(tmp_path / "unnamed", scratch / "boxes_demo", *words)
    known = f"others.labels={scratch / 'digits_demo' / 'demo'}"
    run(tmp_path / "run", scratch / "boxes_demo", *words, known)
    told = json.loads((tmp_path / "run" / "others.json").read_text())["classification"]
    # The set is divided as it was when the head was trained, so the first figure is known.
    assert told["before"]["accuracy"] == pytest.approx(digits[1]["accuracy"])
    before = Predictor.load(digits[0] / "bundle", device="cpu")
    after = Predictor.load(tmp_path / "run" / "bundle", device="cpu")
    assert after.tasks == ("classification", "localization")
    assert before.backbone.weights_id != after.backbone.weights_id
    assert after.metadata["classification"]["metrics"] == told["after"]
    assert told["after"] != told["before"]


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("test/zebra", "must have labels of pictures of the head's classes .*got zebra"),
        ("train/zebra", "must be two classes to learn from, got zebra"),
    ],
)
def test_a_set_that_says_nothing_of_the_other_head_is_refused(
    folder: str, said: str, digits: tuple[Path, dict[str, float]], scratch: Path, tmp_path: Path
) -> None:
    write_picture(tmp_path / "set" / folder / "a.png", photo(1))
    words = (
        "task=localization",
        f"bundle={digits[0] / 'bundle'}",
        "move_backbone=true",
        "task.image_size=96",
        f"data.demo.pictures={BOXES}",
        "data.demo.classes=2",
        f"others.labels={tmp_path / 'set'}",
    )
    with pytest.raises(ValueError, match=said):
        run(tmp_path / "run", scratch / "boxes_demo", *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["move_backbone=true"], "false where no bundle is given"),
        (["move_backbone=true", "bundle=any"], "false where the backbone does not learn"),
        (["others.boxes=any"], "others.boxes must be given with move_backbone=true"),
    ],
)
def test_a_backbone_moves_only_where_it_can(
    words: list[str], said: str, scratch: Path, tmp_path: Path
) -> None:
    given = ("task=classification", f"data.demo.digits={DIGITS}", *words)
    with pytest.raises(ValueError, match=said):
        run(tmp_path / "run", scratch / "digits_demo", *given)


def evaluated(folder: Path, *words: str) -> dict[str, float]:
    config = compose("evaluate", EvaluateConfig, ["accelerator=cpu", *words]).config
    folder.mkdir()
    return dict(evaluate(config, folder).metrics)


def test_evaluating_again_gives_the_same(
    digits: tuple[Path, dict[str, float]], scratch: Path, tmp_path: Path
) -> None:
    folder, figures = digits
    data = scratch / "digits_demo" / "demo"
    words = [f"bundle={folder / 'bundle'}", f"data={data}", "format=folders", "split=test"]
    again = evaluated(tmp_path / "again", *words)
    assert again["accuracy"] == pytest.approx(figures["accuracy"])
    assert again["nll"] == pytest.approx(figures["nll"], rel=1e-5)


def test_of_several_heads_one_must_be_named(
    both: tuple[Path, dict[str, float]], scratch: Path, tmp_path: Path
) -> None:
    bundle = f"bundle={both[0] / 'bundle'}"
    data = f"data={scratch / 'digits_demo' / 'demo'}"
    with pytest.raises(ValueError, match=r"task must say .*classification or localization"):
        evaluated(tmp_path / "none", bundle, data)
    with pytest.raises(ValueError, match=r"classification or localization, got exemplar"):
        evaluated(tmp_path / "other", bundle, data, "task=exemplar")
    assert evaluated(tmp_path / "named", bundle, data, "task=classification")["accuracy"] > 0.6
    with pytest.raises(ValueError, match=r"must have labelled boxes.*got"):
        evaluated(tmp_path / "wrong", bundle, data, "task=localization")


def test_a_broken_picture_is_reported_and_left_out(
    digits: tuple[Path, dict[str, float]], scratch: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for path in pictures(scratch)[:3]:
        target = data / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    write_broken(data / "0" / "broken.jpg")
    folder = tmp_path / "run"
    evaluated(folder, f"bundle={digits[0] / 'bundle'}", f"data={data}")
    assert "broken.jpg" in (folder / "problems.csv").read_text()
    rows = (folder / "evaluation.manifest").read_text().splitlines()
    assert len(rows) == 3


def located(scratch: Path, folder: Path, *words: str) -> dict[str, torch.Tensor]:
    """State of a localization head that nothing was trained of."""
    given = (
        "task=localization",
        "trainer.max_epochs=0",
        f"data.demo.pictures={BOXES}",
        "data.demo.classes=2",
        *words,
    )
    run(folder, scratch / "boxes_demo", *given)
    part = Predictor.load(folder / "bundle", device="cpu").localization
    assert part is not None
    return part.head.class_agnostic_state()


def test_a_head_goes_on_from_that_of_the_bundle(
    both: tuple[Path, dict[str, float]],
    scratch: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = (f"bundle={both[0] / 'bundle'}", "task.image_size=96", "task.depth=1")
    known = head_of(both[0] / "bundle")
    located(scratch, tmp_path / "begun", *words, "task.width=32")
    begun = head_of(tmp_path / "begun" / "bundle")
    assert any(name.startswith("class_branch.") for name in begun)
    assert begun.keys() == known.keys()
    assert all(torch.equal(value, known[name]) for name, value in begun.items())
    assert "it knows 2 of 2 classes" in capsys.readouterr().out
    anew = located(scratch, tmp_path / "anew", *words, "task.width=32", "task.boxes=null")
    assert any(not torch.equal(value, known[name]) for name, value in anew.items())
    located(scratch, tmp_path / "wide", *words)
    assert "The bundle's head is not gone on from: box weights must" in capsys.readouterr().out


def head_of(bundle: Path) -> dict[str, torch.Tensor]:
    part = Predictor.load(bundle, device="cpu").localization
    assert part is not None
    return part.head.state_dict()


def test_boxes_begin_as_those_that_come_with_the_starter_weights(
    scratch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped, _ = starter_boxes()
    begun = located(scratch, tmp_path / "begun")
    assert begun.keys() == shipped.keys()
    for name, value in begun.items():
        torch.testing.assert_close(value, shipped[name])
    anew = located(scratch, tmp_path / "anew", "task.boxes=null")
    assert any(not torch.equal(value, shipped[name]) for name, value in anew.items())
    located(scratch, tmp_path / "narrow", "task.width=64")
    assert "Boxes are learned anew: box weights must have" in capsys.readouterr().out


def test_pictures_without_labels_are_learned_from(scratch: Path) -> None:
    """A handful of digits is labelled; the others are only there."""
    make_demo_digits(scratch / "some", count=DIGITS, seed=0)
    listed = sorted(find_images(scratch / "some"))
    root, rest = scratch / "few", scratch / "rest"
    rest.mkdir()
    for number, path in enumerate(listed):
        place = root / path.parent.name / path.name if number % 4 == 0 else rest / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    folder = scratch / "guessed"
    run(
        folder, scratch, "task=classification", "task.image_size=64", "task.views=1",
        f"task.cache.folder={scratch / 'features'}", f"data.root={root}",
        f"data.unlabelled={rest}",
    )  # fmt: skip
    with (folder / "guessed.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 20
    true = {(rest / f"{n}.png").as_posix(): path.parent.name for n, path in enumerate(listed)}
    assert np.mean([row["labels"] == true[row["picture"]] for row in rows]) > 0.9
    likelihoods = [float(row["likelihood"]) for row in rows]
    assert likelihoods == sorted(likelihoods)
    assert min(likelihoods) >= 0.8
    assert "once more with what it was sure of" in (folder / "report.html").read_text("utf-8")


def test_boxes_that_nobody_has_drawn_are_learned(
    scratch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = tmp_path / "rest"
    make_demo_boxes(tmp_path / "others", pictures=6, classes=2, seed=5)
    for path in find_images(tmp_path / "others"):
        write_picture(rest / path.name, read_image(path))
    write_broken(rest / "broken.jpg")
    make_demo_boxes(tmp_path / "drawn", pictures=BOXES, classes=2, seed=0)
    words = (
        "task=localization", "task.image_size=128", "task.average=0.9", "trainer.max_epochs=8",
        f"data.root={tmp_path / 'drawn'}", f"data.unlabelled={rest}",
    )  # fmt: skip
    run(tmp_path / "all", scratch, *words, "task.sure=0.05", "task.doubt=0.05")
    said = " ".join(capsys.readouterr().out.split())
    with (tmp_path / "all" / "guessed.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    seen = {row["path"] for row in rows}
    assert seen
    assert seen <= {path.as_posix() for path in find_images(rest)}
    assert f"It was sure of {len(rows)} boxes in {len(seen)} of 6 pictures without boxes" in said
    assert "goes on for half as long with what it is then sure of in 6 pictures" in said
    drawn = to_samples(read(tmp_path / "drawn").table)
    names = {entry.label for sample in drawn for entry in sample.objects}
    assert {row["label"] for row in rows} <= names
    for row in rows:
        x_min, y_min, x_max, y_max = (float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax"))
        assert 0 <= x_min < x_max
        assert 0 <= y_min < y_max
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores)
    assert "broken.jpg" in (tmp_path / "all" / "problems.csv").read_text(encoding="utf-8")
    report = (tmp_path / "all" / "report.html").read_text(encoding="utf-8")
    kept = "what it learned without them is kept" not in said
    assert re.search(r"Validation pictures: AP 0\.\d\d with them, 0\.\d\d without", said)
    assert ("Learned without having been drawn" in report) == kept
    run(tmp_path / "none", scratch, *words, "task.sure=1")
    said = " ".join(capsys.readouterr().out.split())
    assert "In none of 6 pictures without boxes it was sure of a box." in said
    assert not (tmp_path / "none" / "guessed.csv").exists()
    (tmp_path / "drawn" / "annotations_val.json").unlink()
    unjudged = ("data.splits.train=0.9", "data.splits.val=0", "data.splits.test=0.1")
    run(tmp_path / "unjudged", scratch, *words, *unjudged, "trainer.max_epochs=1")
    said = " ".join(capsys.readouterr().out.split())
    assert "6 pictures without boxes are not learned from: there are no validation" in said
    assert "goes on for half as long" not in said


def test_a_run_that_goes_on_with_mended_pictures_has_no_problems(
    scratch: Path, tmp_path: Path
) -> None:
    make_demo_boxes(tmp_path / "drawn", pictures=BOXES, classes=2, seed=0)
    broken = write_broken(tmp_path / "rest" / "broken.jpg")
    words = (
        "task=localization", "task.image_size=96", "trainer.max_epochs=0",
        f"data.root={tmp_path / 'drawn'}", f"data.unlabelled={tmp_path / 'rest'}",
    )  # fmt: skip
    run(tmp_path / "run", scratch, *words)
    assert "broken.jpg" in (tmp_path / "run" / "problems.csv").read_text(encoding="utf-8")
    write_picture(broken, photo(0))
    run(tmp_path / "run", scratch, *words)
    assert not (tmp_path / "run" / "problems.csv").exists()


def test_too_few_labels_to_judge_the_others_by_are_named_as_the_reason(
    scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, rest = scratch / "two_each", scratch / "others"
    for number in range(6):
        folder = rest if number >= 4 else root / f"class{number % 2}"
        write_picture(folder / f"{number}.png", photo(700 + number))
    run(
        scratch / "too_few", scratch, "task=classification", "task.image_size=64", "task.views=1",
        f"task.cache.folder={scratch / 'features'}", f"data.root={root}",
        f"data.unlabelled={rest}", "data.splits.val=0", "data.splits.test=0",
        "data.splits.train=1",
    )  # fmt: skip
    said = " ".join(capsys.readouterr().out.split())
    assert "2 pictures without a label were not learned from: too few pictures have labels" in said
