from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.jobs.conftest import Scenes, gallery_config, write_broken, write_picture
from tests.worlds import (
    classification_part,
    mark,
    photo,
    scene_with,
    three_items,
    whole_backbone,
)
from visionkit.files import PARTIAL_SUFFIX
from visionkit.inference.predictor import Predictor
from visionkit.jobs.gallery import gallery
from visionkit.models.bundle import bundle_hash


def items_of(bundle: Path) -> dict[str, int]:
    views = Predictor.load(bundle, device="cpu").finder.gallery.views
    return {item: sum(v.item == item for v in views) for item in sorted({v.item for v in views})}


THREE = {"item 0": 2, "item 1": 2, "item 2": 2}


def test_an_item_is_added_without_training(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "new" / "1.png", mark(7))
    write_picture(tmp_path / "new" / "2.jpg", photo(7))
    write_broken(tmp_path / "new" / "3.jpg")
    config = gallery_config(bundle, "add", item="soda", images=[str(tmp_path / "new")])
    summary = gallery(config, bundle)
    assert items_of(bundle) == {**THREE, "soda": 2}
    assert summary.metrics["views_added"] == 2
    assert 0 < Predictor.load(bundle).thresholds["soda"] < 1
    said = capsys.readouterr().out
    assert "soda" in said
    assert "3.jpg" in said
    assert "3.jpg" in (bundle.parent / "bundle_problems.csv").read_text()
    assert not list(bundle.parent.glob(f".*{PARTIAL_SUFFIX}"))


def test_the_first_item_makes_a_bundle_on_the_starter_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody trains anything: a picture of an item, and it is found in another."""
    picture = write_picture(tmp_path / "seal.png", mark(7))
    bundle = tmp_path / "new" / "bundle"
    config = gallery_config(bundle, "add", item="seal", images=[str(picture)])
    gallery(config, bundle)
    assert "it is a new bundle, on the starter weights" in capsys.readouterr().out
    scene, box = scene_with(mark(7), (60, 40), 90, 3)
    found = Predictor.load(bundle, device="cpu").find(scene)
    assert list(found.data["class_name"]) == ["seal"]
    assert found.xyxy[0] == pytest.approx(box, abs=9)
    gallery(config, bundle)
    assert "Nothing was changed" in capsys.readouterr().out


def test_a_new_bundle_is_calibrated_on_your_own_background(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visionkit.jobs.pictures.stock_backgrounds", lambda: [photo(1)])
    picture = write_picture(tmp_path / "seal.png", mark(7))
    for seed in (30, 31):
        write_picture(tmp_path / "walls" / f"{seed}.png", photo(seed))
    write_broken(tmp_path / "walls" / "broken.jpg")
    bundle, walls = tmp_path / "bundle", tmp_path / "walls"
    config = gallery_config(
        bundle, "add", item="seal", images=[str(picture)], background=str(walls)
    )
    gallery(config, bundle)
    assert len(Predictor.load(bundle, device="cpu").finder.reference) == 3
    said = capsys.readouterr().out
    assert f"on the starter weights, calibrated on {walls}." in said
    assert "broken.jpg" in said
    assert "broken.jpg" in (tmp_path / "bundle_problems.csv").read_text()


def test_the_first_item_of_a_bundle_of_trained_heads_takes_a_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visionkit.jobs.pictures.stock_backgrounds", lambda: [photo(1)])
    bundle, picture = tmp_path / "bundle", write_picture(tmp_path / "seal.png", mark(7))
    wall = write_picture(tmp_path / "wall.png", photo(30))
    Predictor(whole_backbone(), classification=classification_part()).save(bundle)
    gallery(
        gallery_config(bundle, "add", item="seal", images=[str(picture)], background=str(wall)),
        bundle,
    )
    predictor = Predictor.load(bundle, device="cpu")
    assert predictor.tasks == ("exemplar", "classification")
    assert len(predictor.finder.reference) == 2


@pytest.mark.parametrize("action", ["add", "remove", "list", "audit"])
def test_a_background_is_for_a_new_bundle_only(action: str, bundle: Path, tmp_path: Path) -> None:
    picture = str(write_picture(tmp_path / "seal.png", mark(7)))
    before = bundle_hash(bundle)
    config = gallery_config(bundle, action, item="seal", images=[picture], background="walls")
    with pytest.raises(ValueError, match=r"background=walls .*; leave it out, or add to another"):
        gallery(config, bundle)
    assert bundle_hash(bundle) == before


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("missing", FileNotFoundError, "missing"),
        ("empty", FileNotFoundError, "empty"),
        ("broken", ValueError, "nothing is left"),
    ],
)
def test_without_a_usable_background_no_bundle_is_made(
    name: str, error: type[Exception], words: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    write_broken(tmp_path / "broken" / "1.jpg")
    picture, bundle = str(write_picture(tmp_path / "seal.png", mark(7))), tmp_path / "bundle"
    background = str(tmp_path / name)
    config = gallery_config(bundle, "add", item="seal", images=[picture], background=background)
    with pytest.raises(error, match=words):
        gallery(config, bundle)
    assert not bundle.exists()


@pytest.mark.parametrize("action", ["remove", "list", "audit"])
def test_only_adding_makes_a_bundle(action: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"bundle must be a folder with bundle\.json"):
        gallery(gallery_config(tmp_path / "none", action, item="seal"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_copies_are_left_out_and_said(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [str(write_picture(tmp_path / f"{n}.png", photo(n))) for n in (1, 1, 2)]
    pictures[1] = str(write_picture(tmp_path / "copy.png", photo(1)))
    gallery(gallery_config(bundle, "add", item="soda", images=pictures), bundle)
    assert items_of(bundle)["soda"] == 2
    assert "Left out: 1 copy" in capsys.readouterr().out
    before = bundle_hash(bundle)
    summary = gallery(gallery_config(bundle, "add", item="soda", images=pictures), bundle)
    assert summary.metrics["views_added"] == 0
    assert bundle_hash(bundle) == before
    gallery(gallery_config(bundle, "add", item="tea", images=pictures[:1]), bundle)
    assert "soda and tea have the same picture" in capsys.readouterr().out


def test_without_a_name_each_folder_or_label_is_an_item(
    bundle: Path, scenes: Scenes, tmp_path: Path
) -> None:
    write_picture(tmp_path / "items" / "milk" / "1.png", photo(3))
    write_picture(tmp_path / "items" / "tea" / "1.png", photo(4))
    annotations = str(scenes.folder / "annotations.json")
    images = [str(tmp_path / "items"), annotations]
    gallery(gallery_config(bundle, "add", images=images), bundle)
    assert items_of(bundle) == {"item 0": 3, "item 1": 3, "item 2": 3, "milk": 1, "tea": 1}


@pytest.mark.parametrize(
    ("images", "item", "error", "words"),
    [
        ([], "soda", ValueError, "images must name pictures"),
        (["good.png"], None, ValueError, "say item=NAME"),
        (["good.png"], "  ", ValueError, "item must be a name"),
        (["broken.jpg"], "soda", ValueError, "nothing is left"),
        (["missing.png"], "soda", FileNotFoundError, "missing.png"),
    ],
    ids=["no picture", "no name", "blank name", "broken", "missing"],
)
def test_what_can_not_be_added_changes_nothing(
    bundle: Path,
    tmp_path: Path,
    images: list[str],
    item: str | None,
    error: type[Exception],
    words: str,
) -> None:
    write_picture(tmp_path / "good.png", photo(1))
    write_broken(tmp_path / "broken.jpg")
    before = bundle_hash(bundle)
    paths = [str(tmp_path / name) for name in images]
    with pytest.raises(error, match=words):
        gallery(gallery_config(bundle, "add", item=item, images=paths), bundle)
    assert bundle_hash(bundle) == before


def test_an_item_is_removed(bundle: Path) -> None:
    summary = gallery(gallery_config(bundle, "remove", item="item 1"), bundle)
    assert items_of(bundle) == {"item 0": 2, "item 2": 2}
    assert summary.metrics["views_removed"] == 2


def test_views_are_removed_by_id_and_by_file(bundle: Path, tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "soda.png", photo(1))
    gallery(gallery_config(bundle, "add", item="soda", images=[str(picture)]), bundle)
    first = three_items()[0]
    gallery(gallery_config(bundle, "remove", images=[first.id, str(picture)]), bundle)
    assert items_of(bundle) == {"item 0": 1, "item 1": 2, "item 2": 2}


@pytest.mark.parametrize(
    ("item", "images", "words"),
    [
        (None, [], "what to remove must be said"),
        ("milk", [], r"\(item 0, item 1, item 2\), got 'milk'"),
        (None, ["nonsense"], "nonsense must be the id or the file of a view"),
        ("item 1", [three_items()[0].id], "a view of item 1"),
    ],
    ids=["nothing", "unknown item", "unknown view", "view of another item"],
)
def test_what_can_not_be_removed_changes_nothing(
    bundle: Path, item: str | None, images: list[str], words: str
) -> None:
    before = bundle_hash(bundle)
    with pytest.raises(ValueError, match=words):
        gallery(gallery_config(bundle, "remove", item=item, images=images), bundle)
    assert bundle_hash(bundle) == before


def test_an_item_that_is_spelt_otherwise_is_named(bundle: Path) -> None:
    with pytest.raises(ValueError, match=r"got 'Item1'; did you mean item 1\?"):
        gallery(gallery_config(bundle, "remove", item="Item1"), bundle)


def test_items_are_listed(finished_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = gallery(gallery_config(finished_bundle, "list"), finished_bundle)
    assert summary.metrics == {"items": 3, "views": 6}
    assert "item 2" in capsys.readouterr().out
    gallery(gallery_config(finished_bundle, "list", item="item 0"), finished_bundle)
    said = capsys.readouterr().out
    assert three_items()[0].id in said
    assert three_items()[2].id not in said
    with pytest.raises(ValueError, match="got 'milk'"):
        gallery(gallery_config(finished_bundle, "list", item="milk"), finished_bundle)


def test_the_audit_is_said_and_written_beside_the_bundle(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = write_picture(tmp_path / "soda.png", photo(1))
    gallery(gallery_config(bundle, "add", item="soda", images=[str(picture)]), bundle)
    before = bundle_hash(bundle)
    summary = gallery(gallery_config(bundle, "audit"), bundle)
    assert bundle_hash(bundle) == before
    audit = json.loads((bundle.parent / "bundle_audit.json").read_text())
    assert len(audit["views"]) == 7
    kinds = [finding["kind"] for finding in audit["findings"]]
    assert kinds.count("single view") == 1
    assert summary.metrics["single_view"] == 1
    assert "soda has one picture" in capsys.readouterr().out


def test_paths_are_said_as_they_were_given(
    finished_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished_bundle.parent)
    gallery(gallery_config(Path("bundle"), "audit"), Path("bundle"))
    assert "Everything that was measured: bundle_audit.json" in capsys.readouterr().out


def test_a_run_is_not_its_bundle(finished_bundle: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"did you mean .*run.*bundle\?"):
        gallery(gallery_config(finished_bundle.parent, "list"), finished_bundle.parent)


def test_there_must_be_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"bundle\.json"):
        gallery(gallery_config(tmp_path, "list"), tmp_path)


def test_items_are_added_to_a_bundle_of_another_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    alone = Predictor(whole_backbone(), classification=classification_part())
    alone.save(bundle)
    write_picture(tmp_path / "soda.png", mark(1))
    with pytest.raises(ValueError, match="exemplar head to look for items, got classification"):
        gallery(gallery_config(bundle, "list"), bundle)
    config = gallery_config(bundle, "add", item="soda", images=[str(tmp_path / "soda.png")])
    gallery(config, bundle)
    both = Predictor.load(bundle, device="cpu")
    assert both.tasks == ("exemplar", "classification")
    assert both.items == ["soda"]
    (before,), (after,) = alone.predict(photo(1)), both.predict(photo(1))
    assert after.classification == before.classification  # equal to the last digit
    assert after.exemplar is not None
    assert "There was no" not in capsys.readouterr().out
