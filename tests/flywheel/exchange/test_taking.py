"""Which answers of other tools are taken, known or left out, one file after another."""

from __future__ import annotations

import json
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.flywheel.exchange.conftest import Pictures
from visionkit.flywheel.answers import Correction
from visionkit.flywheel.catalog import Catalog
from visionkit.flywheel.exchange import Taken, take_answers


def exported(folder: Path, result: list[dict[str, Any]] | None = None, **values: object) -> Path:
    """What Label Studio exports of the picture p, asked about as it came, with one answer."""
    answer = {"result": result or [], "completed_by": 7, "updated_at": "2026-02-01", **values}
    data = {"visionkit_id": "p", "visionkit_revision": 0}
    path = folder / "export.json"
    path.write_text(json.dumps([{"data": data, "annotations": [answer]}]), "utf-8")
    return path


def cvat(folder: Path, *children: dict[str, str]) -> Path:
    """What CVAT exports of the picture p, asked about as it came, with boxes (or tags)."""
    root = ET.Element("annotations")
    image = ET.SubElement(root, "image", {"id": "0", "name": "r0/p.png"})
    for values in children:
        ET.SubElement(image, "box" if "xtl" in values else "tag", values)
    path = folder / "annotations.xml"
    path.write_bytes(ET.tostring(root))
    return path


def box(label: str, *corners: float, **more: str) -> dict[str, str]:
    sides = zip(("xtl", "ytl", "xbr", "ybr"), map(str, corners), strict=True)
    return {"label": label, **dict(sides), **more}


def rectangle(label: str, x: float, y: float, width: float, height: float) -> dict[str, Any]:
    """A box as Label Studio exports it: in percent of the picture."""
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0}
    return {"type": "rectanglelabels", "value": value | {"rectanglelabels": [label]}}


def take(catalog: Catalog, path: Path, reviewer: str = "ann") -> Taken:
    tool = "cvat" if path.suffix == ".xml" else "label_studio"
    return take_answers(catalog, path, tool, reviewer=reviewer)


def test_who_skipped_a_picture_may_answer_later(pictures: Pictures, tmp_path: Path) -> None:
    catalog = pictures(p=())
    assert take(catalog, exported(tmp_path, was_cancelled=True)).corrections == 1
    assert not catalog.truth("p").reviewed
    taken = take(catalog, exported(tmp_path))
    assert (taken.corrections, taken.known, taken.empty, taken.problems) == (1, 0, 1, ())
    assert catalog.truth("p").reviewed
    for skipped in (True, False):
        again = take(catalog, exported(tmp_path, was_cancelled=skipped))
        assert (again.corrections, again.known, again.problems) == (0, 1, ())
    assert [entry.action for entry in catalog.corrections()] == ["unsure", "reject"]


@pytest.mark.parametrize("skipped", [False, True])
def test_where_another_person_could_not_tell_an_answer_counts(
    pictures: Pictures, tmp_path: Path, skipped: bool
) -> None:
    catalog = pictures(p=())
    catalog.correct(Correction("x", "p", 0, "ben", "unsure"))
    for corrections, known in ((1, 0), (0, 1)):
        taken = take(catalog, exported(tmp_path, was_cancelled=skipped))
        assert (taken.corrections, taken.known, taken.problems) == (corrections, known, ())
    assert catalog.truth("p").reviewed is not skipped
    last = catalog.corrections()[-1]
    assert (last.reviewer, last.revision) == ("annotator 7", 1)


def test_what_somebody_could_tell_is_not_overruled_whoever_could_not_tell_before(
    pictures: Pictures, tmp_path: Path
) -> None:
    catalog = pictures(p=())
    catalog.correct(Correction("x", "p", 0, "ben", "unsure"))
    catalog.correct(Correction("y", "p", 1, "zoe", "edit", ("shelf",)))
    taken = take(catalog, exported(tmp_path))
    assert (taken.corrections, len(taken.problems)) == (0, 1)
    assert "zoe has answered since" in taken.problems[0].reason
    assert catalog.truth("p").labels == ("shelf",)


@pytest.mark.parametrize(
    ("skips", "answered"),
    [
        pytest.param([("ann", "2026-01-03")], True, id="another person later"),
        pytest.param([("ben", "2026-01-03")], False, id="the same person in the end"),
        pytest.param([("ben", "2026-01-01")], True, id="the same person at first"),
        pytest.param([("ann", "2026-01-01"), ("zoe", "2026-01-03")], True, id="two others"),
    ],
)
def test_who_skips_a_task_takes_away_no_answer_of_others(
    pictures: Pictures, tmp_path: Path, skips: list[tuple[str, str]], answered: bool
) -> None:
    catalog = pictures(p=())
    path = exported(tmp_path, completed_by={"email": "ben"}, updated_at="2026-01-02")
    tasks = json.loads(path.read_text("utf-8"))
    tasks[0]["annotations"] += [
        {"completed_by": {"email": who}, "updated_at": when, "was_cancelled": True, "result": []}
        for who, when in skips
    ]
    path.write_text(json.dumps(tasks), "utf-8")
    assert take(catalog, path).corrections == 1
    (entry,) = catalog.corrections()
    assert (entry.reviewer, entry.action) == ("ben", "reject" if answered else "unsure")


def test_what_was_taken_before_skipping_had_an_id_of_its_own_stays_known(
    pictures: Pictures, tmp_path: Path
) -> None:
    catalog = pictures(p=())
    content = ("label_studio", "p", 0, "annotator 7", (), ())
    name = str(uuid.uuid5(uuid.UUID("6f1c1a0e-6d0b-4e0e-9a39-6f8f3ad4f3a1"), repr(content)))
    catalog.correct(Correction(name, "p", 0, "annotator 7", "unsure"))
    skipped = take(catalog, exported(tmp_path, was_cancelled=True))
    assert (skipped.corrections, skipped.known) == (0, 1)
    for corrections, known in ((1, 0), (0, 1)):
        answered = take(catalog, exported(tmp_path))
        assert (answered.corrections, answered.known, answered.problems) == (corrections, known, ())
    assert catalog.truth("p").reviewed


@pytest.mark.parametrize("tool", ["label_studio", "cvat"])
def test_boxes_are_cut_to_the_picture_and_those_without_size_left_out(
    pictures: Pictures, tmp_path: Path, tool: str
) -> None:
    catalog = pictures(p=())  # 200 x 100
    if tool == "cvat":
        path = cvat(tmp_path, box("dog", -20, 10, 80, 130), box("dog", 50, 50, 50, 50))
    else:
        path = exported(
            tmp_path, [rectangle("dog", -10, 10, 50, 120), rectangle("cat", 9, 9, 0, 0)]
        )
    taken = take(catalog, path)
    assert (taken.corrections, taken.empty) == (1, 0)
    (problem,) = taken.problems
    assert problem.reason.startswith("p: the box must have a width and a height above 0, got (")
    assert problem.reason.endswith("; left out")
    (entry,) = catalog.truth("p").objects
    assert (entry.label, entry.box) == ("dog", (0.0, 10.0, 80.0, 100.0))
    again = take(catalog, path)
    assert (again.corrections, again.known, again.problems) == (0, 1, ())


def test_a_turned_box_is_cut_to_the_picture(pictures: Pictures, tmp_path: Path) -> None:
    catalog = pictures(p=())
    take(catalog, cvat(tmp_path, box("dog", 0, 10, 80, 30, rotation="90")))
    (entry,) = catalog.truth("p").objects
    # 80 px wide and 20 high, turned by a right angle about its middle (40, 20): y is -20 to 60.
    assert entry.box == pytest.approx((30, 0, 50, 60))


@pytest.mark.parametrize(
    ("child", "reason"),
    [
        (box("dog", 9, 9, 9, 9), "above 0, got (9, 9, 9, 9)"),
        (box("dog", 9, 9, 9.5, 30), "at least 1 pixel wide and high"),
        (box("dog", 210, 9, 230, 30), "must lie in the 200 x 100 picture"),
        (box("dog", float("nan"), 9, 20, 30), "finite numbers"),
        (box("", 9, 9, 20, 30), "the label must not be empty"),
        ({"label": " dog"}, "no outer blanks"),
    ],
)
def test_a_picture_of_which_no_box_can_be_used_is_not_said_to_show_nothing(
    pictures: Pictures, tmp_path: Path, child: dict[str, str], reason: str
) -> None:
    catalog = pictures(p=())
    taken = take(catalog, cvat(tmp_path, child))
    assert (taken.corrections, taken.known, taken.empty) == (0, 0, 0)
    assert reason in taken.problems[0].reason
    assert taken.problems[0].line is not None
    assert not catalog.truth("p").reviewed


def test_a_relation_between_boxes_is_passed_over(pictures: Pictures, tmp_path: Path) -> None:
    catalog = pictures(p=())
    related = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    result = [rectangle("dog", 10, 10, 20, 20), rectangle("cat", 50, 50, 10, 10), related]
    taken = take(catalog, exported(tmp_path, result))
    assert (taken.corrections, taken.problems) == (1, ())
    assert [(entry.label, entry.box) for entry in catalog.truth("p").objects] == [
        ("dog", (20.0, 10.0, 60.0, 30.0)),
        ("cat", (100.0, 50.0, 120.0, 60.0)),
    ]


def test_a_file_that_says_not_who_answered_is_known_whoever_brings_it(
    pictures: Pictures, tmp_path: Path
) -> None:
    catalog = pictures(p=())
    path = cvat(tmp_path, box("dog", 10, 10, 60, 60))
    assert take(catalog, path, "ann").corrections == 1
    catalog.correct(Correction("x", "p", 1, "zoe", "edit", ("shelf",)))
    for who in ("ann", "ben"):
        again = take(catalog, path, who)
        assert (again.corrections, again.known, again.problems) == (0, 1, ())
    assert catalog.truth("p").labels == ("shelf",)
    # Another answer to the same question is none of these.
    other = take(catalog, cvat(tmp_path, box("cat", 10, 10, 60, 60)), "ben")
    assert (other.corrections, other.known, len(other.problems)) == (0, 0, 1)


def test_the_same_answer_of_another_person_is_theirs(pictures: Pictures, tmp_path: Path) -> None:
    catalog = pictures(p=())
    assert take(catalog, exported(tmp_path)).corrections == 1
    other = take(catalog, exported(tmp_path, completed_by=8))
    assert (other.corrections, other.known, len(other.problems)) == (0, 0, 1)


@pytest.mark.parametrize("size", [("100", "200"), ("100", "50")])
def test_boxes_of_a_picture_of_another_size_are_not_taken(
    pictures: Pictures, tmp_path: Path, size: tuple[str, str]
) -> None:
    catalog = pictures(p=())  # 200 x 100
    path = cvat(tmp_path, box("dog", 10, 10, 60, 60))
    tree = ET.parse(path)  # noqa: S314
    image = tree.getroot().find("image")
    assert image is not None
    image.attrib.update(zip(("width", "height"), size, strict=True))
    tree.write(path)
    taken = take(catalog, path)
    assert taken.corrections == 0
    (problem,) = taken.problems
    assert f"must be 200 x 100 as it was written, got {size[0]} x {size[1]}" in problem.reason


def test_an_export_of_another_form_of_label_studio_says_which_it_takes(
    pictures: Pictures, tmp_path: Path
) -> None:
    task = {"image": "a.png", "id": 1, "visionkit_id": "p", "visionkit_revision": 0, "box": []}
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task]), "utf-8")
    (problem,) = take(pictures(p=()), path).problems
    assert "export as JSON, not as JSON-MIN" in problem.reason
