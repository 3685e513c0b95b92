"""Retraining, as cron calls it: waiting, the first model, a challenger, the frozen test set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.jobs.conftest import Scenes
from tests.pages import Page
from tests.worlds import (
    classification_part,
    localization_part,
    new_finder,
    three_items,
    whole_backbone,
)
from visionkit.cli.compose import compose
from visionkit.config.flywheel import RetrainConfig
from visionkit.data.demo_digits import make_demo_digits
from visionkit.data.formats import read
from visionkit.data.table import to_samples
from visionkit.flywheel.answers import Correction
from visionkit.flywheel.catalog import Catalog, Model, open_catalog
from visionkit.flywheel.marks import Marks, named_marks
from visionkit.flywheel.paired import Contest
from visionkit.inference.predictor import Predictor
from visionkit.jobs.retrain import retrain
from visionkit.types import Sample

DIGITS, LABELLED, TESTED = 200, 40, 80


def run(catalog: Path, scratch: Path, name: str, *words: str) -> Path:
    """The folder of a retraining of small digits; it may be that nothing was to be done."""
    folder = scratch / name
    given = [
        "task=classification",
        f"catalog={catalog}",
        "task.image_size=64",
        "task.views=1",
        f"task.cache.folder={scratch / 'features'}",
        "trainer.accelerator=cpu",
        "loop.least_corrections=40",
        f"output={folder}",
        *words,
    ]
    retrain(compose("retrain", RetrainConfig, given).config, catalog)
    return folder


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, str]]:
    """A catalog after two turns of the wheel, its scratch folder, and what every picture shows."""
    scratch = tmp_path_factory.mktemp("wheel")
    found = to_samples(read(make_demo_digits(scratch / "digits", count=DIGITS), "folders").table)
    truth = {sample.id: sample.labels[0] for sample in found}
    samples = []
    for number, sample in enumerate(sorted(found, key=lambda sample: sample.content_hash)):
        split = "test" if number < TESTED else "train"
        known = number < TESTED + LABELLED
        samples.append(replace(sample, split=split, labels=sample.labels if known else ()))
    place = scratch / "catalog"
    catalog = open_catalog(place, create=True)
    catalog.add_samples(samples, reviewed=[bool(sample.labels) for sample in samples])
    run(place, scratch, "first")
    answer(catalog, truth, count=80)
    run(place, scratch, "second")
    return place, scratch, truth


def answer(catalog: Catalog, truth: dict[str, str], *, count: int) -> None:
    """Labels so many pictures that nobody has labelled, as a person would."""
    left = [name for name, known in catalog.truths().items() if not known.reviewed][:count]
    assert len(left) == count
    for name in left:
        catalog.correct(Correction(f"answer-{name}", name, 0, "ann", "edit", labels=(truth[name],)))


def test_the_first_model_becomes_the_champion_and_freezes_the_test_set(
    turned: tuple[Path, Path, dict[str, str]],
) -> None:
    place, scratch, _ = turned
    first = open_catalog(place).models()[0]
    assert (first.version, first.parent, first.metrics["promoted"]) == ("v1", "", True)
    frozen = json.loads((place / "frozen_test.json").read_text("utf-8"))
    assert len(frozen["pictures"]) == TESTED
    assert json.loads((scratch / "first" / "verdict.json").read_text("utf-8"))["promoted"] is True


def test_a_challenger_is_judged_on_the_same_pictures_and_registered_with_its_lineage(
    turned: tuple[Path, Path, dict[str, str]],
) -> None:
    place, scratch, _ = turned
    catalog = open_catalog(place)
    first, second = catalog.models()
    verdict = json.loads((scratch / "second" / "verdict.json").read_text("utf-8"))
    assert (second.version, second.parent) == ("v2", first.name)
    assert second.metrics["test"] == first.metrics["test"]
    assert verdict["champion"] == pytest.approx(first.metrics["value"])
    assert verdict["challenger"] == pytest.approx(second.metrics["value"])
    champion = catalog.champion()
    assert champion is not None
    assert champion.name == (second.name if verdict["promoted"] else first.name)
    # Three times the labels: better, and by more than chance.
    assert verdict["challenger"] > verdict["champion"]
    assert verdict["promoted"] is True
    assert Predictor.load(champion.bundle, device="cpu").tasks == ("classification",)


def test_the_figure_of_the_verdict_is_that_of_the_bundle(
    turned: tuple[Path, Path, dict[str, str]],
) -> None:
    place, scratch, truth = turned
    catalog = open_catalog(place)
    tested = [sample for sample in catalog.samples() if sample.split == "test"]
    bundle = scratch / "second" / "challenger" / "bundle"
    said = Predictor.load(bundle, device="cpu").predict([sample.uri for sample in tested])
    f1 = []
    for digit in {truth[sample.id] for sample in tested}:
        pairs = [
            (truth[sample.id] == digit, digit in answer.labels)
            for sample, answer in zip(tested, said, strict=True)
        ]
        right = sum(shown and named for shown, named in pairs)
        f1.append(2 * right / sum(shown + named for shown, named in pairs))
    assert catalog.models()[1].metrics["value"] == pytest.approx(sum(f1) / len(f1))


def test_the_page_shows_the_wheel_and_loads_nothing(
    turned: tuple[Path, Path, dict[str, str]],
) -> None:
    _, scratch, _ = turned
    page = Page((scratch / "second" / "wheel.html").read_text("utf-8"))
    assert page.outside == []
    assert page.handlers == []
    assert page.tags.count("circle") >= 2  # a model each
    for words in ("F1 by version", "v1", "v2", "champion", "What it was made of"):
        assert words in page.text


def test_too_few_corrections_wait_and_write_nothing(
    turned: tuple[Path, Path, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    place, scratch, _ = turned
    catalog = open_catalog(place)
    before = len(catalog.models()), len(catalog.versions())
    folder = run(place, scratch, "third")
    assert not folder.exists()
    assert (len(catalog.models()), len(catalog.versions())) == before
    assert "0 pictures are new or corrected. 40 are waited for" in capsys.readouterr().out
    folder = run(place, scratch, "off", "loop.enabled=false", "loop.least_corrections=0")
    assert not folder.exists()
    assert "loop.enabled is false" in capsys.readouterr().out


def labelled(folder: Path, *, count: int) -> Catalog:
    """A catalog with so many labelled pictures, which need not be there as long as none is read."""
    catalog = open_catalog(folder, create=True)
    names = [f"{number}.png" for number in range(count)]
    catalog.add_samples(
        [Sample(name, f"/none/{name}", 9, 9, name, labels=("a",)) for name in names], reviewed=True
    )
    return catalog


@pytest.mark.parametrize("merged", [False, True])
def test_the_first_model_waits_for_enough_pictures_too(
    tmp_path: Path, merged: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = labelled(tmp_path / "catalog", count=39)
    if merged:
        catalog.merge(author="ann")
    folder = run(tmp_path / "catalog", tmp_path, "run")
    assert not folder.exists()
    assert len(catalog.versions()) == merged
    assert "39 pictures are new or corrected. 40 are waited for" in capsys.readouterr().out


def test_a_backbone_does_not_move_under_a_head_that_the_catalog_can_not_judge(
    trained_heads: Path, tmp_path: Path
) -> None:
    catalog = labelled(tmp_path / "catalog", count=40)
    words = ("move_backbone=true", "task.finetune.enabled=true", f"bundle={trained_heads}")
    wanted = (
        r"move_backbone must be false where the catalog can't judge the champion's head "
        r"localization, got true: .* no boxes of its classes .bus, car.; add labelled pictures"
    )
    with pytest.raises(ValueError, match=wanted):
        run(tmp_path / "catalog", tmp_path, "run", *words)
    catalog.add_model(Model("champion", trained_heads.as_posix(), status="champion"))
    with pytest.raises(ValueError, match=wanted):
        run(tmp_path / "catalog", tmp_path, "run", *words[:2])
    assert catalog.versions() == []
    assert not (tmp_path / "run").exists()


@pytest.fixture
def all_heads(tmp_path: Path) -> Path:
    """A bundle with three heads: the items of `scenes`, cat or dog, car or bus."""
    bundle = tmp_path / "all_heads"
    Predictor(
        whole_backbone(),
        new_finder(three_items()),
        classification_part(size=(48, 64)),
        localization_part(threshold=0.05, size=(48, 64)),
    ).save(bundle)
    return bundle


def moving(scenes: Scenes, folder: Path, bundle: Path, tested: Sequence[str]) -> Catalog:
    """A catalog of the scenes, each a cat or a dog too, whose champion is the bundle."""
    catalog = open_catalog(folder / "catalog", create=True)
    samples = [
        replace(
            sample,
            labels=(("cat", "dog")[number % 2],),
            split="test" if sample.id in tested else "train",
        )
        for number, sample in enumerate(to_samples(read(scenes.folder).table))
    ]
    # Of what has labels alone nobody has said that there are no boxes.
    plain = [sample for sample in samples if not sample.objects]
    samples += [replace(sample, id=f"again {sample.id}", split="test") for sample in plain]
    catalog.add_samples(samples, reviewed=True)
    catalog.add_model(Model("champion", bundle.as_posix(), status="champion"))
    return catalog


def move(catalog: Catalog, folder: Path, *words: str) -> Path:
    """The folder of a retraining of the localization head in which the backbone moves."""
    given = [
        "task=localization",
        f"catalog={catalog.uri}",
        "move_backbone=true",
        "task.image_size=64",
        "task.width=16",
        "task.depth=1",
        "trainer.accelerator=cpu",
        "trainer.max_epochs=1",
        "loop.least_corrections=1",
        f"output={folder}",
        *words,
    ]
    retrain(compose("retrain", RetrainConfig, given).config, folder)
    return folder


def test_where_the_backbone_moves_every_head_is_judged_on_the_frozen_pictures(
    all_heads: Path, scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = moving(scenes, tmp_path, all_heads, ["0.png", "1.png"])
    folder = move(catalog, tmp_path / "run")
    said = " ".join(capsys.readouterr().out.split())
    verdict = json.loads((folder / "verdict.json").read_text("utf-8"))
    others = {head["task"]: head for head in verdict["others"]}
    assert set(others) == {"exemplar", "classification"}
    challenger = folder / "challenger" / "bundle"
    before, after = (
        Predictor.load(all_heads, device="cpu"),
        Predictor.load(challenger, device="cpu"),
    )
    assert before.backbone.weights_id != after.backbone.weights_id
    # Boxes are known of two frozen pictures, labels of three.
    assert verdict["pictures"] == 2
    assert (others["exemplar"]["pictures"], others["classification"]["pictures"]) == (2, 3)
    assert others["exemplar"]["champion"] > 0.5
    assert others["exemplar"]["untested"] == ["item 2"]
    assert others["classification"]["untested"] == ["none of both"]
    uris = [str(scenes.folder / f"{number}.png") for number in range(2)]
    for predictor, told in ((before, "champion"), (after, "challenger")):
        found = [
            {str(name) for name in each.exemplar.data["class_name"]}
            for each in predictor.predict(uris, ["exemplar"])
            if each.exemplar is not None
        ]
        f1 = [
            2 * (f"item {k}" in found[k]) / (1 + sum(f"item {k}" in each for each in found))
            for k in range(2)
        ]
        assert others["exemplar"][told] == pytest.approx(sum(f1) / 2)
    page = Page((folder / "wheel.html").read_text("utf-8")).text
    for head in others.values():
        assert head["words"] in " ".join(said.split())
        assert head["words"] in verdict["words"]
        assert head["words"] in " ".join(page.split())
    metrics = catalog.models()[-1].metrics["others"]
    assert metrics["exemplar"]["value"] == others["exemplar"]["challenger"]
    # The training measured them on the same pictures, and nobody had to name them.
    measured = json.loads((folder / "challenger" / "others.json").read_text("utf-8"))
    assert {task: told["on"] for task, told in measured.items()} == {
        "exemplar": "test scenes",
        "classification": "test pictures",
    }


def test_a_challenger_that_another_head_loses_by_is_not_promoted(
    all_heads: Path, scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = moving(scenes, tmp_path, all_heads, ["0.png", "1.png"])

    def judged(bundle: str | Path, task: str, samples: Sequence[Sample], names: Sequence[str],
               **_: object) -> Marks:  # fmt: skip
        """What learned is right after it and wrong before, and of the others cats get lost."""
        present = np.ones((200, len(names)), bool)
        said = present.copy()
        is_challenger = Path(bundle).name == "bundle"
        if task == "localization":
            said[:] = is_challenger
        elif task == "classification" and is_challenger:
            said[:, names.index("cat")] = False
        return named_marks(present, said, names)

    monkeypatch.setattr("visionkit.jobs.retrain.judge_bundle", judged)
    monkeypatch.setattr("visionkit.jobs.retrain_others.judge_bundle", judged)
    folder = move(catalog, tmp_path / "run")
    verdict = json.loads((folder / "verdict.json").read_text("utf-8"))
    assert verdict["gain"] == 1
    assert verdict["promoted"] is False
    assert {head["task"]: head["kept"] for head in verdict["others"]} == {
        "exemplar": True,
        "classification": False,
    }
    assert "The head classification, on the backbone that moved, is not kept" in verdict["words"][1]
    assert "cat (1.00 to 0.00)" in verdict["words"][1]
    champion = catalog.champion()
    assert champion is not None
    assert champion.name == "champion"


def test_the_frozen_pictures_must_show_something_of_every_head(
    all_heads: Path, scenes: Scenes, tmp_path: Path
) -> None:
    catalog = moving(scenes, tmp_path, all_heads, [])  # only a picture without boxes is frozen
    with pytest.raises(
        ValueError, match=r"frozen test set \w+ can't judge .* head exemplar, .*item 0"
    ):
        move(catalog, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_localization_challenger_goes_on_from_the_champions_head(
    trained_heads: Path, scenes: Scenes, tmp_path: Path
) -> None:
    known = Predictor.load(trained_heads, device="cpu").localization
    assert known is not None
    assert known.class_names == ("car", "bus")
    catalog = open_catalog(tmp_path / "catalog", create=True)
    names = {"item 0": "bus", "item 1": "bus", "item 2": "tram"}
    samples = []
    for sample in to_samples(read(scenes.folder).table):
        boxes = tuple(replace(entry, label=names[entry.label]) for entry in sample.objects)
        split = "test" if sample.id == "0.png" else "train"
        samples.append(replace(sample, objects=boxes, split=split))  # type: ignore[arg-type]
    catalog.add_samples(samples, reviewed=True)
    catalog.add_model(Model("champion", trained_heads.as_posix(), status="champion"))
    given = [
        "task=localization",
        f"catalog={catalog.uri}",
        "task.image_size=64",
        f"task.width={known.head.sizes['width']}",
        f"task.depth={known.head.sizes['depth']}",
        "trainer.accelerator=cpu",
        "trainer.max_epochs=0",
        "loop.least_corrections=1",
        f"output={tmp_path / 'run'}",
    ]
    retrain(compose("retrain", RetrainConfig, given).config, tmp_path)
    after = Predictor.load(tmp_path / "run" / "challenger" / "bundle", device="cpu").localization
    assert after is not None
    assert after.class_names == ("bus", "tram")
    before, now = known.head.state_dict(), after.head.state_dict()
    for name, value in now.items():
        if not name.startswith("class_branch.logits."):
            assert torch.equal(value, before[name])
        else:  # the bus, which stood second; the tram is new
            assert torch.equal(value[0], before[name][1])
            assert name.endswith("bias") or not torch.equal(value[1], before[name][0])


def test_labelled_pictures_that_came_since_the_last_version_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = labelled(tmp_path / "catalog", count=5)
    catalog.merge(author="ann")
    catalog.add_samples([Sample("new", "/none/new.png", 9, 9, "new", labels=("a",))], reviewed=True)
    run(tmp_path / "catalog", tmp_path, "first")
    assert "6 pictures are new or corrected. 40 are waited for" in capsys.readouterr().out


def test_heads_are_retrained_one_by_one(tmp_path: Path) -> None:
    labelled(tmp_path / "catalog", count=40)
    given = ["task=all", f"catalog={tmp_path / 'catalog'}"]
    with pytest.raises(ValueError, match=r"task must be one head, exemplar, .* got all"):
        retrain(compose("retrain", RetrainConfig, given).config, tmp_path)


def test_a_frozen_picture_that_is_labelled_otherwise_is_refused(
    turned: tuple[Path, Path, dict[str, str]],
) -> None:
    place, scratch, truth = turned
    catalog = open_catalog(place)
    name = next(sample.id for sample in catalog.samples() if sample.split == "test")
    wrong = "1" if truth[name] != "1" else "2"
    catalog.correct(Correction("wrong", name, 0, "bob", "edit", labels=(wrong,)))
    with pytest.raises(ValueError, match=f"1 labelled otherwise .{name}.*loop.refreeze=true"):
        run(place, scratch, "fourth", "loop.least_corrections=1")


def test_test_pictures_that_the_champion_may_know_are_told(
    turned: tuple[Path, Path, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    place, scratch, truth = turned
    catalog = open_catalog(place)
    late = [sample for sample in catalog.samples() if sample.split != "test"][:3]
    more = [
        replace(sample, id=f"late-{sample.id}", split="test", labels=(truth[sample.id],))
        for sample in late
    ]
    catalog.add_samples(more, reviewed=True)
    run(place, scratch, "anew", "loop.least_corrections=1", "loop.refreeze=true")
    words = "3 of them were no test pictures before: the champion may have learned from them"
    assert words in " ".join(capsys.readouterr().out.split())


def test_pictures_are_those_of_the_catalog(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data.root must not be given to retrain, got x"):
        run(tmp_path, tmp_path, "a", "data.root=x")
    with pytest.raises(FileNotFoundError, match="must be a catalog"):
        run(tmp_path / "none", tmp_path, "b")


def test_the_defaults_of_the_config_are_those_of_the_code() -> None:
    words = ["task=classification", "catalog=x"]
    loop = compose("retrain", RetrainConfig, words).config.loop
    contest = Contest()
    names = ("level", "least_gain", "most_loss", "class_level", "least_score")
    assert [getattr(loop, name) for name in names] == [getattr(contest, name) for name in names]
