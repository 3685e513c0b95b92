"""Retraining what is found by its pictures: from a prediction over answers to a challenger."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from tests.jobs.conftest import predict_config, write_picture
from tests.worlds import (
    STRIDE,
    crop_view,
    mark,
    new_finder,
    photo,
    scene_with,
    view,
    whole_backbone,
)
from visionkit.cli.compose import compose
from visionkit.config.flywheel import MergeConfig, RetrainConfig
from visionkit.data.images import read_image
from visionkit.flywheel.answers import Correction
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.flywheel.queue.build import build_queue
from visionkit.flywheel.review.app import AppSettings, create_app
from visionkit.flywheel.review.desk import Desk
from visionkit.inference.predictor import Predictor
from visionkit.jobs.merge import merge
from visionkit.jobs.predict import predict
from visionkit.jobs.retrain import retrain
from visionkit.matching.gallery import load_gallery
from visionkit.matching.pyramid import scene_pyramid
from visionkit.types import ObjectBox

OLD, NEW = ("tea/green", "..", "item 2"), "a/../new tea"
"""Names that people give; as paths they would lead elsewhere."""


def retrained(catalog: Path, folder: Path, *words: str) -> None:
    given = [
        "task=exemplar",
        f"catalog={catalog}",
        "trainer.accelerator=cpu",
        "trainer.progress=false",
        "trainer.max_epochs=1",
        f"task.correlation.stride={STRIDE}",
        "task.correlation.max_upscale=1",
        "task.correlation.max_side=320",
        "task.correlation.min_side=80",
        "task.candidates=40",
        "task.geometry.enabled=false",
        "task.scenes.train=4",
        "task.scenes.val=2",
        "loop.least_corrections=8",
        f"output={folder}",
        *words,
    ]
    retrain(compose("retrain", RetrainConfig, given).config, catalog)


def ask(client: TestClient, action: str, **message: Any) -> Any:
    given = {"reviewer": "ada", "session": "session-1", **message}
    response = client.post(f"/api/{action}", json=given)
    assert response.status_code == 200, response.text
    return response.json()


def answer_all(catalog: Catalog, shows: dict[str, tuple[str, tuple[float, ...]] | None]) -> None:
    """Answers about every picture through the page's own interface, as a person would."""
    with TestClient(
        create_app(Desk(catalog, build_queue), AppSettings()), base_url="http://127.0.0.1:8765"
    ) as client:
        while cards := ask(client, "take", count=10)["cards"]:
            answers = []
            for card in cards:
                shown = shows[card["name"]]
                boxes = [{"label": shown[0], "box": list(shown[1])}] if shown else []
                about = {"sample_id": card["id"], "revision": card["revision"], "objects": boxes}
                action = "edit" if boxes else "reject"
                answers.append({"id": uuid.uuid4().hex, "action": action, **about})
            replies = ask(client, "answers", answers=answers)["results"]
            assert [reply["status"] for reply in replies] == ["saved"] * len(answers)


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A catalog after one turn of the wheel, the champion it began with, and the run's folder.

    There are three pictures of each of three known items and of a new one, and twelve of none.
    """
    scratch = tmp_path_factory.mktemp("wheel")
    views = [make(item, number) for number, item in enumerate(OLD) for make in (view, crop_view)]
    champion = scratch / "champion"
    Predictor(whole_backbone(), new_finder(views)).save(champion)
    shows: dict[str, tuple[str, tuple[float, ...]] | None] = {}
    for number, item in enumerate((*OLD, NEW)):
        for seed in range(3):
            image, box = scene_with(mark(number), (40 + 5 * seed, 30), 80, 10 * number + seed)
            shows[write_picture(scratch / "live" / f"{number}_{seed}.png", image).name] = (
                item,
                box,
            )
    for seed in range(77, 89):
        shows[write_picture(scratch / "live" / f"none_{seed}.png", photo(seed)).name] = None
    place = scratch / "catalog"
    config = predict_config(champion, scratch / "live", catalog=str(place), draw=False)
    predict(config, scratch / "predicted")
    answer_all(open_catalog(place), shows)
    merge(compose("merge", MergeConfig, [f"catalog={place}", "author=ada"]).config, place)
    retrained(place, scratch / "run")
    return place, champion, scratch / "run"


def test_a_challenger_is_trained_from_the_champions_items_and_judged(
    turned: tuple[Path, Path, Path],
) -> None:
    place, _, run = turned
    catalog = open_catalog(place)
    first, second = catalog.models()
    assert (second.version, second.parent) == ("v1", first.name)
    verdict = json.loads((run / "verdict.json").read_text("utf-8"))
    assert second.metrics["value"] == pytest.approx(verdict["challenger"])
    assert catalog.champion() == (second if verdict["promoted"] else first)
    assert Predictor.load(run / "challenger" / "bundle", device="cpu").tasks == ("exemplar",)


def test_every_view_of_the_champion_stays_as_it_was(turned: tuple[Path, Path, Path]) -> None:
    _, champion, run = turned
    before = load_gallery(champion / "gallery").views
    after = load_gallery(run / "challenger" / "bundle" / "gallery").views
    known = {(each.item, each.id, each.source) for each in after}
    assert len(before) == 6
    assert {(each.item, each.id, each.source) for each in before} <= known


def test_an_item_that_people_named_is_looked_for_by_pictures_that_are_not_tested(
    turned: tuple[Path, Path, Path],
) -> None:
    place, _, run = turned
    catalog = open_catalog(place)
    frozen = json.loads((place / "frozen_test.json").read_text("utf-8"))["pictures"]
    boxed = {
        s.uri: s.objects[0].box
        for s in catalog.at("v1")
        if s.objects and s.objects[0].label == NEW and s.id not in frozen
    }
    views = load_gallery(run / "challenger" / "bundle" / "gallery").views
    new = [each for each in views if each.item == NEW]
    assert boxed
    assert {each.source for each in new} == set(boxed)
    for each in new:  # cut where the person drew the box
        size = [high - low for low, high in zip(each.box[:2], each.box[2:], strict=True)]
        x_min, y_min, x_max, y_max = boxed[each.source]
        assert size == pytest.approx([x_max - x_min, y_max - y_min])


def boxed(place: Path, version: str) -> dict[tuple[str, str], tuple[float, ...]]:
    """Item and picture -> box, of the pictures of a version that are not tested."""
    frozen = json.loads((place / "frozen_test.json").read_text("utf-8"))["pictures"]
    samples = [s for s in open_catalog(place).at(version) if s.id not in frozen]
    return {(entry.label, s.uri): entry.box for s in samples for entry in s.objects}


def taken(run: Path) -> dict[tuple[str, str], list[float]]:
    """Item and picture -> width and height of the views that the challenger got from boxes."""
    views = load_gallery(run / "challenger" / "bundle" / "gallery").views
    found = [each for each in views if each.from_catalog]
    sizes = {
        (each.item, each.source): [each.box[2] - each.box[0], each.box[3] - each.box[1]]
        for each in found
    }
    assert len(sizes) == len(found)
    return sizes


def sizes_of(boxes: dict[tuple[str, str], tuple[float, ...]]) -> dict[tuple[str, str], list[float]]:
    return {
        key: [x_max - x_min, y_max - y_min] for key, (x_min, y_min, x_max, y_max) in boxes.items()
    }


def test_boxes_that_people_confirmed_become_views_of_known_items(
    turned: tuple[Path, Path, Path],
) -> None:
    place, _, run = turned
    boxes = sizes_of(boxed(place, "v1"))
    assert {item for item, _ in boxes} == {*OLD, NEW}
    assert taken(run) == {key: pytest.approx(size) for key, size in boxes.items()}


def test_thresholds_are_set_on_pictures_in_which_people_found_nothing(
    turned: tuple[Path, Path, Path],
) -> None:
    place, _, run = turned
    frozen = json.loads((place / "frozen_test.json").read_text("utf-8"))["pictures"]
    learned = [s for s in open_catalog(place).at("v1") if s.id not in frozen]
    empty = {s.content_hash: s.uri for s in learned if not s.objects}
    assert 6 <= len(empty) <= 12
    finder = Predictor.load(run / "challenger" / "bundle", device="cpu").finder
    assert len(finder.reference) == 24
    for key, pyramid in zip(sorted(empty), finder.reference, strict=False):
        seen = scene_pyramid(read_image(empty[key]), finder.backbone, finder.settings.pyramid)
        for kept, level in zip(pyramid.levels, seen.levels, strict=True):  # kept as float16
            torch.testing.assert_close(kept.features, level.features, atol=0.02, rtol=0.01)
    report = (run / "challenger" / "report.html").read_text("utf-8")
    assert f"set on {len(empty)} background pictures of {run / 'data' / 'background'}" in report


def test_a_view_goes_with_the_box_that_it_was_cut_from(
    turned: tuple[Path, Path, Path],
) -> None:
    place, champion, run = turned
    catalog = open_catalog(place)
    if (used := catalog.champion()) is None or Path(used.bundle) == champion:
        catalog.promote(catalog.models()[-1].name)
    before = boxed(place, "v1")
    gone, moved = sorted(key for key in before if key[0] == OLD[1])[:2]
    samples = {sample.uri: sample for sample in catalog.at("v1")}
    x_min, y_min, x_max, y_max = before[moved]
    there = ObjectBox(moved[0], (x_min, y_min, x_max - 9, y_max - 5))
    for (_, uri), boxes in ((gone, ()), (moved, (there,))):
        name = samples[uri].id
        revision = catalog.truth(name).revision
        action = "edit" if boxes else "reject"
        catalog.correct(Correction(f"{name}-again", name, revision, "ada", action, objects=boxes))
    again = run.parent / "again"
    try:
        retrained(place, again, "loop.least_corrections=1")
        cut = taken(again)
        views = load_gallery(again / "challenger" / "bundle" / "gallery").views
    finally:
        shutil.rmtree(again)
    after = boxed(place, "v2")
    assert before.keys() - after.keys() == {gone}
    assert after[moved] == there.box
    assert cut == {key: pytest.approx(size) for key, size in sizes_of(after).items()}
    own = load_gallery(champion / "gallery").views
    assert {each.id for each in views if not each.from_catalog} == {each.id for each in own}


def test_nothing_is_written_outside_the_run(turned: tuple[Path, Path, Path]) -> None:
    place, _, run = turned
    names = {path.name for path in place.parent.iterdir()}
    assert names == {"champion", "live", "predicted", "catalog", "run"}
    assert {path.name for path in (run / "data" / "items").iterdir()} == {"gallery.json", "views"}
    assert [path.name for path in (run / "data" / "background").iterdir()] == ["output.manifest"]
