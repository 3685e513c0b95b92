"""YOLO's lines that hold more than a box, and the splits that data.yaml names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.formats.sets import BOX, YOLO_LINE, boxes_of, save_picture, write_files
from visionkit.data.formats import read, write
from visionkit.data.picture_files import find_images
from visionkit.data.table import to_samples


@pytest.mark.parametrize(
    "points", [" 0.9 0.9 0.8 0.1", " 0.9 0.9 1 0 0 0 0.7 0.7 1 0.1 0.1 1", " 0.5 0.5 2"]
)
def test_key_points_are_no_outline(tmp_path: Path, points: str) -> None:
    files = {
        "data.yaml": "names: [cola]\nkpt_shape: [4, 3]\n",
        "images/a.png": "",
        "labels/a.txt": YOLO_LINE + points,
    }
    (found,) = boxes_of(write_files(tmp_path, files)).values()
    ((label, box),) = found
    assert (label, box) == (BOX[0], pytest.approx(BOX[1], abs=1e-4))


def test_without_key_points_more_numbers_are_an_outline(tmp_path: Path) -> None:
    files = {
        "data.yaml": "names: [cola]\n",
        "images/a.png": "",  # 40 x 30
        "labels/a.txt": "0 0.1 0.2 0.5 0.2 0.3 0.8",
    }
    (found,) = boxes_of(write_files(tmp_path, files)).values()
    assert found == [("cola", pytest.approx((4, 6, 20, 24)))]


def pictures_of(folder: str, *names: str) -> dict[str, str]:
    """The files of pictures with a box each, in `images` and `labels` below a folder."""
    files = {}
    for name in names:
        files[f"{folder}images/{name}.png"] = ""
        files[f"{folder}labels/{name}.txt"] = YOLO_LINE
    return files


def splits_of(source: Path) -> dict[str, str]:
    return {sample.id: sample.split for sample in to_samples(read(source).table)}


@pytest.mark.parametrize(
    ("content", "files"),
    [
        # In the folder that `path` names, as Ultralytics means it, or in that of data.yaml.
        ("path: ds\ntrain: images/a\nval: images/b\n", {}),
        ("path: /gone/ds\ntrain: ds/images/a\nval: ds/images/b\n", {}),
        ("path: 3\ntrain: [ds/images/a, ds/images/gone]\nval: [ds/images/b]\n", {}),
        # Lists: lines are within the list's folder or `path`, or absolute.
        (
            "path: .\ntrain: train.txt\nval: val.txt\n",
            {"train.txt": "./ds/images/a/1.png\r\nds/images/a/2.png\r\n\r\n", "val.txt": "{b}"},
        ),
        (
            "path: ds\ntrain: lists/t.txt\nval: images/b\n",
            {"ds/lists/t.txt": "images/a/1.png\n../images/a/2.png\n"},
        ),
        (
            "path: ds\ntrain: [t.txt, images/a]\nval: [v.txt]\n",
            {"ds/t.txt": "images/a/1.png", "ds/v.txt": "images\\b\\3.png\n{a}\n"},
        ),
    ],
)
def test_splits_are_those_that_data_yaml_names(
    tmp_path: Path, content: str, files: dict[str, str]
) -> None:
    absolute = {"a": f"{tmp_path}/ds/images/a/2.png", "b": f"{tmp_path}/ds/images/b/3.png"}
    files = {name: text.format(**absolute) for name, text in files.items()}
    pictures = pictures_of("ds/", "a/1", "a/2", "b/3")
    write_files(tmp_path, {"data.yaml": f"names: [cola]\n{content}", **pictures, **files})
    in_list = "ds/v.txt" in files  # which names a picture of train's folder, and counts more
    assert splits_of(tmp_path) == {
        "ds/images/a/1.png": "train",
        "ds/images/a/2.png": "val" if in_list else "train",
        "ds/images/b/3.png": "val",
    }
    reasons = [problem.reason for problem in read(tmp_path).problems]
    assert reasons == [
        f"train names {name}, which is not there" for name in ["ds/images/gone"] if name in content
    ]


def test_lines_of_a_list_that_name_no_picture_of_the_set_are_said(tmp_path: Path) -> None:
    save_picture(tmp_path / "outside.png")
    lines = ["images/1.png", f"{tmp_path}/outside.png", "../outside.png", "gone.png", "x" * 5000]
    files = {
        "data.yaml": "names: [cola]\ntrain: t.txt\nval: v.txt\ntest: ../../outside.txt\n",
        "t.txt": "\n".join(lines),
        "v.txt": "",
        **pictures_of("", "1", "2"),
    }
    write_files(tmp_path, {"outside.txt": "images/2.png"})
    source = write_files(tmp_path / "set", files)
    assert splits_of(source) == {"images/1.png": "train", "images/2.png": ""}
    problems = [(Path(p.file).name, p.line, p.level, p.reason) for p in read(source).problems]
    assert problems == [
        (
            "t.txt",
            2,
            "warning",
            f"the picture '{tmp_path}/outside.png' and 3 more of the list must exist below "
            f"{source}, but do not",
        ),
        ("v.txt", None, "warning", "the file is empty; fetch it again, or leave it out"),
        ("data.yaml", None, "warning", "test names ../../outside.txt, which is not there"),
    ]


def test_a_list_that_was_made_since_wins_over_what_was_exported(tmp_path: Path) -> None:
    pictures = pictures_of("", "train/1", "train/2", "train/3")
    files = {"data.yaml": "names: [cola]\ntrain: images/train\n", **pictures}
    source = write_files(tmp_path / "set", files)
    write(read(source).table, tmp_path / "out", "yolo")
    assert set(splits_of(tmp_path / "out").values()) == {"train"}
    first, second, third = find_images(tmp_path / "out")
    lists = {
        "data.yaml": "names: [cola]\ntrain: t.txt\nval: v.txt\n",
        "t.txt": f"{first}\n{third}\n",
        "v.txt": f"{second}\n",
    }
    write_files(tmp_path / "out", lists)
    assert list(splits_of(tmp_path / "out").values()) == ["train", "val", "train"]
