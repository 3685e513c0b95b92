"""COCO's annotations whose box has to be made of polygons, and the splits that files name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.formats.sets import COCO_FILE, boxes_of, write_files
from visionkit.data.formats import NothingLeftError, read
from visionkit.data.table import to_samples

TRIANGLE = [1, 2, 9, 3, 5, 12]
SQUARE = [20, 5.5, 30, 5.5, 30, 15, 20, 15]


def coco_set(folder: Path, *annotations: dict[str, Any]) -> Path:
    """A set of one picture of 40 x 30 with annotations of the class cola."""
    stated = [
        {"id": number, "image_id": 1, "category_id": 1, **annotation}
        for number, annotation in enumerate(annotations, start=1)
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": stated,
        "categories": [{"id": 1, "name": "cola"}],
    }
    return write_files(folder, {"x.json": json.dumps(content), "a.png": ""})


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ({"segmentation": [TRIANGLE]}, (1, 2, 9, 12)),
        ({"segmentation": [TRIANGLE], "bbox": None}, (1, 2, 9, 12)),
        ({"segmentation": [TRIANGLE], "bbox": []}, (1, 2, 9, 12)),
        ({"segmentation": [TRIANGLE, SQUARE]}, (1, 2, 30, 15)),  # one thing in two parts
    ],
)
def test_without_a_box_the_one_around_the_polygons_is_taken(
    tmp_path: Path, annotation: dict[str, Any], expected: tuple[float, ...]
) -> None:
    boxed = {"bbox": [2, 2, 5, 5], "segmentation": [SQUARE]}  # whose own box counts
    source = coco_set(tmp_path, annotation, boxed)
    assert boxes_of(source) == {"a.png": [("cola", expected), ("cola", (2, 2, 7, 7))]}
    (problem,) = read(source).problems
    assert problem.level == "warning"
    assert problem.reason == "annotations without bbox: 1; the box around their polygons is taken"


@pytest.mark.parametrize(
    "segmentation",
    [
        {"counts": "abc", "size": [30, 40]},
        [],
        [[1, 2, 9, 3]],
        [[1, 2, 9, 3, 5, 12, 7]],
        [["1", 2, 9, 3, 5, 12]],
        "polygon",
        None,
    ],
)
def test_what_is_no_polygon_is_reported_and_no_picture_without_objects(
    tmp_path: Path, segmentation: object
) -> None:
    with pytest.raises(NothingLeftError) as error:
        read(coco_set(tmp_path, {"segmentation": segmentation}))
    reasons = [problem.reason for problem in error.value.problems]
    assert "got None, and no polygons in its place; left out" in reasons[0]
    assert "none of the 1 boxes of a.png can be used" in reasons[1]


def test_a_crowd_is_no_box_whatever_outlines_it(tmp_path: Path) -> None:
    with pytest.raises(NothingLeftError, match="of a crowd"):
        read(coco_set(tmp_path, {"segmentation": [TRIANGLE], "iscrowd": 1}))


@pytest.mark.parametrize(
    ("files", "source", "expected"),
    [
        (["annotations.json"], "", [""]),
        (["annotations.json"], "annotations.json", [""]),
        (["images.json"], "images.json", [""]),
        (["annotations/instances.json"], "annotations", [""]),
        (["annotations/instances_val.json"], "", ["val"]),
        (["annotations/instances_val.json"], "annotations/instances_val.json", ["val"]),
        (["train/_annotations.coco.json", "valid/_annotations.coco.json"], "", ["train", "val"]),
        (["train/_annotations.coco.json"], "train", [""]),  # a set by itself
    ],
)
def test_splits_are_named_by_files_and_folders_of_the_set_not_by_its_own(
    tmp_path: Path, files: list[str], source: str, expected: list[str]
) -> None:
    content = {
        name: COCO_FILE.replace("a.png", f"{number}.png") for number, name in enumerate(files)
    }
    pictures = {str(Path(name).parent / f"{n}.png"): "" for n, name in enumerate(files)}
    root = write_files(tmp_path / "rac_test", {**content, **pictures})
    samples = to_samples(read(root / source).table)
    assert [sample.split for sample in samples] == expected
