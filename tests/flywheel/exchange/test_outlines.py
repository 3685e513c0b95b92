"""Answers of other tools in which something else than upright boxes was drawn."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.flywheel.exchange.conftest import Pictures
from visionkit.flywheel.catalog import Catalog
from visionkit.flywheel.exchange import Taken, take_answers

# The triangle (20, 10), (100, 30), (60, 80) of a picture of 200 x 100, as both tools state it.
TRIANGLE = {"points": [[10, 10], [50, 30], [30, 80]]}
POINTS = "20.00,10.00;100.00,30.00;60.00,80.00"
AROUND_TRIANGLE = (20.0, 10.0, 100.0, 80.0)
# An ellipse about (100, 50), 30 px to the right and 10 down; turned by a right angle 10 and 30.
ELLIPSE = {"x": 50, "y": 50, "radiusX": 15, "radiusY": 10}
AROUND_ELLIPSE, AROUND_TURNED = (70.0, 40.0, 130.0, 60.0), (90.0, 20.0, 110.0, 80.0)


def result(kind: str, value: dict[str, Any], *, id: str = "a", **names: list[str]) -> Any:
    """Something that was drawn or chosen, as Label Studio exports it."""
    return {"id": id, "type": kind, "value": value | names}


def take_results(catalog: Catalog, folder: Path, *results: Any) -> Taken:
    answer = {"result": list(results), "completed_by": 7, "updated_at": "2026-02-01"}
    data = {"visionkit_id": "p", "visionkit_revision": 0}
    path = folder / "export.json"
    path.write_text(json.dumps([{"data": data, "annotations": [answer]}]), "utf-8")
    return take_answers(catalog, path, "label_studio", reviewer="ann")


def take_shapes(catalog: Catalog, folder: Path, *shapes: tuple[str, dict[str, str]]) -> Taken:
    root = ET.Element("annotations")
    image = ET.SubElement(root, "image", {"id": "0", "name": "r0/p.png"})
    for tag, values in shapes:
        ET.SubElement(image, tag, {"label": "dog", **values})
    path = folder / "annotations.xml"
    path.write_bytes(ET.tostring(root))
    return take_answers(catalog, path, "cvat", reviewer="ann")


def boxes(catalog: Catalog) -> list[tuple[str, tuple[float, ...]]]:
    return [(entry.label, entry.box) for entry in catalog.truth("p").objects]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("polygonlabels", TRIANGLE, AROUND_TRIANGLE),
        ("ellipselabels", ELLIPSE, AROUND_ELLIPSE),
        ("ellipselabels", ELLIPSE | {"rotation": 90}, AROUND_TURNED),
        ("labels", TRIANGLE, AROUND_TRIANGLE),
    ],
)
def test_outlines_of_label_studio_are_taken_as_the_box_around_them(
    pictures: Pictures,
    tmp_path: Path,
    kind: str,
    value: dict[str, Any],
    expected: tuple[float, ...],
) -> None:
    catalog = pictures(p=())
    drawn = result(kind, value, **{kind: ["dog"]})
    for _ in range(2):
        taken = take_results(catalog, tmp_path, drawn)
    assert (taken.corrections, taken.known, taken.problems) == (0, 1, ())
    ((label, box),) = boxes(catalog)
    assert label == "dog"
    assert box == pytest.approx(expected)
    assert catalog.corrections()[0].action == "edit"


@pytest.mark.parametrize(
    ("tag", "values", "expected"),
    [
        ("polygon", {"points": POINTS}, AROUND_TRIANGLE),
        ("ellipse", {"cx": "100", "cy": "50", "rx": "30", "ry": "10"}, AROUND_ELLIPSE),
        (
            "ellipse",
            {"cx": "100", "cy": "50", "rx": "30", "ry": "10", "rotation": "90"},
            AROUND_TURNED,
        ),
        (
            "mask",
            {"rle": "1, 2", "left": "20", "top": "10", "width": "80", "height": "70"},
            AROUND_TRIANGLE,
        ),
    ],
)
def test_outlines_of_cvat_are_taken_as_the_box_around_them(
    pictures: Pictures,
    tmp_path: Path,
    tag: str,
    values: dict[str, str],
    expected: tuple[float, ...],
) -> None:
    catalog = pictures(p=())
    taken = take_shapes(catalog, tmp_path, (tag, values))
    assert (taken.corrections, taken.empty) == (1, 0)
    ((label, box),) = boxes(catalog)
    assert label == "dog"
    assert box == pytest.approx(expected)


def test_it_is_said_of_how_many_outlines_the_box_was_taken(
    pictures: Pictures, tmp_path: Path
) -> None:
    catalog = pictures(p=())
    box = {"xtl": "10", "ytl": "10", "xbr": "60", "ybr": "60"}
    other = {"points": "110,10;120,30;130,80;110,90"}
    shapes = [("polygon", {"points": POINTS}), ("box", box), ("polygon", other)]
    taken = take_shapes(catalog, tmp_path, *shapes)
    assert [found for _, found in boxes(catalog)] == [
        AROUND_TRIANGLE,
        (10.0, 10.0, 60.0, 60.0),
        (110.0, 10.0, 130.0, 90.0),
    ]
    (problem,) = taken.problems
    assert problem.level == "warning"
    assert "of 2 polygons, ellipses or masks the box" in problem.reason


def test_a_shape_and_its_name_may_be_two_results(pictures: Pictures, tmp_path: Path) -> None:
    catalog = pictures(p=())
    value = {"x": 10, "y": 10, "width": 40, "height": 70, "rotation": 0}
    named = result("labels", value, labels=["dog"])
    assert take_results(catalog, tmp_path, result("rectangle", value), named).problems == ()
    assert boxes(catalog) == [("dog", pytest.approx(AROUND_TRIANGLE))]


def test_what_is_chosen_of_a_box_is_no_class_of_the_picture(
    pictures: Pictures, tmp_path: Path
) -> None:
    catalog = pictures(p=())
    value = {"x": 10, "y": 10, "width": 40, "height": 70, "rotation": 0}
    drawn = result("rectanglelabels", value, rectanglelabels=["dog"])
    of_box = result("choices", value, choices=["occluded"])
    of_picture = result("choices", {}, id="b", choices=["street"])
    take_results(catalog, tmp_path, drawn, of_box, of_picture)
    assert catalog.truth("p").labels == ("street",)
    assert len(boxes(catalog)) == 1


@pytest.mark.parametrize(
    ("drawn", "word"),
    [
        (result("brushlabels", {"format": "rle", "rle": [1]}, brushlabels=["dog"]), "brushlabels"),
        (
            result("keypointlabels", {"x": 5, "y": 5, "width": 1}, keypointlabels=["dog"]),
            "keypointlabels",
        ),
        (result("polygon", TRIANGLE), "a polygon without a label"),
    ],
)
def test_a_picture_in_which_nothing_of_use_was_drawn_in_label_studio_is_not_said_to_show_nothing(
    pictures: Pictures, tmp_path: Path, drawn: Any, word: str
) -> None:
    catalog = pictures(p=())
    taken = take_results(catalog, tmp_path, drawn)
    assert (taken.corrections, taken.empty) == (0, 0)
    first, second = (problem.reason for problem in taken.problems)
    assert first.startswith("p: only boxes and tags")
    assert f"got {word}; left out" in first
    assert "none of the 1 boxes can be used" in second
    assert not catalog.truth("p").reviewed


@pytest.mark.parametrize("tag", ["points", "polyline", "cuboid"])
def test_a_picture_in_which_nothing_of_use_was_drawn_in_cvat_is_not_said_to_show_nothing(
    pictures: Pictures, tmp_path: Path, tag: str
) -> None:
    catalog = pictures(p=())
    taken = take_shapes(catalog, tmp_path, (tag, {"points": POINTS}))
    assert (taken.corrections, taken.empty) == (0, 0)
    assert [f"got {tag}; left out" in problem.reason for problem in taken.problems] == [True, False]
    assert not catalog.truth("p").reviewed
