"""What is wrong with a set: said with its place and the way out, and left out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.formats.sets import MANIFEST, csv_file, save_picture, write_files
from visionkit.data.formats import FORMATS, NothingLeftError, read
from visionkit.data.formats.sidecar import NAME
from visionkit.data.table import to_samples


@pytest.mark.parametrize(
    ("text", "line", "words", "boxes_left"),
    [
        (csv_file("a.png,cola,30,2,10,10,40,30", "a.png,cola,1,2,9,9,40,30"), 2, "above 0", 1),
        (csv_file("a.png,cola,1,2,nan,10,40,30", "a.png,cola,1,2,9,9,40,30"), 2, "finite", 1),
        (csv_file("a.png,cola,1,2,x,10,40,30", "a.png,cola,1,2,9,9,40,30"), 2, "4 numbers", 1),
        (csv_file("a.png,,1,2,10,10,40,30", "a.png,cola,1,2,9,9,40,30"), 2, "not be empty", 1),
        (csv_file("a.png,cola,1,2,90,10,40,30"), 2, "cut off at the border", 1),
        (csv_file("a.png,cola,1,2,9,9,40,30", "a.png,cola,2,2,9,9"), 3, "8 cells, got 6", 1),
        (csv_file("a.png,cola,1,2,9,9,80,60", "b.png,cola,1,2,9,9,,"), 2, "got 80 x 60", 1),
        (csv_file("a.png,cola,1,2,9,9,30,40", "b.png,cola,1,2,9,9,,"), 2, "EXIF turn", 1),
        (csv_file("../a.png,cola,1,2,9,9,,", "b.png,cola,1,2,9,9,,"), 2, "must stay below", 1),
        (csv_file("c.png,cola,1,2,9,9,,", "b.png,cola,1,2,9,9,,"), 2, "must exist", 1),
        (csv_file("bad.png,cola,1,2,9,9,,", "b.png,cola,1,2,9,9,,"), None, "is a text file", 1),
    ],
)
def test_problems_are_located(
    tmp_path: Path, text: str, line: int | None, words: str, boxes_left: int
) -> None:
    files = {"set/t.csv": text, "set/a.png": "", "set/b.png": "", "a.png": ""}
    write_files(tmp_path, files)
    (tmp_path / "set/bad.png").write_text("no picture")
    result = read(tmp_path / "set")
    found = [problem for problem in result.problems if words in problem.reason]
    assert [problem.line for problem in found] == [line]
    assert sum(len(sample.objects) for sample in to_samples(result.table)) == boxes_left


def test_rows_of_one_picture_that_state_two_splits_are_named(tmp_path: Path) -> None:
    rows = ("a.png,cola,1,2,9,9,val", "a.png,cola,9,9,20,20,val", "a.png,cola,1,1,5,5,test")
    text = csv_file(*rows, header="path,label,xmin,ymin,xmax,ymax,split")
    result = read(write_files(tmp_path, {"t.csv": text, "a.png": ""}))
    (sample,) = to_samples(result.table)
    assert (sample.split, len(sample.objects)) == ("val", 3)
    (problem,) = result.problems
    assert (problem.line, problem.level) == (4, "warning")
    assert "'a.png' is in test here and in val in line 2, where it stays" in problem.reason


def test_links_to_nowhere_in_folders_of_classes_are_left_out(tmp_path: Path) -> None:
    write_files(tmp_path, {"cat/a.png": "", "dog/b.png": ""})
    (tmp_path / "dog" / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    result = read(tmp_path)
    assert [sample.id for sample in to_samples(result.table)] == ["cat/a.png", "dog/b.png"]
    (problem,) = result.problems
    assert (problem.file, problem.level) == (str(tmp_path / "dog" / "link.jpg"), "error")
    assert "there is no such file" in problem.reason


PICTURE_A = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [], "categories": []}
SIDECAR = '{"version": 1, "pictures": {"a.png": {"id": "a", "split": "", %s, "objects": []}}}'


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"x.json": json.dumps(PICTURE_A).replace('"id"', '"width": 1e999, "id"')}, None),
        ({"x.json": json.dumps(PICTURE_A).replace("1", "9" * 5000)}, "can't be read"),
        ({"x.json": json.dumps(PICTURE_A), NAME: SIDECAR % '"labels": ["\\ud800"]'}, "lost"),
        ({"x.json": json.dumps(PICTURE_A), NAME: SIDECAR % '"labels": [" "]'}, "lost"),
        ({"x.json": json.dumps(PICTURE_A), NAME: "[" * 100_000}, "lost"),
        ({"data.yaml": f"names: [a]\ntrain: {'x' * 5000}"}, "not there"),
        ({"data.yaml": "names: [a]\ntrain: [", "a.txt": ""}, "YAML is broken"),
        ({"a.txt": "9" * 5000 + " .5 .5 .1 .1\n"}, "number of a class"),
        ({"t.csv": 'path,label\na.png,"cola\n'}, "row is broken"),
        (
            {"x.manifest": MANIFEST.replace('"annotations"', '"image_size": [1], "annotations"')},
            None,
        ),
    ],
)
def test_odd_content_is_reported_and_raises_nothing_else(
    tmp_path: Path, files: dict[str, str], words: str | None
) -> None:
    """What mutating the files of sets at random has brought to light."""
    write_files(tmp_path, {"a.png": "", **files})
    try:
        problems = read(tmp_path).problems
    except NothingLeftError as error:
        problems = error.problems
    found = " | ".join(problem.reason for problem in problems)
    assert found == "" if words is None else words in found


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "gone", "check the path"),
        (lambda folder: folder, "can't be told"),
        (lambda folder: write_files(folder, {"a.md": "x"}) / "a.md", "can't be told"),
        (lambda folder: write_files(folder, {"x.json": "{}"}) / "x.json", "nothing is left"),
    ],
)
def test_nothing_to_read(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        read(make(tmp_path))


@pytest.mark.parametrize("format", FORMATS)
def test_a_folder_without_anything_says_what_was_expected(format: str, tmp_path: Path) -> None:
    words = f"{tmp_path} must hold .*, but holds {{}}; check the path, or say another format"
    with pytest.raises(FileNotFoundError, match=words.format("nothing")):
        read(tmp_path, format)
    write_files(tmp_path, {f"{name}.md": "x" for name in "abcde"})
    with pytest.raises(FileNotFoundError, match=words.format(r"a\.md, b\.md, c\.md and 2 more")):
        read(tmp_path, format)


def test_a_set_without_pictures_is_none_of_another_format(tmp_path: Path) -> None:
    content = {"images": [], "annotations": [], "categories": []}
    write_files(tmp_path, {"annotations.json": json.dumps(content)})
    with pytest.raises(NothingLeftError):
        read(tmp_path, "coco")


def test_a_format_that_can_not_be_told_says_what_is_there(tmp_path: Path) -> None:
    words = "the format of {}, which holds {}, can't be told; check the path, or say which it is"
    with pytest.raises(ValueError, match=words.format(tmp_path, "nothing")):
        read(tmp_path)
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ValueError, match=words.format(tmp_path, "pictures")):
        read(tmp_path)


def test_copies_that_contradict_each_other_are_reported(tmp_path: Path) -> None:
    save_picture(tmp_path / "cola" / "1.png")
    shutil.copytree(tmp_path / "cola", tmp_path / "pepsi")
    result = read(tmp_path, "items")
    assert len(to_samples(result.table)) == 2
    (problem,) = result.problems
    assert problem.reason == (
        "copies must have the same labels, but this is a copy of cola/1.png with others"
    )


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode there")
def test_names_that_are_no_utf8_are_left_out(tmp_path: Path) -> None:
    save_picture(tmp_path / "cola" / "1.png")
    os.rename(tmp_path / "cola" / "1.png", os.fsencode(tmp_path / "cola") + b"/\xff.png")
    save_picture(tmp_path / "cola" / "2.png")
    result = read(tmp_path, "folders")
    assert [sample.id for sample in to_samples(result.table)] == ["cola/2.png"]
    assert "its name is not UTF-8; rename it" in result.problems[0].reason


def test_what_can_t_be_told_names_the_options_that_say_it(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no data set", "utf-8")
    with pytest.raises(ValueError, match=r"data\.format= of train, source_format= of versions"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"source_format= of versions import"):
        read(tmp_path, "coco")
