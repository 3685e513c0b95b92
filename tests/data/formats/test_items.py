"""A folder an item, with whole pictures of it or boxes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.formats.sets import BOX, COCO_FILE, VOC_FILE, boxes_of, write_files
from visionkit.data.formats import item_views, read
from visionkit.data.table import to_samples


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"cola/1.png": "", "cola/b/2.png": ""},
            {"cola/1.png": ["cola"], "cola/b/2.png": ["cola"]},
        ),
        ({"fanta/a.png": "", "fanta/a.xml": VOC_FILE}, {"fanta/a.png": [("fanta", BOX[1])]}),
        ({"fanta/a.png": "", "fanta/x.json": COCO_FILE}, {"fanta/a.png": [("fanta", BOX[1])]}),
        (
            {"x.json": COCO_FILE, "a.png": "", "fanta/1.png": ""},
            {"a.png": [BOX], "fanta/1.png": ["fanta"]},
        ),
        ({"Annotations/a.xml": VOC_FILE, "JPEGImages/a.png": ""}, {"JPEGImages/a.png": [BOX]}),
    ],
)
def test_items(tmp_path: Path, files: dict[str, str], expected: dict[str, list[object]]) -> None:
    assert boxes_of(write_files(tmp_path, files), "items") == expected


def test_items_of_which_one_can_not_be_used(tmp_path: Path) -> None:
    two = VOC_FILE.replace("</annotation>", "<object><name>x</name></object></annotation>")
    write_files(tmp_path, {"loose.png": "", "fanta/a.png": "", "good/b.png": ""})
    (tmp_path / "empty").mkdir()
    other = VOC_FILE.replace("a.png", "c.png").replace("cola", "pepsi")
    write_files(tmp_path, {"fanta/a.xml": two, "fanta/c.xml": other, "fanta/c.png": ""})
    result = read(tmp_path, "items")
    assert [sample.id for sample in to_samples(result.table)] == ["good/b.png"]
    reasons = " | ".join(problem.reason for problem in result.problems)
    for words in (
        "must lie in a folder that is named for their item; left out: loose.png",
        "the item 'empty' must have a picture",
        "c.png must have a box of 'fanta'; left out",
    ):
        assert words in reasons


def test_item_views(tmp_path: Path) -> None:
    write_files(tmp_path, {"x.json": COCO_FILE, "a.png": "", "beer/1.png": "", "beer/2.png": ""})
    views = item_views(read(tmp_path, "items").table)
    assert [(view.item, view.sample.id, view.box) for view in views] == [
        ("beer", "beer/1.png", None),
        ("beer", "beer/2.png", None),
        ("cola", "a.png", BOX[1]),
    ]
