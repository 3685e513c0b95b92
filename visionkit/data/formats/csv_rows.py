"""CSV: a row a picture or a box, with a header.

Columns, by any of their usual names: a path; a label (or `labels`, a JSON list); corners in
pixels; width and height of the picture; split; source and created of a box. Comma, semicolon
or tab. Without a header the columns are path and label.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from visionkit.data.formats.border import Border
from visionkit.data.formats.entry import Entry, EntryBox, stated_size
from visionkit.data.formats.paths import split_in_name
from visionkit.data.formats.place import place, short
from visionkit.data.formats.text import TextError, read_text
from visionkit.data.picture_files import IMAGE_SUFFIXES, is_junk
from visionkit.data.problems import escape_cell, unescape_cell
from visionkit.files import write_text
from visionkit.types import Sample, Split

FILE_NAME = "labels.csv"
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_COLUMNS = ("path", "width", "height", "split", "labels", "label", *_CORNERS, "source", "created")
_ALIASES = {
    "path": "path filename file_name file image image_path filepath file_path img image_id",
    "label": "label class class_name category name target",
    "labels": "labels classes tags",
    "xmin": "xmin x_min x1 left",
    "ymin": "ymin y_min y1 top",
    "xmax": "xmax x_max x2 right",
    "ymax": "ymax y_max y2 bottom",
    "width": "width image_width img_width",
    "height": "height image_height img_height",
    "split": "split subset set",
    "source": "source",
    "created": "created",
}
_BY_ALIAS = {alias: name for name, aliases in _ALIASES.items() for alias in aliases.split()}


def find(folder: Path) -> list[Path]:
    """CSV files right in a folder that have a column for paths."""
    files = (file for file in (*folder.glob("*.csv"), *folder.glob("*.tsv")))
    return sorted(file for file in files if not is_junk(file.name) and _has_paths(file))


def collect(source: Path, border: Border) -> None:
    """Adds what a CSV file, or all CSV files of a folder, state."""
    for file in find(source) if source.is_dir() else [source]:
        try:
            rows, columns = _read_rows(file)
            _File(file, border, columns).collect(rows)
        except TextError as error:
            border.report(file, error.line, error.reason)


def write(samples: Sequence[Sample], folder: Path) -> dict[str, str]:
    """Writes labels.csv, a row a box, or a row where there is none; returns paths by id."""
    names = place(samples, lambda _: "images")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for sample in samples:
        labels = json.dumps(list(sample.labels), ensure_ascii=False) if sample.labels else ""
        picture = [names[sample.id], sample.width, sample.height, sample.split, labels]
        boxes = [
            [entry.label, *(short(value) for value in entry.box), entry.source, entry.created]
            for entry in sample.objects
        ]
        for box in boxes or [[""] * 7]:
            writer.writerow(
                escape_cell(cell) if isinstance(cell, str) else cell for cell in [*picture, *box]
            )
    write_text(folder / FILE_NAME, text.getvalue())
    return names


def _has_paths(file: Path) -> bool:
    try:
        return "path" in _read_rows(file)[1]
    except TextError:
        return file.suffix == ".csv"  # so that it is read, and what is wrong reported


def _read_rows(file: Path) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Rows below the header with their lines, and the known names of the columns."""
    # Not splitlines, which ends a line at signs of Unicode, too, that a file name may hold.
    lines = list(io.StringIO(read_text(file), newline=""))
    delimiter = max(",;\t", key=lines[0].count)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, [unescape_cell(cell) for cell in row]) for row in reader if row]
    except csv.Error as error:
        raise TextError(f"the row is broken ({error})", reader.line_num) from error
    if not rows:
        raise TextError("the file must have a header", 1)
    header = [_BY_ALIAS.get(cell.strip().lower(), "") for cell in rows[0][1]]
    if not any(header) and Path(rows[0][1][0].strip()).suffix.lower() in IMAGE_SUFFIXES:
        return rows, ["path", "label", *[""] * (len(rows[0][1]) - 2)][: len(rows[0][1])]
    return rows[1:], header


@dataclass
class _File:
    file: Path
    border: Border
    columns: Sequence[str]

    def collect(self, rows: Sequence[tuple[int, list[str]]]) -> None:
        self._check_columns()
        if not rows:
            raise TextError("the file must have rows below its header, but the set is empty")
        entries: dict[Path, Entry] = {}
        conflicting: set[Path] = set()
        for line, cells in rows:
            row = self._row(line, cells)
            entry = None if row is None else self._entry(line, row)
            if row is None or entry is None:
                continue
            first = entries.setdefault(entry.path, entry)
            if first.split != entry.split:
                self._report(
                    line,
                    f"a picture must be in one split, but {row['path']!r} is in "
                    f"{entry.split or 'none'} here and in {first.split or 'none'} in line "
                    f"{first.line}, where it stays",
                    "warning",
                )
            if first.labels != entry.labels:
                self._report(
                    line,
                    f"a picture must have one label, but {row['path']!r} has {entry.labels} here "
                    f"and {first.labels} in line {first.line}; left out "
                    "(several labels are a JSON list in a column `labels`)",
                )
                conflicting.add(entry.path)
            elif first is not entry and not (entry.boxes or entry.lost):
                self._report(line, f"the row repeats line {first.line}", "warning")
            elif first is not entry:
                first.boxes += entry.boxes
                first.lost += entry.lost
        for path, entry in entries.items():
            if path not in conflicting:
                self.border.add(entry)

    def _check_columns(self) -> None:
        corners = [name for name in _CORNERS if name in self.columns]
        if "path" not in self.columns:
            raise TextError(f"a column must be named path (or {_ALIASES['path']})", 1)
        if "label" not in self.columns and "labels" not in self.columns:
            raise TextError(f"a column must be named label (or {_ALIASES['label']})", 1)
        if corners and len(corners) < 4:
            raise TextError(f"boxes must have the columns {_CORNERS}, got only {corners}", 1)

    def _report(self, line: int, reason: str, level: str = "error") -> None:
        self.border.report(self.file, line, reason, "warning" if level == "warning" else "error")

    def _row(self, line: int, cells: Sequence[str]) -> dict[str, str] | None:
        """Column name -> cell; the first of columns that have one name counts."""
        if len(cells) != len(self.columns):
            reason = f"the row must have {len(self.columns)} cells, got {len(cells)}; left out"
            self._report(line, reason)
            return None
        row: dict[str, str] = {}
        for name, cell in zip(self.columns, cells, strict=True):
            row.setdefault(name, cell)
        return row

    def _entry(self, line: int, row: Mapping[str, str]) -> Entry | None:
        """What the row says of its picture, or None where it was reported."""
        label = row.get("label", "").strip()
        corners = [row.get(name, "").strip() for name in _CORNERS]
        labels = self._labels(line, row, "" if any(corners) else label)
        if labels is None:
            return None
        if not (label or labels or "xmin" in self.columns):
            self._report(line, "the label must not be empty; left out")
            return None
        folders = [self.file.parent, self.file.parent / "images"]
        path = self.border.resolve(row["path"], folders, self.file, line)
        if path is None:
            return None
        entry = Entry(path, self.file, line, labels=labels, split=self._split(line, row))
        entry.states_split = "split" in row
        entry.size = _size(row)
        if any(corners):
            self._add_box(entry, label, corners, row, line)
        return entry

    def _labels(self, line: int, row: Mapping[str, str], label: str) -> list[str] | None:
        stated = row.get("labels", "").strip()
        if not stated:
            return [label] if label else []
        try:
            values = json.loads(stated) if stated.startswith("[") else stated.split("|")
        except (json.JSONDecodeError, RecursionError):
            self._report(line, f"labels must be a JSON list, got {stated!r:.80}; left out")
            return None
        return [str(value) for value in values]

    def _split(self, line: int, row: Mapping[str, str]) -> Split:
        stated = row.get("split", "").strip()
        split = stated if stated in get_args(Split) else split_in_name(stated)
        if stated and not split:
            reason = f"the split must be train, val or test, got {stated!r}; none is taken"
            self._report(line, reason, "warning")
        return cast(Split, split) or split_in_name(self.file.stem)

    def _add_box(
        self, entry: Entry, label: str, corners: Sequence[str], row: Mapping[str, str], line: int
    ) -> None:
        try:
            x_min, y_min, x_max, y_max = (float(text) for text in corners)
        except ValueError:
            self._report(line, f"corners must be 4 numbers, got {list(corners)}; left out")
            entry.lost += 1
            return
        source, created = row.get("source", "") or "human", row.get("created", "")
        box = (x_min, y_min, x_max, y_max)
        entry.boxes.append(EntryBox(label, box, line, source=source, created=created))


def _size(row: Mapping[str, str]) -> tuple[int, int] | None:
    try:
        return stated_size(float(row.get("width", "")), float(row.get("height", "")))
    except ValueError:
        return None
