"""Pascal VOC: objects whose place is told by a polygon."""

from __future__ import annotations

from pathlib import Path

from tests.data.formats.sets import boxes_of, write_files
from visionkit.data.formats import read

LABELME = "<polygon>{}</polygon>".format(
    "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((4, 20), (12, 3), (8.5, 28)))
)
NUMBERED = "<polygon><x1>1</x1><y1>9</y1><x2>30</x2><y2>2</y2><x3>7</x3><y3>11</y3></polygon>"
BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>10</ymax></bndbox>"


def voc(folder: Path, *places: str) -> Path:
    """A picture of 40 x 30 with an object at each place."""
    objects = "".join(f"<object><name>cola</name>{place}</object>" for place in places)
    text = f"<annotation><filename>a.png</filename>{objects}</annotation>"
    return write_files(folder, {"Annotations/a.xml": text, "JPEGImages/a.png": ""})


def test_polygons_are_read_as_the_box_around_them_and_counted(tmp_path: Path) -> None:
    source = voc(tmp_path, LABELME, NUMBERED, BOX + NUMBERED)
    boxes = [(4, 3, 12, 28), (1, 2, 30, 11), (1, 2, 10, 10)]
    assert boxes_of(source) == {"JPEGImages/a.png": [("cola", box) for box in boxes]}
    assert [(problem.level, problem.reason) for problem in read(source).problems] == [
        ("warning", "objects without bndbox: 2; the box around their polygons is taken")
    ]


def test_what_was_deleted_is_not_there(tmp_path: Path) -> None:
    """LabelMe leaves it in the file."""
    source = voc(tmp_path, BOX, f"<deleted>1</deleted>{LABELME}", f"<deleted>0</deleted>{NUMBERED}")
    assert boxes_of(source) == {
        "JPEGImages/a.png": [("cola", (1, 2, 10, 10)), ("cola", (1, 2, 30, 11))]
    }
    assert "objects without bndbox: 1;" in read(source).problems[0].reason


def test_what_is_no_polygon_is_named(tmp_path: Path) -> None:
    two = "<polygon><x1>1</x1><y1>9</y1><x2>30</x2><y2>2</y2></polygon>"
    words = "<polygon><pt><x>left</x><y>1</y></pt></polygon>"
    gap = "<polygon><x1>1</x1><y1>9</y1><x3>30</x3><y3>2</y3></polygon>"
    source = voc(tmp_path, BOX, two, words, gap, "<polygon/>", "")
    assert boxes_of(source) == {"JPEGImages/a.png": [("cola", (1, 2, 10, 10))]}
    reasons = [problem.reason for problem in read(source).problems]
    assert reasons[:5] == ["an object must have a bndbox; left out"] * 5
