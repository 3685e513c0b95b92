"""CNTK's object detection: `N.bboxes.tsv` and `N.bboxes.labels.tsv` beside a picture.

A line a box: xmin, ymin, xmax, ymax in pixels; and, in the same order, a line a label. This
form is read only.
"""

from __future__ import annotations

from pathlib import Path

from visionkit.data.formats.border import Border
from visionkit.data.formats.entry import Entry, EntryBox
from visionkit.data.formats.paths import split_in_path
from visionkit.data.formats.text import TextError, read_text
from visionkit.data.picture_files import IMAGE_SUFFIXES, find_images, is_junk

_BOXES = ".bboxes.tsv"
_LABELS = ".bboxes.labels.tsv"


def find(folder: Path) -> list[Path]:
    """Box files in a folder and below it."""
    return sorted(file for file in folder.rglob(f"*{_BOXES}") if not is_junk(file.name))


def collect(source: Path, border: Border) -> None:
    """Adds the pictures of a folder that have a box file, or that of one box file."""
    files = find(source) if source.is_dir() else [source]
    for file in files:
        stem = file.name.removesuffix(_BOXES)
        pictures = (file.with_name(stem + suffix) for suffix in sorted(IMAGE_SUFFIXES))
        name = next((path.name for path in pictures if path.is_file()), f"{stem}.jpg")
        path = border.resolve(name, [file.parent], file, None)
        if path is not None:
            entry = Entry(path, file, split=split_in_path(border.inside(file)))
            _read_boxes(entry, file.with_name(stem + _LABELS), border)
            border.add(entry)
    if source.is_dir() and files:
        without = [path for path in find_images(source) if path not in border.entries]
        border.report_many(source, without, "pictures without a box file are left out")


def _read_boxes(entry: Entry, labels_file: Path, border: Border) -> None:
    try:
        if not entry.file.read_bytes().strip():
            return  # a picture without any box
        boxes = read_text(entry.file).split("\n")
        labels = read_text(labels_file).split("\n")
    except TextError as error:
        border.report(entry.file, error.line, f"{error.reason} [{labels_file.name}]; left out")
        entry.lost += 1
        return
    for line, text in enumerate(boxes, start=1):
        if not text.strip():
            continue
        try:
            x_min, y_min, x_max, y_max = (float(word) for word in text.split())
        except ValueError:
            reason = f"a line must have 4 numbers, got {text.strip()!r:.80}; left out"
            border.report(entry.file, line, reason)
            entry.lost += 1
            continue
        label = labels[line - 1] if line <= len(labels) else ""
        entry.boxes.append(EntryBox(label, (x_min, y_min, x_max, y_max), line))
