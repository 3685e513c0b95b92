"""Questions to Label Studio and CVAT, and the answers that they would export."""

from __future__ import annotations

import json
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from visionkit.flywheel.answers import Asked, Correction, Proposal, Reason
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.flywheel.exchange import questions_about, take_answers, write_questions
from visionkit.flywheel.exchange.naming import by_digest, picture_name, read_name
from visionkit.types import ObjectBox, Sample

KNOWN = ObjectBox("cat", (10.0, 20.0, 50.5, 60.25), "human:zoe", "2026-01-01")
REASON = Reason("margin", "near its threshold", 1.0)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Three pictures of 200x100: one with a known box, one with proposals, one of a class."""
    catalog = open_catalog(tmp_path / "catalog", create=True)
    ids = ("shop/known.png", "5eed", "../odd %?")
    samples = []
    for number, name in enumerate(ids):
        path = tmp_path / f"{number}.png"
        PillowImage.fromarray(np.full((100, 200, 3), 40 * number, np.uint8)).save(path)
        samples.append(Sample(name, path.as_posix(), 200, 100, f"hash{number}"))
    samples[0] = replace(samples[0], objects=(KNOWN,))
    catalog.add_samples(samples)
    box = Proposal("a", "5eed", "localization", "dog", 0.75, 0.5, (1.25, 2.5, 101.75, 88.0), "m1")
    low = replace(box, id="b", score=0.25, label="cow")
    whole = Proposal("c", "../odd %?", "classification", "shelf", 0.75, 0.5, None, "m1")
    catalog.add_proposals([box, low, whole])
    return catalog


def asked(catalog: Catalog) -> list[Asked]:
    return [Asked(sample.id, 1.0, (REASON,)) for sample in catalog.samples()]


def written(catalog: Catalog, folder: Path, tool: str) -> Path:
    write_questions(questions_about(catalog, asked(catalog)), folder, tool)
    return folder


def from_label_studio(
    folder: Path, change: Callable[[int, list[dict[str, Any]]], None], **values: object
) -> Path:
    """The export of somebody who began with the predictions and changed them."""
    tasks = json.loads((folder / "tasks.json").read_text("utf-8"))
    for number, task in enumerate(tasks):
        result = task["predictions"][0]["result"]
        change(number, result)
        answer = {
            "id": number,
            "result": result,
            "was_cancelled": False,
            "updated_at": "2026-02-01",
        }
        task["annotations"] = [answer | {"completed_by": 7} | values]
    path = folder / "export.json"
    path.write_text(json.dumps(tasks), "utf-8")
    return path


def nothing(number: int, result: list[dict[str, Any]]) -> None:
    """Changes nothing."""


@pytest.mark.parametrize("name", ["5eed", "shop/a 1.jpg", "../odd %?", "/abs", "r2/x.png", "a\\b"])
def test_names_carry_any_id_and_stay_below_their_folder(name: str, tmp_path: Path) -> None:
    path = picture_name(Sample(name, "/somewhere/x.JPG", 8, 8, ""), 12)
    assert read_name(path) == read_name(f"images\\{path}") == (name, 12)
    assert (tmp_path / path).resolve().is_relative_to(tmp_path.resolve())
    assert path.endswith(".JPG")


@pytest.mark.parametrize(
    "name",
    [
        "полка/" + "Фотография полки магазина на улице Ленина, первый ряд",  # 53 letters
        "店/" + "超市货架的照片" * 8,
        "क्षेत्र",  # with signs that are no letters of their own
        "a\u200db \u2028 \u00a0 %41 ü",  # with what can't be seen
    ],
)
def test_letters_of_any_script_stay_as_they_are(name: str, tmp_path: Path) -> None:
    path = picture_name(Sample(name, "/somewhere/x.png", 8, 8, ""), 3)
    assert read_name(path) == (name, 3)
    assert {sign for sign in path if not sign.isascii()} == {
        sign for sign in name if sign.isalpha() and not sign.isascii()
    } | {sign for sign in name if unicodedata.category(sign) in ("Mn", "Mc")}
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).touch()


@pytest.mark.parametrize("name", ["я" * 120, "shelf/" + "a b" * 80, "x" * 200 + "/1.png"])
def test_an_id_that_is_too_long_for_a_name_is_found_by_its_digest(
    name: str, tmp_path: Path
) -> None:
    path = picture_name(Sample(name, "/somewhere/x.png", 8, 8, ""), 3)
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).touch()
    assert read_name(f"images/{path}", by_digest(["other", name])) == (name, 3)


def test_a_name_that_was_written_when_all_but_ascii_was_quoted_is_read() -> None:
    path = "r3/%D0%BF%D0%BE%D0%BB%D0%BA%D0%B0/%E5%BA%97%201.png"
    assert read_name(path) == ("полка/店 1", 3)


def test_a_name_that_was_changed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got 'cat\.jpg'; keep the names"):
        read_name("cat.jpg")


def test_label_studio_is_asked_with_what_is_known_and_proposed(
    catalog: Catalog, tmp_path: Path
) -> None:
    folder = written(catalog, tmp_path / "out", "label_studio")
    tasks = json.loads((folder / "tasks.json").read_text("utf-8"))
    assert [task["data"]["reason"] for task in tasks] == ["near its threshold"] * 3
    known, proposed, whole = (task["predictions"][0]["result"] for task in tasks)
    value = known[0]["value"]
    expected = {"x": 5.0, "y": 20.0, "width": 20.25, "height": 40.25, "rotation": 0}
    assert value == expected | {"rectanglelabels": ["cat"]}
    assert [entry["value"]["rectanglelabels"] for entry in proposed] == [["dog"]]  # not the low one
    assert [entry["value"]["choices"] for entry in whole] == [["shelf"]]
    place = tasks[1]["data"]["image"].removeprefix("/data/local-files/?d=")
    picture = PillowImage.open(folder / place)
    assert picture.getpixel((0, 0)) == (40, 40, 40)
    config = ET.fromstring((folder / "label_config.xml").read_bytes())  # noqa: S314
    assert [each.get("value") for each in config.iter("Label")] == ["cat", "cow", "dog"]
    assert [each.get("value") for each in config.iter("Choice")] == ["shelf"]


@pytest.mark.parametrize(
    ("labels", "choice"), [(("shelf",), "single"), (("shelf", "fridge"), "multiple")]
)
def test_label_studio_lets_choose_several_classes_only_where_pictures_have_several(
    catalog: Catalog, tmp_path: Path, labels: tuple[str, ...], choice: str
) -> None:
    path = tmp_path / "named.png"
    PillowImage.fromarray(np.full((100, 200, 3), 200, np.uint8)).save(path)
    catalog.add_samples([Sample("named", path.as_posix(), 200, 100, "hash9", labels=labels)])
    folder = written(catalog, tmp_path / "out", "label_studio")
    config = ET.fromstring((folder / "label_config.xml").read_bytes())  # noqa: S314
    assert [each.get("choice") for each in config.iter("Choices")] == [choice]


def test_answers_of_label_studio_become_corrections(catalog: Catalog, tmp_path: Path) -> None:
    folder = written(catalog, tmp_path / "out", "label_studio")

    def change(number: int, result: list[dict[str, Any]]) -> None:
        if number == 0:  # a box is added to the known one
            value = {"x": 50.0, "y": 50.0, "width": 10.0, "height": 20.0, "rotation": 0}
            added = {"type": "rectanglelabels", "value": value | {"rectanglelabels": ["dog"]}}
            result.append(added)
        elif number == 2:
            result.clear()

    path = from_label_studio(folder, change)
    taken = take_answers(catalog, path, "label_studio", reviewer="ann")
    assert (taken.corrections, taken.known, taken.empty, taken.problems) == (3, 0, 1, ())
    first, second, third = catalog.corrections()
    created = first.created
    new = ObjectBox("dog", (100.0, 50.0, 120.0, 70.0), "human:annotator 7", created)
    assert catalog.truth("shop/known.png").objects == (KNOWN, new)
    assert [entry.action for entry in (first, second, third)] == ["edit", "accept", "reject"]
    (accepted,) = catalog.truth("5eed").objects
    assert (accepted.source, accepted.box) == ("m1", (1.25, 2.5, 101.75, 88.0))
    assert (second.model, second.seen) == ("m1", ("a", "b"))
    truth = catalog.truth("../odd %?")
    assert (truth.labels, truth.objects, truth.reviewed) == ((), (), True)
    again = take_answers(catalog, path, "label_studio", reviewer="ann")
    assert (again.corrections, again.known) == (0, 3)
    assert len(catalog.corrections()) == 3


def test_a_skipped_task_is_unsure_and_the_last_answer_counts(
    catalog: Catalog, tmp_path: Path
) -> None:
    folder = written(catalog, tmp_path / "out", "label_studio")
    path = from_label_studio(folder, nothing, was_cancelled=True)
    tasks = json.loads(path.read_text("utf-8"))
    del tasks[2]["annotations"]
    late = {"result": [], "updated_at": "2026-03-01", "completed_by": {"email": "ben@shop"}}
    tasks[1]["annotations"].insert(0, late)
    path.write_text(json.dumps(tasks), "utf-8")
    taken = take_answers(catalog, path, "label_studio", reviewer="ann")
    assert taken.corrections == 2
    assert not taken.problems
    actions = [(entry.action, entry.reviewer) for entry in catalog.corrections()]
    assert actions == [("unsure", "annotator 7"), ("reject", "ben@shop")]
    assert not catalog.truth("../odd %?").reviewed


def test_a_turned_box_is_the_box_around_it(catalog: Catalog, tmp_path: Path) -> None:
    folder = written(catalog, tmp_path / "out", "label_studio")

    def turn(number: int, result: list[dict[str, Any]]) -> None:
        for entry in result if number == 0 else []:
            entry["value"] |= {"x": 50, "y": 10, "width": 20, "height": 30, "rotation": 90}

    take_answers(catalog, from_label_studio(folder, turn), "label_studio", reviewer="ann")
    (box,) = catalog.truth("shop/known.png").objects
    # 40 px wide and 30 high, turned by a right angle about its upper left corner (100, 10).
    assert box.box == pytest.approx((70, 10, 100, 50))


@pytest.mark.parametrize("tool", ["label_studio", "cvat"])
def test_who_answered_meanwhile_is_not_overwritten(
    catalog: Catalog, tmp_path: Path, tool: str
) -> None:
    folder = written(catalog, tmp_path / "out", tool)
    path = folder / "annotations.xml"
    if tool == "label_studio":
        path = from_label_studio(folder, nothing)
    catalog.correct(Correction("x", "5eed", 0, "ben", "reject"))
    taken = take_answers(catalog, path, tool, reviewer="ann")
    assert taken.corrections == 2
    assert len(taken.problems) == 1
    assert "5eed: the picture must still be" in taken.problems[0].reason
    assert catalog.truth("5eed").objects == ()


def with_two_classes(folder: Path, tool: str) -> Path:
    """Answers in which the third picture is of two classes and the others are as asked."""
    if tool == "label_studio":

        def change(number: int, result: list[dict[str, Any]]) -> None:
            if number == 2:
                result[0]["value"]["choices"].append("fridge")

        return from_label_studio(folder, change)
    path = folder / "annotations.xml"
    tree = ET.parse(path)  # noqa: S314
    ET.SubElement(tree.getroot().findall("image")[2], "tag", {"label": "fridge"})
    tree.write(path, encoding="utf-8")
    return path


@pytest.mark.parametrize("tool", ["label_studio", "cvat"])
def test_two_classes_of_a_picture_of_one_are_a_problem_and_the_rest_is_taken(
    catalog: Catalog, tmp_path: Path, tool: str
) -> None:
    path = with_two_classes(written(catalog, tmp_path / "out", tool), tool)
    taken = take_answers(catalog, path, tool, reviewer="ann")
    assert taken.corrections == 2
    (problem,) = taken.problems
    assert problem.reason.startswith("../odd %?: a picture as a whole must be of one class at most")
    assert "got 2; name the one that it shows, or say one_class=false" in problem.reason
    assert (problem.line is None) is (tool == "label_studio")
    assert not catalog.truth("../odd %?").reviewed
    several = take_answers(catalog, path, tool, reviewer="ann", one_class=False)
    assert (several.corrections, several.known, several.problems) == (1, 2, ())
    assert catalog.truth("../odd %?").labels == ("shelf", "fridge")
    # What is in the catalog stays known, whatever is told later.
    again = take_answers(catalog, path, tool, reviewer="ann", one_class=True)
    assert (again.corrections, again.known, again.problems) == (0, 3, ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("{}", "a list of tasks"),
        ("[1, 2", "must be a JSON export"),
    ],
)
def test_what_label_studio_did_not_write_is_refused(
    catalog: Catalog, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "export.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=message):
        take_answers(catalog, path, "label_studio", reviewer="ann")


def test_a_strange_task_is_a_problem_and_the_rest_goes_on(catalog: Catalog, tmp_path: Path) -> None:
    folder = written(catalog, tmp_path / "out", "label_studio")
    path = from_label_studio(folder, nothing)
    tasks = json.loads(path.read_text("utf-8"))
    tasks[0]["data"]["visionkit_id"] = "unknown"
    tasks[1]["annotations"][0]["result"][0]["value"]["x"] = "left"
    tasks.insert(0, "task")
    tasks.append({"annotations": [{"result": []}], "data": {"image": "a.jpg"}})
    path.write_text(json.dumps(tasks), "utf-8")
    taken = take_answers(catalog, path, "label_studio", reviewer="ann")
    assert taken.corrections == 1
    assert len(taken.problems) == 4


def test_cvat_is_asked_and_its_answers_become_corrections(catalog: Catalog, tmp_path: Path) -> None:
    folder = written(catalog, tmp_path / "out", "cvat")
    labels = json.loads((folder / "labels.json").read_text("utf-8"))
    assert [(each["name"], each["type"]) for each in labels] == [
        ("cat", "rectangle"),
        ("cow", "rectangle"),
        ("dog", "rectangle"),
        ("shelf", "tag"),
    ]
    path = folder / "annotations.xml"
    tree = ET.parse(path)  # noqa: S314
    # Other tools look for the labels here.
    listed = tree.getroot().findall("meta/task/labels/label")
    assert [each.findtext("name") for each in listed] == ["cat", "cow", "dog", "shelf"]
    images = tree.getroot().findall("image")
    for image in images:
        assert (folder / "images" / str(image.get("name"))).is_file()
    known = images[0].find("box")
    assert known is not None
    assert [known.get(side) for side in ("xtl", "ytl", "xbr", "ybr")] == [
        "10.00",
        "20.00",
        "50.50",
        "60.25",
    ]
    images[0].remove(known)
    turned = {"xtl": "80", "ytl": "30", "xbr": "120", "ybr": "50", "rotation": "90"}
    ET.SubElement(images[1], "box", turned | {"label": "cow"})
    ET.SubElement(images[1], "polygon", {"label": "cow", "points": "1,2;3,4"})
    tree.write(path, encoding="utf-8")
    taken = take_answers(catalog, path, "cvat", reviewer="ann")
    assert (taken.corrections, taken.empty) == (3, 1)
    assert ["only boxes and tags" in problem.reason for problem in taken.problems] == [True]
    assert catalog.truth("shop/known.png").objects == ()
    accepted, drawn = catalog.truth("5eed").objects
    assert accepted.source == "m1"
    # 40 px wide and 20 high, turned by a right angle about its middle (100, 40).
    assert drawn.box == pytest.approx((90, 20, 110, 60))
    assert drawn.source == "human:ann"
    assert catalog.truth("../odd %?").labels == ("shelf",)
    assert catalog.corrections()[2].action == "accept"


def test_a_wrong_file_or_tool_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<annotation/>", "utf-8")
    with pytest.raises(ValueError, match="must begin with <annotations>"):
        take_answers(catalog, path, "cvat", reviewer="ann")
    with pytest.raises(ValueError, match="one of label_studio, cvat, got 'paint'"):
        take_answers(catalog, path, "paint", reviewer="ann")
    with pytest.raises(ValueError, match="got 'paint'"):
        write_questions(questions_about(catalog, asked(catalog)), tmp_path / "o", "paint")
    with pytest.raises(ValueError, match="at least one picture"):
        write_questions([], tmp_path / "o", "cvat")
    Path(catalog.uri_of("5eed")).unlink()
    with pytest.raises(FileNotFoundError, match="is gone"):
        written(catalog, tmp_path / "o", "cvat")
    assert not (tmp_path / "o").exists()
