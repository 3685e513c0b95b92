"""Every picture, path and annotation file of the shared malformed set gets what it asks for."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visionkit.data.formats import NothingLeftError, read, write
from visionkit.data.images import ImageError, read_image, read_picture
from visionkit.data.picture_files import find_images
from visionkit.data.problems import Problem, unescape_cell, write_problems
from visionkit.data.table import to_samples

# A sound loader's answer -> what is expected here: pictures that open, by how much (mean of
# absolute differences) they may differ from the one that all were made from; None is another
# picture. Losses of JPEG, of 32 and 64 colours and of gray were estimated from the formats.
OPEN = {
    "UPPERCASE.JPG": 0.0,
    "animated.gif": 6.0,
    "bilevel.png": None,
    "cmyk.jpg": 4.0,
    "exif_orientation_3.jpg": 2.0,
    "exif_orientation_6.jpg": 2.0,
    "exif_orientation_8.jpg": 2.0,
    "exif_orientation_bad.jpg": 0.0,
    "gray.jpg": 12.0,
    "gray16.png": 12.0,
    "jpg_named.png": 0.0,
    "la.png": None,
    "no_extension": 0.0,
    "ok_reference.jpg": 0.0,
    "one_pixel.png": None,
    "palette.png": 8.0,
    "palette_transparent.png": 10.0,
    "png_named.jpg": 4.0,
    "progressive.jpg": 0.0,
    "rgb16.png": 4.0,
    "rgba_half_transparent.png": None,
    "strip_1x4000.png": None,
    "trailing_garbage.jpg": 0.0,
    "truncated_two_bytes.jpg": 0.0,
    "two_pages.tif": 4.0,
    "webp_named.jpg": 6.0,
}
REFUSED = {
    "bomb_header_100000x100000.png": "larger than",
    "bomb_real_30000x30000_1bit.png": "larger than",
    "corrupt_crc.png": "damaged",
    "corrupt_middle.jpg": "damaged",
    "html_404.jpg": "HTML page",
    "lfs_pointer.jpg": "Git LFS pointer",
    "svg_named.png": "SVG",
    "text.jpg": "text file",
    "truncated.jpg": "cut short",
    "truncated.png": "cut short",
    "truncated_header.jpg": "cut short",
    "zero_byte.jpg": "empty",
    "zero_byte.png": "empty",
    "zero_size_header.png": "damaged",
}
SKIPPED = {".DS_Store", "Thumbs.db"}

# Name -> (pictures, boxes, [(line, level, words of the reason)]), worked out by hand from
# make_malformed.py. Where a picture loses all its boxes, it is left out too.
LOST = "so that it is not taken for a picture without any"
ANNOTATIONS: dict[str, tuple[int, int, list[tuple[int | None, str, str]]]] = {
    "coco_absolute_path.json": (0, 0, [(3, "error", "must stay below")]),
    "coco_bom.json": (2, 1, []),
    "coco_box_infinity.json": (1, 0, [(27, "error", "finite"), (3, "error", LOST)]),
    "coco_box_nan.json": (1, 0, [(27, "error", "finite"), (3, "error", LOST)]),
    "coco_box_negative.json": (2, 1, [(27, "warning", "cut off"), (40, "error", "above 0")]),
    "coco_box_normalised_by_mistake.json": (
        1,
        0,
        [(27, "error", "fractions instead of pixels"), (3, "error", LOST)],
    ),
    "coco_box_null.json": (1, 0, [(27, "error", "4 numbers"), (3, "error", LOST)]),
    "coco_box_out_of_range.json": (
        2,
        1,
        [(27, "warning", "cut off"), (40, "error", "must lie in the 320 x 240 picture")],
    ),
    "coco_box_strings.json": (
        1,
        0,
        [(27, "error", "4 numbers"), (40, "error", "4 numbers"), (3, "error", LOST)],
    ),
    "coco_box_three_numbers.json": (1, 0, [(27, "error", "4 numbers"), (3, "error", LOST)]),
    "coco_box_xyxy_by_mistake.json": (
        2,
        2,
        [(27, "warning", "order of this format"), (40, "warning", "order of this format")],
    ),
    "coco_box_zero_area.json": (1, 0, [(27, "error", "above 0"), (3, "error", LOST)]),
    "coco_deep_nesting.json": (0, 0, [(None, "error", "nested too deeply")]),
    "coco_duplicate_file.json": (1, 1, [(9, "warning", "listed once")]),
    "coco_duplicate_ids.json": (0, 0, [(9, "error", "ids of images must differ")]),
    "coco_empty.json": (0, 0, [(None, "error", "are missing")]),
    "coco_is_a_list.json": (0, 0, [(1, "error", "got a list")]),
    "coco_missing_image.json": (0, 0, [(3, "error", "must exist")]),
    "coco_names_with_unicode.json": (2, 1, []),
    "coco_no_annotations_key.json": (0, 0, [(None, "error", "annotations is missing")]),
    "coco_ok.json": (2, 2, []),
    "coco_path_escape.json": (0, 0, [(3, "error", "must stay below")]),
    "coco_truncated.json": (0, 0, [(16, "error", "cut short")]),
    "coco_unknown_category.json": (1, 0, [(27, "error", "category_id"), (3, "error", LOST)]),
    "coco_unknown_image_id.json": (2, 0, [(27, "error", "image_id")]),
    "coco_utf16.json": (2, 1, []),
    "coco_wrong_size.json": (0, 0, [(3, "error", "320 x 240, got 640 x 480")]),
    "labels_bom_crlf.csv": (1, 0, []),
    "labels_conflict.csv": (0, 0, [(3, "error", "one label")]),
    "labels_empty_label.csv": (1, 0, [(2, "error", "not be empty")]),
    "labels_header_only.csv": (0, 0, [(None, "error", "set is empty")]),
    "labels_latin1.csv": (0, 0, [(2, "error", "Latin-1")]),
    "labels_missing_column.csv": (0, 0, [(1, "error", "named label")]),
    "labels_ok.csv": (2, 0, []),
    "labels_one_class.csv": (2, 0, [(None, "warning", "nothing to learn")]),
    "labels_semicolon.csv": (1, 0, []),
    "voc_empty_name.xml": (0, 0, [(1, "error", "not be empty"), (None, "error", LOST)]),
    "voc_entity_expansion.xml": (0, 0, [(None, "error", "DTD")]),
    "voc_external_entity.xml": (0, 0, [(None, "error", "DTD")]),
    "voc_float.xml": (1, 1, []),
    "voc_no_bndbox.xml": (0, 0, [(1, "error", "bndbox"), (None, "error", LOST)]),
    "voc_no_size.xml": (1, 1, []),
    "voc_not_closed.xml": (0, 0, [(1, "error", "cut short")]),
    "voc_ok.xml": (1, 1, []),
    "voc_swapped.xml": (0, 0, [(1, "error", "above 0"), (None, "error", LOST)]),
    "voc_zero_size.xml": (1, 1, [(1, "warning", "that of the picture is used")]),
    "yolo_class_999.txt": (0, 0, [(1, "error", "one of the 2 names"), (None, "error", LOST)]),
    "yolo_commas.txt": (0, 0, [(1, "error", "number of a class"), (None, "error", LOST)]),
    "yolo_crlf_blank_lines.txt": (1, 2, []),
    "yolo_empty.txt": (1, 0, []),
    "yolo_name_instead.txt": (0, 0, [(1, "error", "number of a class"), (None, "error", LOST)]),
    "yolo_nan.txt": (0, 0, [(1, "error", "0..1"), (None, "error", LOST)]),
    "yolo_negative.txt": (0, 0, [(1, "error", "0..1"), (None, "error", LOST)]),
    "yolo_ok.txt": (1, 1, []),
    "yolo_over_one.txt": (0, 0, [(1, "error", "are these pixels"), (None, "error", LOST)]),
    "yolo_polygon.txt": (1, 1, []),
    "yolo_six_columns.txt": (0, 0, [(1, "error", "score"), (None, "error", LOST)]),
    "zero_byte.json": (0, 0, [(None, "error", "empty")]),
}


@pytest.fixture(scope="module")
def malformed(shared_data: Path) -> Path:
    return shared_data / "malformed"


@pytest.fixture(scope="module")
def expectations(malformed: Path) -> dict[str, dict[str, Any]]:
    loaded: dict[str, dict[str, Any]] = json.loads((malformed / "expectations.json").read_text())
    return loaded


def test_every_entry(
    malformed: Path, expectations: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Walks all entries but videos and archives; a new one fails until it is known here."""
    found = {path.relative_to(malformed).as_posix() for path in find_images(malformed / "images")}
    reference = read_image(malformed / "images/ok_reference.jpg")
    wrong = []
    for number, (entry, expected) in enumerate(expectations.items()):
        kind, name = entry.split("/", 1)
        path = malformed / entry
        try:
            if kind == "images":
                check_picture(path, expected["want"], entry in found, reference)
            elif kind == "paths" or name.startswith("img/"):
                assert read_image(path).shape == (240, 320, 3)
            elif kind == "annotations":
                check_annotations(path, tmp_path / str(number))
        except (AssertionError, KeyError, ValueError) as error:
            wrong.append(f"{entry} ({expected['want']}): {error!r}")
    assert wrong == []


def check_picture(path: Path, want: str, found: bool, reference: np.ndarray) -> None:
    assert found == (path.name not in SKIPPED)
    if path.name in OPEN:
        assert want.startswith("open")
        image, limit = read_image(path), OPEN[path.name]
        assert image.dtype == np.uint8
        assert image.ndim == 3
        if limit is not None:
            assert image.shape == reference.shape
            assert np.abs(image.astype(int) - reference).mean() <= limit
    elif path.name not in SKIPPED:
        assert want.startswith("refuse")
        with pytest.raises(ImageError, match=REFUSED[path.name]) as caught:
            read_image(path)
        assert str(path) in str(caught.value)


def check_annotations(path: Path, folder: Path) -> None:
    pictures, boxes, problems = ANNOTATIONS[path.name]
    source = path if path.suffix != ".txt" else as_yolo_set(path, folder)
    try:
        result = read(source)
        samples, found = to_samples(result.table), result.problems
    except NothingLeftError as error:
        samples, found = [], error.problems
    assert len(samples) == pictures
    assert sum(len(sample.objects) for sample in samples) == boxes
    assert [(problem.line, problem.level) for problem in found] == [
        (line, level) for line, level, _ in problems
    ]
    for problem, (_, _, words) in zip(found, problems, strict=True):
        assert words in problem.reason
        assert Path(problem.file).exists()
        assert "hostname" not in problem.reason or "etc/hostname" in problem.reason


def as_yolo_set(labels: Path, folder: Path) -> Path:
    """A label file says nothing of its picture: a set with the picture it was made for."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    shutil.copy(labels.parent / "img/a.jpg", folder / "images/a.jpg")
    shutil.copy(labels, folder / "labels/a.txt")
    (folder / "data.yaml").write_text("names: [cell, other]\n")
    return folder


def test_values(malformed: Path, tmp_path: Path) -> None:
    """Corners of files that are read, worked out by hand."""
    expected = {
        "coco_ok.json": [("cell", (10, 10, 60, 60)), ("cell", (100.5, 20.25, 130.5, 60.25))],
        "coco_box_out_of_range.json": [("cell", (300, 200, 320, 240))],
        "coco_names_with_unicode.json": [('ロゴ "新" , <b>&amp;', (10, 10, 60, 60))],
        "voc_float.xml": [("cell", (10.0, 10.7, 60.2, 60.9))],
        "yolo_ok.txt": [("cell", (128, 96, 192, 144))],
        "yolo_polygon.txt": [("cell", (32, 24, 64, 48))],
    }
    for name, boxes in expected.items():
        path = malformed / "annotations" / name
        source = path if path.suffix != ".txt" else as_yolo_set(path, tmp_path / name)
        samples = to_samples(read(source).table)
        found = [box for sample in samples for box in sample.objects]
        assert [box.label for box in found] == [label for label, _ in boxes]
        assert [box.box for box in found] == [pytest.approx(box, abs=1e-4) for _, box in boxes]


def test_transparency_and_missing_end(malformed: Path) -> None:
    image = read_image(malformed / "images/rgba_half_transparent.png")
    assert (image[:, :160] == 255).all()  # laid on white
    assert (image[:, 160:] != 255).any()
    assert read_picture(malformed / "images/truncated_two_bytes.jpg").notes != ()


@pytest.mark.parametrize("format", ["coco", "csv", "voc", "yolo", "groundtruth", "items"])
def test_paths_and_names_come_back_from_every_format(
    malformed: Path, tmp_path: Path, format: str
) -> None:
    """Written to and read back from every CSV, JSON and XML file unchanged."""
    table = read(malformed, "folders").table
    table = table.filter([uri.startswith("paths/") for uri in table.column("id").to_pylist()])
    assert table.num_rows == 16
    write(table, tmp_path / "set", format)
    back = read(tmp_path / "set", format).table
    columns = ["id", "content_hash", "labels"]
    assert back.select(columns).equals(table.select(columns))


def test_paths_come_back_from_the_list_of_problems(malformed: Path, tmp_path: Path) -> None:
    paths = [str(path) for path in find_images(malformed / "paths")]
    write_problems(tmp_path / "problems.csv", [Problem(path, None, "x") for path in paths])
    with (tmp_path / "problems.csv").open(encoding="utf-8", newline="") as file:
        assert [unescape_cell(row["file"]) for row in csv.DictReader(file)] == paths
