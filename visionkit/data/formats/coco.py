"""COCO object detection: JSON files with images, annotations and categories.

Lin et al., "Microsoft COCO", ECCV 2014; https://cocodataset.org/#format-data. Boxes are
x, y, width, height in pixels, from 0. Where there is none, polygons and masks are read as their
box. Key points are not carried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from visionkit.data.formats.border import Border
from visionkit.data.formats.entry import Box, Entry, EntryBox, around, numbers, stated_size
from visionkit.data.formats.paths import split_in_name
from visionkit.data.formats.place import (
    by_split,
    class_names,
    place,
    short,
    split_suffix,
    to_xywh,
)
from visionkit.data.formats.rle import read_mask
from visionkit.data.formats.sidecar import NAME
from visionkit.data.formats.text import JsonObject, TextError, read_text
from visionkit.data.picture_files import is_junk
from visionkit.files import write_json
from visionkit.types import Sample, Split

_LISTS = ("images", "annotations", "categories")
Element = tuple[int, Any]


def find(folder: Path) -> list[Path]:
    """COCO files right in a folder, in its `annotations`, or in a folder a split."""
    files = [*folder.glob("*.json"), *folder.glob("*/*.json")]
    return sorted(
        file
        for file in files
        if file.name != NAME and not is_junk(file.name) and _looks_like_coco(file)
    )


def collect(source: Path, border: Border) -> None:
    """Adds what a COCO file, or all COCO files of a folder, state."""
    files = find(source) if source.is_dir() else [source]
    # Beside a file of a split one of none says that its pictures are in none.
    states_split = any(_split(file, source) for file in files)
    for file in files:
        try:
            content = JsonObject(read_text(file))
            _check_lists(content)
        except TextError as error:
            border.report(file, error.line, error.reason)
            continue
        _File(file, border, content, _split(file, source), states_split).collect()


def write(samples: Sequence[Sample], folder: Path) -> dict[str, str]:
    """Writes `annotations.json`, or one file a split; returns the picture's path by id."""
    names = place(samples, lambda _: "images")
    write_annotations(samples, folder, names)
    return names


def write_annotations(samples: Sequence[Sample], folder: Path, names: Mapping[str, str]) -> None:
    """Writes `annotations.json`, or one file a split, for pictures at `names` (by id)."""
    categories = {label: number for number, label in enumerate(class_names(samples), start=1)}
    parts = by_split(samples)
    for split, part in (parts or {"": []}).items():
        file = folder / f"annotations{split_suffix(split, parts)}.json"
        write_json(file, _to_json(part, names, categories))


def _to_json(
    samples: Sequence[Sample], names: Mapping[str, str], categories: Mapping[str, int]
) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, sample in enumerate(samples, start=1):
        images.append(
            {
                "id": number,
                "file_name": names[sample.id],
                "width": sample.width,
                "height": sample.height,
            }
        )
        for entry in sample.objects:
            left, top, width, height = to_xywh(entry)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": categories[entry.label],
                    "bbox": [left, top, width, height],
                    "area": short(width * height),
                    "iscrowd": 0,
                }
            )
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": label} for label, number in categories.items()],
    }


def _looks_like_coco(file: Path) -> bool:
    with file.open("rb") as opened:
        head = opened.read(1 << 16).replace(b"\0", b"")  # UTF-16 has a zero in every sign
        tail = opened.read() if b'"images"' not in head else b""
    return b'"images"' in head + tail


def _check_lists(content: JsonObject) -> None:
    missing = [name for name in _LISTS if name not in content.lists]
    if missing:
        raise TextError(
            f"COCO must have the lists {', '.join(_LISTS)}, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing; export it again"
        )


@dataclass
class _File:
    file: Path
    border: Border
    content: JsonObject
    split: Split
    states_split: bool
    outlined: Counter[str] = field(default_factory=Counter)

    def collect(self) -> None:
        categories = self._by_id("categories", self._category)
        entries = self._by_id("images", self._image)
        for line, annotation in self.content.lists["annotations"]:
            self._annotation(line, annotation, categories, entries)
        for kind, count in sorted(self.outlined.items()):
            reason = f"annotations without bbox: {count}; the box around their {kind} is taken"
            self.border.report(self.file, None, reason, "warning")
        for entry in entries.values():
            if entry is not None:
                self.border.add(entry)

    def _report(self, line: int, reason: str) -> None:
        self.border.report(self.file, line, f"{reason}; left out")

    def _by_id(
        self, name: str, convert: Callable[[int, Mapping[str, Any]], Any]
    ) -> dict[int | str, Any]:
        """Id -> converted element; None where it can't be used, or two have the id."""
        found: dict[int | str, Any] = {}
        lines: dict[int | str, int] = {}
        for line, element in self.content.lists[name]:
            number = element.get("id") if isinstance(element, dict) else None
            if isinstance(number, bool) or not isinstance(number, int | str):
                self._report(line, f"an element of {name} must be an object with an id")
            elif number in found:
                self._report(
                    line,
                    f"ids of {name} must differ, but {number!r} is also in line {lines[number]}; "
                    "it is not known which is meant: both are",
                )
                found[number] = None
            else:
                lines[number] = line
                found[number] = convert(line, element)
        return found

    def _category(self, line: int, category: Mapping[str, Any]) -> str | None:
        name = category.get("name")
        if isinstance(name, str) and name.strip():
            return name
        self._report(line, f"a category must have a name, got {name!r}")
        return None

    def _image(self, line: int, image: Mapping[str, Any]) -> Entry | None:
        path = self.border.resolve(image.get("file_name"), self._folders(), self.file, line)
        if path is None:
            return None
        size = stated_size(image.get("width"), image.get("height"))
        entry = Entry(path, self.file, line, split=self.split, size=size)
        entry.states_split = self.states_split
        return entry

    def _folders(self) -> list[Path]:
        """Where pictures lie, in the layouts of COCO itself, of Roboflow and of CVAT."""
        folder, above = self.file.parent, self.file.parent.parent
        plain = [folder, folder / "images", folder / "img"]
        stem = self.file.stem.removeprefix("instances_")
        return [*plain, above, above / "images", above / stem, above / "images" / stem]

    def _annotation(
        self,
        line: int,
        annotation: object,
        categories: Mapping[int | str, str | None],
        entries: Mapping[int | str, Entry | None],
    ) -> None:
        if not isinstance(annotation, dict):
            self._report(line, "an annotation must be an object")
            return
        image_id, category_id = annotation.get("image_id"), annotation.get("category_id")
        if not _known(image_id, entries):
            self._report(line, f"image_id must be one of the images, got {image_id!r}")
            return
        entry = entries[image_id]
        if entry is None:
            return  # its picture was reported
        box = self._box(line, annotation, entry)
        if box is None:
            entry.lost += 1
        elif not _known(category_id, categories):
            self._report(line, f"category_id must be one of the categories, got {category_id!r}")
            entry.lost += 1
        elif categories[category_id] is None:
            entry.lost += 1
        else:
            entry.boxes.append(EntryBox(str(categories[category_id]), box, line))

    def _box(self, line: int, annotation: Mapping[str, Any], entry: Entry) -> Box | None:
        stated, segmentation = annotation.get("bbox"), annotation.get("segmentation")
        values = numbers(stated, 4)
        mask = None if stated else read_mask(segmentation)
        polygons = None if stated else _around(segmentation)
        if values is None and mask is None and polygons is None:
            reason = f"bbox must be 4 numbers x, y, width, height, got {stated!r:.80}"
            if isinstance(segmentation, dict):
                reason = f"a mask must have runs for all its pixels, some of them on it; {reason}"
            self._report(line, f"{reason}, and no polygons in its place")
            return None
        if annotation.get("iscrowd"):
            self._report(line, "the box must be of one thing, but is of a crowd (iscrowd)")
            return None
        if mask is not None:
            return self._of_mask(line, *mask, entry)
        if values is None:
            self.outlined["polygons"] += 1
            return polygons
        left, top, width, height = values
        return left, top, left + width, top + height

    def _of_mask(self, line: int, box: Box, size: tuple[int, int], entry: Entry) -> Box | None:
        """The box around a mask; None where it is of another size than its picture."""
        if entry.size is None:
            entry.size = size
        if entry.size != size:
            self._report(
                line,
                "the mask must be of the size of its picture, "
                f"{entry.size[0]} x {entry.size[1]}, got {size[0]} x {size[1]}",
            )
            return None
        self.outlined["masks"] += 1
        return box


def _split(file: Path, source: Path) -> Split:
    """The split that a file's name states, or a folder of the set, whose own name says nothing."""
    if file.parent == (source if source.is_dir() else source.parent):
        return split_in_name(file.stem)
    return split_in_name(file.stem) or split_in_name(file.parent.name)


def _around(segmentation: object) -> Box | None:
    """The box around a list of polygons, each a list x, y, x, y ...; None of anything else.

    >>> _around([[1, 2, 9, 2, 5, 8]]), _around({"counts": "x", "size": [4, 4]}), _around([])
    ((1.0, 2.0, 9.0, 8.0), None, None)
    """
    if not isinstance(segmentation, list) or not segmentation:
        return None
    points: list[float] = []
    for polygon in segmentation:
        count = len(polygon) if isinstance(polygon, list) else 0
        values = numbers(polygon, count)
        if values is None or count < 6 or count % 2:
            return None
        points += values
    return around(points)


def _known(key: object, among: Mapping[int | str, object]) -> TypeGuard[int | str]:
    return isinstance(key, int | str) and key in among
