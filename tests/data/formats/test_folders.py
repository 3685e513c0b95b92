"""Class folders: classes that are called as splits or as files of desktops are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.formats.sets import said, save_picture, write_files
from visionkit.data.formats import read, write
from visionkit.data.formats.sidecar import NAME
from visionkit.data.images import content_hash, read_image
from visionkit.data.table import to_samples, to_table
from visionkit.types import Sample, Split


def test_class_folders_keep_classes_that_desktops_call_their_files(tmp_path: Path) -> None:
    classes = ("Thumbs.db", "desktop.ini", "__macosx", ".hidden")
    made = []
    for number, label in enumerate(classes):
        path = save_picture(tmp_path / "source" / f"{number}.png", seed=number)
        digest = content_hash(read_image(path))
        made.append(Sample(path.name, path.as_posix(), 40, 30, digest, labels=(label,)))
    write(to_table(made), tmp_path / "set", "folders")
    assert said(to_samples(read(tmp_path / "set", "folders").table)) == said(made)


@pytest.mark.parametrize("classes", [("car", "train"), ("Test", "VAL"), ("train",)])
@pytest.mark.parametrize("splits", [("", ""), ("val", "train")])
@pytest.mark.parametrize("folder", ["", "shelf/"])
def test_class_folders_keep_classes_that_are_called_as_splits_are(
    tmp_path: Path, classes: tuple[str, ...], splits: tuple[Split, Split], folder: str
) -> None:
    made = []
    for number, (label, split) in enumerate(zip(classes, splits, strict=False)):
        path = save_picture(tmp_path / "source" / f"{number}.png", seed=number)
        digest = content_hash(read_image(path))
        made.append(
            Sample(f"{folder}{digest}.png", path.as_posix(), 40, 30, digest, split, (label,))
        )
    write(to_table(made), tmp_path / "set", "folders")
    result = read(tmp_path / "set", "folders")
    assert result.problems == ()
    assert said(to_samples(result.table)) == said(made)
    (tmp_path / "set" / NAME).unlink()
    plain = to_samples(read(tmp_path / "set", "folders").table)
    assert {sample.content_hash: sample.labels for sample in plain} == {
        sample.content_hash: sample.labels for sample in made
    }


@pytest.mark.parametrize(
    ("files", "expected", "words"),
    [
        pytest.param(
            ["car/a.png", "bus/deep/b.png", "train/c.png"],
            {
                "car/a.png": ("", "car"),
                "bus/deep/b.png": ("", "bus"),
                "train/c.png": ("", "train"),
            },
            "train is taken for a class",
            id="a class beside others",
        ),
        pytest.param(
            ["train/car/a.png", "train/bus/b.png", "test/c.png", "more/d.png"],
            {
                "train/car/a.png": ("train", "car"),
                "train/bus/b.png": ("train", "bus"),
                "more/d.png": ("", "more"),
            },
            "left out: c.png",
            id="a split of which the pictures have no class",
        ),
        pytest.param(
            ["train/car/a.png", "train/bus/b.png", "test/c.png"],
            {"train/car/a.png": ("train", "car"), "train/bus/b.png": ("train", "bus")},
            "left out: c.png",
            id="splits alone",
        ),
    ],
)
def test_a_folder_that_is_called_as_a_split_is(
    tmp_path: Path, files: list[str], expected: dict[str, tuple[str, str]], words: str
) -> None:
    result = read(write_files(tmp_path, dict.fromkeys(files, "")), "folders")
    found = {sample.id: (sample.split, *sample.labels) for sample in to_samples(result.table)}
    assert found == expected
    assert [problem.level for problem in result.problems] == ["warning"]
    assert words in result.problems[0].reason
