"""Layouts that other tools write, where pictures lie, and real sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.formats.sets import (
    BOX,
    COCO_FILE,
    MANIFEST,
    VOC_FILE,
    YOLO_LINE,
    boxes_of,
    save_picture,
    write_files,
)
from visionkit.data.formats import NothingLeftError, detect, read
from visionkit.data.table import to_samples


@pytest.mark.parametrize(
    ("files", "format", "expected"),
    [
        ({"annotations/instances_val2017.json": COCO_FILE, "val2017/a.png": ""}, "coco", BOX),
        ({"train/_annotations.coco.json": COCO_FILE, "train/a.png": ""}, "coco", BOX),
        ({"Annotations/a.xml": VOC_FILE, "JPEGImages/a.png": ""}, "voc", BOX),
        ({"annotations/b.xml": VOC_FILE, "images/b.png": ""}, "voc", BOX),
        ({"a.xml": VOC_FILE, "a.png": ""}, "voc", BOX),
        ({"a.txt": YOLO_LINE, "a.png": "", "classes.txt": "cola\n"}, "yolo", BOX),
        (
            {
                "data.yaml": "names: {0: cola}\ntrain: ../train/images\n",
                "train/labels/a.txt": YOLO_LINE,
                "train/images/a.png": "",
            },
            "yolo",
            BOX,
        ),
        ({"output.manifest": MANIFEST, "key/a.png": ""}, "groundtruth", BOX),
        ({"t.csv": "file;class;x1;y1;x2;y2\na.png;cola;1;2;10;10", "a.png": ""}, "csv", BOX),
        (
            {"a.bboxes.tsv": "1\t2\t10\t10\n", "a.bboxes.labels.tsv": "cola", "a.png": ""},
            "cntk",
            BOX,
        ),
        ({"t.csv": "path,label\na.png,cola\n", "a.png": ""}, "csv", "cola"),
        ({"t.csv": 'path,labels\na.png,"[""cola""]"\n', "a.png": ""}, "csv", "cola"),
        ({"t.csv": "a.png, cola, 3\n", "a.png": ""}, "csv", "cola"),
        ({"train/cola/deep/a.png": ""}, "folders", "cola"),
    ],
)
def test_layouts_of_other_tools(
    tmp_path: Path, files: dict[str, str], format: str, expected: object
) -> None:
    write_files(tmp_path, files)
    assert detect(tmp_path) == format
    (found,) = boxes_of(tmp_path).values()
    if isinstance(expected, str):
        assert found == [expected]
    else:
        ((label, box),) = found
        assert label == expected[0]
        assert box == pytest.approx(expected[1], abs=1e-4)


def test_image_root_is_where_pictures_are_and_the_border(tmp_path: Path) -> None:
    write_files(tmp_path, {"labels/x.json": COCO_FILE, "pictures/a.png": "", "other/c.png": ""})
    file = tmp_path / "labels" / "x.json"
    assert boxes_of(file, image_root=tmp_path / "pictures") == {"a.png": [BOX]}
    with pytest.raises(NothingLeftError, match="set image_root"):
        read(file, image_root=tmp_path / "other")
    with pytest.raises(FileNotFoundError, match="image_root must be a folder"):
        read(file, image_root=tmp_path / "gone")


def test_windows_separators_and_both_forms_of_accents(tmp_path: Path) -> None:
    save_picture(tmp_path / "deep" / "nfd_e\u0301.png")
    write_files(tmp_path, {"t.csv": "path,label\ndeep\\nfd_\u00e9.png,cola\n"})
    assert list(boxes_of(tmp_path).values()) == [["cola"]]


@pytest.mark.parametrize(
    ("folder", "pictures", "boxes", "problems"),
    [  # counts of the manifest, less the two boxes of zero size that it names
        ("localization/bccd", 364, {"RBC": 4155 - 2, "WBC": 372, "Platelets": 361}, 2),
        ("localization/raccoon", 200, {"raccoon": 217}, 0),
        ("localization/raccoon/train_labels.csv", 160, {"raccoon": 173}, 0),
        ("localization/tomato_yolo", 81, {"Tomato": 1183}, 1),
        ("classification/hymenoptera", 398, {}, 0),
        ("exemplar/fridge/testImages", 5, {"squash": 10, "water": 5}, 0),
    ],
)
def test_real_sets(
    shared_data: Path, folder: str, pictures: int, boxes: dict[str, int], problems: int
) -> None:
    result = read(shared_data / folder)
    samples = to_samples(result.table)
    found = [box.label for sample in samples for box in sample.objects]
    assert len(samples) == pictures
    assert {label: found.count(label) for label in boxes} == boxes
    assert len(result.problems) == problems
