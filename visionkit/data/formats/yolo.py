"""YOLO: a text file a picture, a line a box: class number, centre, width and height.

All are fractions of the picture. Class names stand in data.yaml, classes.txt or obj.names;
the file of a picture lies beside it, or in `labels` where the picture lies in `images`.
Polygons are read as their box. Key points (`kpt_shape` in data.yaml) are not carried.
data.yaml names the folders of each split, or text files that list its pictures, a path a line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from visionkit.data.formats.border import Border
from visionkit.data.formats.entry import Box, Entry, EntryBox, around
from visionkit.data.formats.paths import candidates, is_file, is_folder, split_in_path
from visionkit.data.formats.place import by_split, class_names, place
from visionkit.data.formats.text import TextError, read_text
from visionkit.data.picture_files import IMAGE_SUFFIXES, find_images
from visionkit.files import write_text
from visionkit.types import ObjectBox, Sample, Split

_NAME_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")
_SPLIT_KEYS: tuple[tuple[str, Split], ...] = (("train", "train"), ("val", "val"), ("test", "test"))
_SLACK = 1e-3
"""How far a fraction may lie outside of 0..1: three digits are common."""


@dataclass(frozen=True)
class _Set:
    """What the file of class names says.

    Attributes:
        names: number -> class; None where there is no file.
        folders, listed: folder, and picture of a list -> split; a list counts more.
        with_key_points: whether lines hold key points behind the box.
    """

    names: Mapping[int, str] | None = None
    folders: Mapping[Path, Split] = field(default_factory=dict)
    listed: Mapping[Path, Split] = field(default_factory=dict)
    with_key_points: bool = False


def find(folder: Path) -> list[Path]:
    """The file of class names, or else label files in `labels` or beside pictures."""
    named = [folder / name for name in _NAME_FILES if (folder / name).is_file()]
    if named:
        return named
    beside = (
        file
        for file in folder.glob("*.txt")
        if any(file.with_suffix(suffix).is_file() for suffix in IMAGE_SUFFIXES)
    )
    return sorted((*folder.glob("labels/**/*.txt"), *folder.glob("*/labels/*.txt"), *beside))


def collect(source: Path, border: Border) -> None:
    """Adds the pictures of a YOLO folder (or of that of a data.yaml) and their boxes."""
    described = _describe(source, border)
    try:
        pictures = find_images(border.root)
    except FileNotFoundError as error:
        if source.is_file() or find(source):  # else nothing is of this format
            border.report(source, None, str(error))
        return
    if any("images" in path.relative_to(border.root).parts for path in pictures):
        pictures = [path for path in pictures if "images" in path.relative_to(border.root).parts]
    without = []
    for path in pictures:
        file = Path(label_path(path.as_posix()))
        entry = Entry(path, file, split=_split(path, described, border))
        entry.states_split = path in described.listed
        if file.is_file():
            _read_labels(entry, described, border)
        else:
            without.append(path)
        border.add(entry)
    if described.names is None:
        names = ", ".join(_NAME_FILES)
        reason = f"class names must stand in one of {names}; numbers are used as names"
        border.report(source, None, reason, "warning")
    reason = "pictures without a label file are taken as without any box"
    border.report_many(source, without, reason)


def write(samples: Sequence[Sample], folder: Path) -> dict[str, str]:
    """Writes labels/ and data.yaml; returns the picture's path by id."""
    names = place(samples, lambda sample: f"images/{sample.split or 'unassigned'}")
    numbers = {label: number for number, label in enumerate(class_names(samples))}
    for sample in samples:
        lines = [_line(entry, sample, numbers) for entry in sample.objects]
        write_text(folder / label_path(names[sample.id]), "".join(lines))
    parts = by_split(samples)
    paths = {key: f"images/{split}" for key, split in _SPLIT_KEYS if split in parts}
    # Other tools insist on both.
    paths.setdefault("train", "images/unassigned")
    paths.setdefault("val", paths.get("test", paths["train"]))
    content = {"path": ".", **paths, "names": {number: label for label, number in numbers.items()}}
    write_text(folder / "data.yaml", yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
    return names


def label_path(picture: str) -> str:
    """The label file of a picture, as other tools find it: the last `images` becomes `labels`.

    >>> label_path("set/images/train/a.jpg"), label_path("set/a.jpg")
    ('set/labels/train/a.txt', 'set/a.txt')
    """
    path = PurePosixPath(picture)
    parts = list(path.parent.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return PurePosixPath(*parts, f"{path.stem}.txt").as_posix()


def _line(entry: ObjectBox, sample: Sample, numbers: Mapping[str, int]) -> str:
    x_min, y_min, x_max, y_max = entry.box
    values = (
        (x_min + x_max) / 2 / sample.width,
        (y_min + y_max) / 2 / sample.height,
        (x_max - x_min) / sample.width,
        (y_max - y_min) / sample.height,
    )
    # All digits: pixels must come back to the last bit of float32.
    return " ".join([str(numbers[entry.label]), *(repr(value) for value in values)]) + "\n"


def _describe(source: Path, border: Border) -> _Set:
    """Reads the file of class names."""
    folder = source if source.is_dir() else source.parent
    named = [source] if source.is_file() else [folder / name for name in _NAME_FILES]
    file = next((each for each in named if each.is_file()), None)
    if file is None:
        return _Set()
    try:
        text = read_text(file)
        if file.suffix in (".yaml", ".yml"):
            return _read_yaml(file, text, border)
    except TextError as error:
        border.report(file, error.line, error.reason)
        return _Set()
    return _Set(dict(enumerate(line.strip() for line in text.rstrip().splitlines())))


def _read_yaml(file: Path, text: str, border: Border) -> _Set:
    try:
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise TextError(f"the YAML is broken ({error.problem})", line) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise TextError(f"the YAML is broken ({error})") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(isinstance(number, int) for number in names):
        raise TextError("names must be a list, or a number and a name a line")
    folders, listed = _read_splits(file, content, border)
    named = {number: str(name) for number, name in names.items()}
    return _Set(named, folders, listed, with_key_points="kpt_shape" in content)


def _read_splits(
    file: Path, content: Mapping[str, Any], border: Border
) -> tuple[dict[Path, Split], dict[Path, Split]]:
    """Existing folders of a data.yaml -> split, and pictures of its lists -> split.

    The first split that names a folder or a picture has it.
    """
    path = content.get("path")
    bases = [file.parent / path, file.parent] if isinstance(path, str) else [file.parent]
    folders: dict[Path, Split] = {}
    listed: dict[Path, Split] = {}
    for key, split in _SPLIT_KEYS:
        stated = content.get(key)
        for name in stated if isinstance(stated, list) else [stated]:
            if not isinstance(name, str) or not name:
                continue
            found = _folder_or_list(bases, name, border.root)
            if found is None:
                border.report(file, None, f"{key} names {name}, which is not there", "warning")
            elif is_folder(found):
                folders.setdefault(found, split)
            else:
                for picture in _read_list(found, bases, border):
                    listed.setdefault(picture, split)
    return folders, listed


def _folder_or_list(bases: Sequence[Path], name: str, root: Path) -> Path | None:
    """The folder or text file `name` below `root`, in the first of `bases` that has it.

    A leading `../`, as Roboflow writes it, is left out where nothing is there.
    """
    inner = name
    while inner.startswith("../"):
        inner = inner.removeprefix("../")
    paths = (Path(os.path.normpath(base / each)) for base in bases for each in (name, inner))
    inside = (path for path in paths if path.is_relative_to(root))
    return next(
        (path for path in inside if is_folder(path) or (path.suffix == ".txt" and is_file(path))),
        None,
    )


def _read_list(file: Path, bases: Sequence[Path], border: Border) -> list[Path]:
    """The pictures that a list names; what it names that is not there, or outside, is said."""
    try:
        lines = read_text(file).split("\n")
    except TextError as error:
        border.report(file, error.line, error.reason, "warning")
        return []
    pictures = []
    lost: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        name = line.removesuffix("\r")
        if not name.strip():
            continue
        paths = candidates(name, [file.parent, *bases])
        inside = (path for path in paths if path.is_relative_to(border.root))
        picture = next((path for path in inside if is_file(path)), None)
        if picture is None:
            lost[number] = name
        else:
            pictures.append(picture)
    if lost:
        number, name = next(iter(lost.items()))
        more = f" and {len(lost) - 1} more of the list" if len(lost) > 1 else ""
        reason = f"the picture {name!r:.200}{more} must exist below {border.root}, but "
        border.report(file, number, reason + ("do not" if more else "does not"), "warning")
    return pictures


def _split(path: Path, described: _Set, border: Border) -> Split:
    if path in described.listed:
        return described.listed[path]
    for folder in path.parents:
        if folder in described.folders:
            return described.folders[folder]
    return split_in_path(border.inside(path))


def _read_labels(entry: Entry, described: _Set, border: Border) -> None:
    if not entry.file.read_bytes().strip():
        return  # a picture without any box
    try:
        lines = read_text(entry.file).splitlines()
    except TextError as error:
        border.report(entry.file, error.line, error.reason)
        entry.lost += 1
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            words = line.split()
            box_words = words[:5] if described.with_key_points else words
            label, box = _parse(box_words, described.names)
        except TextError as error:
            border.report(entry.file, number, f"{error.reason}; left out")
            entry.lost += 1
            continue
        entry.boxes.append(EntryBox(label, box, number, relative=True))


def _parse(words: Sequence[str], names: Mapping[int, str] | None) -> tuple[str, Box]:
    """Label and box, as fractions of width and height, of the words of a line."""
    if not re.fullmatch("[0-9]{1,9}", words[0]):
        raise TextError(f"a line must begin with the number of a class, got {words[0]!r:.80}")
    label = words[0] if names is None else names.get(int(words[0]))
    if label is None:
        raise TextError(f"the class must be one of the {len(names or ())} names, got {words[0]}")
    try:
        values = [float(word) for word in words[1:]]
    except ValueError as error:
        raise TextError(f"a line must hold numbers only, got {' '.join(words)!r:.80}") from error
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        score = " (is the last one the score of a prediction?)" if len(values) == 5 else ""
        raise TextError(
            f"a line must have a class and 4 numbers, or the points of a polygon, "
            f"got {len(values)} numbers{score}"
        )
    if not all(-_SLACK <= value <= 1 + _SLACK for value in values):
        pixels = " (are these pixels?)" if max(values) > 2 else ""
        raise TextError(f"numbers must be fractions in 0..1, got {values}{pixels}")
    if len(values) == 4:
        x, y, width, height = values
        return label, (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return label, around(values)
