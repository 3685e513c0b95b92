"""What other tools are asked with, and what an answer that left it as it was means."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.flywheel.exchange.conftest import Pictures
from visionkit.flywheel.answers import Asked, Proposal, Reason
from visionkit.flywheel.catalog import Catalog
from visionkit.flywheel.exchange import questions_about, take_answers, write_questions

TOOLS = ("label_studio", "cvat")
FIND, OLDER = (11.0, 10.0, 61.0, 60.0), (10.0, 10.0, 60.0, 60.0)


def find(model: str, box: tuple[float, float, float, float], label: str = "dog") -> Proposal:
    return Proposal(f"{model} {label}", "p", "localization", label, 0.9, 0.5, box, model)


def named(model: str, label: str, score: float) -> Proposal:
    return Proposal(f"{model} {label}", "p", "classification", label, score, 0.5, None, model)


def ask(catalog: Catalog, folder: Path, tool: str, *, one_class: bool | None = None) -> Path:
    asked = [Asked(each.id, 1.0, (Reason("margin", "", 1.0),)) for each in catalog.samples()]
    write_questions(questions_about(catalog, asked, one_class=one_class), folder, tool)
    return folder


def drawn(folder: Path, tool: str) -> tuple[list[str], list[str]]:
    """Labels of the boxes and of the whole of the only picture, as it is asked about."""
    if tool == "cvat":
        image = ET.parse(folder / "annotations.xml").getroot().find("image")  # noqa: S314
        assert image is not None
        boxes, whole = image.findall("box"), image.findall("tag")
        return [str(each.get("label")) for each in boxes], [str(e.get("label")) for e in whole]
    (task,) = json.loads((folder / "tasks.json").read_text("utf-8"))
    values = [each["value"] for each in task["predictions"][0]["result"]]
    return (
        [label for each in values for label in each.get("rectanglelabels", ())],
        [label for each in values for label in each.get("choices", ())],
    )


@pytest.mark.parametrize("tool", TOOLS)
def test_only_what_was_proposed_last_is_drawn(
    pictures: Pictures, tmp_path: Path, tool: str
) -> None:
    catalog = pictures(p=())
    catalog.add_proposals([find("old", OLDER), named("old", "ant", 0.9)])
    catalog.add_proposals([find("new", FIND), named("new", "bee", 0.9)])
    assert drawn(ask(catalog, tmp_path / "out", tool), tool) == (["dog"], ["bee"])


@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_model_asked_later_does_not_find_is_not_drawn(
    pictures: Pictures, tmp_path: Path, tool: str
) -> None:
    catalog = pictures(p=())
    catalog.add_proposals([find("old", OLDER), named("old", "ant", 0.9)])
    catalog.add_proposals([], asked=[("p", "new")], tasks=["localization"])
    folder = ask(catalog, tmp_path / "out", tool)
    assert drawn(folder, tool) == ([], ["ant"])
    if tool == "cvat":
        take_answers(catalog, folder / "annotations.xml", tool, reviewer="ann")
        (entry,) = catalog.corrections()
        assert (entry.action, entry.model, entry.seen) == ("accept", "old", ("old ant",))


def test_a_picture_that_was_left_as_asked_shows_what_was_proposed_last(
    pictures: Pictures, tmp_path: Path
) -> None:
    catalog = pictures(p=())
    catalog.add_proposals([find("old", OLDER), named("old", "ant", 0.9)])
    catalog.add_proposals([find("new", FIND), named("new", "bee", 0.9)])
    folder = ask(catalog, tmp_path / "out", "cvat")
    take_answers(catalog, folder / "annotations.xml", "cvat", reviewer="ann")
    truth = catalog.truth("p")
    assert [(each.box, each.source) for each in truth.objects] == [(FIND, "new")]
    assert truth.labels == ("bee",)
    (entry,) = catalog.corrections()
    assert (entry.action, entry.model, entry.seen) == ("accept", "new", ("new dog", "new bee"))


def test_a_box_of_the_model_that_was_asked_about_keeps_its_name_when_a_newer_one_has_proposed(
    pictures: Pictures, tmp_path: Path
) -> None:
    catalog = pictures(p=())
    catalog.add_proposals([find("old", OLDER)])
    folder = ask(catalog, tmp_path / "out", "cvat")
    catalog.add_proposals([find("new", FIND)])
    take_answers(catalog, folder / "annotations.xml", "cvat", reviewer="ann")
    assert [(e.box, e.source) for e in catalog.truth("p").objects] == [(OLDER, "old")]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(("one_class", "expected"), [(True, ["bee"]), (False, ["ant", "bee"])])
def test_of_classes_that_shut_each_other_out_the_likeliest_is_set(
    pictures: Pictures, tmp_path: Path, tool: str, one_class: bool, expected: list[str]
) -> None:
    catalog = pictures(p=())
    catalog.add_proposals([named("m", "ant", 0.6), named("m", "bee", 0.9)])
    folder = ask(catalog, tmp_path / "out", tool, one_class=one_class)
    assert drawn(folder, tool) == ([], expected)
    if tool == "cvat":
        path = folder / "annotations.xml"
        taken = take_answers(catalog, path, tool, reviewer="ann", one_class=one_class)
        assert not taken.problems
        assert [entry.action for entry in catalog.corrections()] == ["accept"]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("label", [(), ("bee",)], ids=["nothing", "a class"])
def test_what_people_vouched_for_is_not_proposed_anew(
    pictures: Pictures, tmp_path: Path, tool: str, label: tuple[str, ...]
) -> None:
    catalog = pictures(p=label, reviewed=True)
    catalog.add_proposals([find("new", FIND), named("new", "ant", 0.9)])
    folder = ask(catalog, tmp_path / "out", tool)
    assert drawn(folder, tool) == ([], list(label))
    if tool == "cvat":
        take_answers(catalog, folder / "annotations.xml", tool, reviewer="ann")
        truth = catalog.truth("p")
        assert (truth.labels, truth.objects, truth.reviewed) == (label, (), True)
