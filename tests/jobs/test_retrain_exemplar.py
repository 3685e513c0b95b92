"""Retraining what is found by its pictures: from a prediction over answers to a challenger."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
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
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.flywheel.queue.build import build_queue
from visionkit.flywheel.review.app import AppSettings, create_app
from visionkit.flywheel.review.desk import Desk
from visionkit.inference.predictor import Predictor
from visionkit.jobs.merge import merge
from visionkit.jobs.predict import predict
from visionkit.jobs.retrain import retrain
from visionkit.matching.gallery import load_gallery

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

    There are three pictures of each of three known items and of a new one, and two of none.
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
    for seed in (77, 78):
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


def test_nothing_is_written_outside_the_run(turned: tuple[Path, Path, Path]) -> None:
    place, _, run = turned
    names = {path.name for path in place.parent.iterdir()}
    assert names == {"champion", "live", "predicted", "catalog", "run"}
    assert {path.name for path in (run / "data" / "items").iterdir()} == {"gallery.json", "views"}
