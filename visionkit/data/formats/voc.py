"""Pascal VOC: an XML file a picture.

Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2010. Corners are taken
as they stand, in pixels; no 1 is subtracted, because hardly any tool but the first counts
from 1. Where an object has no bndbox, the box around its polygon is taken, and counted. Parts,
poses and the flags difficult and truncated are not carried.
"""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from visionkit.data.formats.border import Border
from visionkit.data.formats.entry import Entry, EntryBox, around
from visionkit.data.formats.paths import is_file, split_in_path
from visionkit.data.formats.place import by_split, place, short
from visionkit.data.formats.text import Element, TextError, read_text, read_xml
from visionkit.data.picture_files import IMAGE_SUFFIXES, is_junk
from visionkit.files import write_bytes, write_text
from visionkit.types import ObjectBox, Sample, Split

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_LISTS = Path("ImageSets") / "Main"


def find(folder: Path) -> list[Path]:
    """XML files in a folder and below it."""
    return sorted(file for file in folder.rglob("*.xml") if not is_junk(file.name))


def collect(source: Path, border: Border) -> None:
    """Adds what an XML file, or all XML files of a folder, state."""
    files = find(source) if source.is_dir() else [source]
    splits, all_listed = _read_splits(border)
    outlined: Counter[str] = Counter()
    for file in files:
        try:
            root = read_xml(file)
            if root.tag != "annotation":
                raise TextError(f"the XML must begin with <annotation>, got <{root.tag}>", 1)
        except TextError as error:
            border.report(file, error.line, f"{error.reason}; left out")
            continue
        path = _find_picture(root, file, border)
        if path is not None:
            split = splits.get(file.stem) or split_in_path(border.inside(file))
            entry = _entry(root, path, file, split, border, outlined)
            entry.states_split = all_listed
            border.add(entry)
    for kind, count in outlined.items():
        reason = f"objects without bndbox: {count}; the box around their {kind} is taken"
        border.report(source, None, reason, "warning")
    if source.is_dir() and files:
        _report_unlisted(source, border)


def write(samples: Sequence[Sample], folder: Path) -> dict[str, str]:
    """Writes Annotations/ and ImageSets/Main/; returns the picture's path by id."""
    names = place(samples, lambda _: "JPEGImages", flat=True)
    for sample in samples:
        picture = Path(names[sample.id])
        root = _to_xml(sample, picture.name)
        ET.indent(root)
        content = ET.tostring(root, encoding="utf-8")
        write_bytes(folder / "Annotations" / f"{picture.stem}.xml", content + b"\n")
    for split, part in by_split(samples).items():
        if split:
            stems = [Path(names[sample.id]).stem for sample in part]
            write_text(folder / _LISTS / f"{split}.txt", "\n".join(stems) + "\n")
    return names


def _to_xml(sample: Sample, filename: str) -> ET.Element:
    root = ET.Element("annotation")
    _add(root, {"folder": "JPEGImages", "filename": filename})
    size = ET.SubElement(root, "size")
    _add(size, {"width": str(sample.width), "height": str(sample.height), "depth": "3"})
    for entry in sample.objects:
        root.append(_object_to_xml(entry))
    return root


def _object_to_xml(entry: ObjectBox) -> ET.Element:
    element = ET.Element("object")
    _add(element, {"name": entry.label, "pose": "Unspecified", "truncated": "0", "difficult": "0"})
    corners = (f"{short(value):.9g}" for value in entry.box)  # 9 digits hold any float32
    _add(ET.SubElement(element, "bndbox"), dict(zip(_CORNERS, corners, strict=True)))
    return element


def _add(parent: ET.Element, values: Mapping[str, str]) -> None:
    for tag, text in values.items():
        ET.SubElement(parent, tag).text = text


def _read_splits(border: Border) -> tuple[dict[str, Split], bool]:
    """Name of a picture without its ending -> split, from ImageSets/Main; whether that is all.

    It is where there are lists and each could be read: what they leave out is in no split.
    """
    splits: dict[str, Split] = {}
    readable: list[bool] = []
    for split in filter(None, get_args(Split)):
        file = border.root / _LISTS / f"{split}.txt"
        if not file.is_file():
            continue
        try:
            stems = read_text(file).split("\n")
            readable.append(True)
        except TextError as error:
            border.report(file, error.line, error.reason, "warning")
            readable.append(False)
            continue
        for line, stem in enumerate(stems, start=1):
            name = stem.removesuffix("\r")
            known = splits.setdefault(name, split)
            if name and known != split:
                reason = f"{name} must be in one split, but is in {known} too, and stays there"
                border.report(file, line, reason, "warning")
    return splits, bool(readable) and all(readable)


def _find_picture(root: Element, file: Path, border: Border) -> Path | None:
    """The picture of an XML file: the one it names, else the one of its own name."""
    above = file.parent.parent
    folders = [above / "JPEGImages", above / "images", file.parent, file.parent / "images", above]
    stated = root.value("folder").strip()
    if stated and stated not in (".", ".."):
        folders += [file.parent / stated, above / stated]
    relative = border.inside(file)
    if "Annotations" in relative.parts[:-2]:  # Annotations/train/a.xml
        folders.append(border.root / "JPEGImages" / relative.parent.relative_to("Annotations"))
    names = [file.stem + suffix for suffix in sorted(IMAGE_SUFFIXES)]
    name = root.value("filename")
    if not name.strip() or not any(is_file(folder / name.strip()) for folder in folders):
        own = (each for each in names if any(is_file(folder / each) for folder in folders))
        name = next(own, name)
    filename = root.child("filename")
    return border.resolve(name, folders, file, filename.line if filename else None)


def _entry(
    root: Element, path: Path, file: Path, split: Split, border: Border, outlined: Counter[str]
) -> Entry:
    entry = Entry(path, file, split=split, size=_size(root, file, border))
    for element in root.children:
        # LabelMe keeps what was deleted, and marks it.
        if element.tag != "object" or element.value("deleted").strip() == "1":
            continue
        box = _box(element, file, border, outlined)
        if box is None:
            entry.lost += 1
        else:
            entry.boxes.append(box)
    return entry


def _size(root: Element, file: Path, border: Border) -> tuple[int, int] | None:
    element = root.child("size")
    if element is None:
        return None
    try:
        width, height = (int(float(element.value(tag))) for tag in ("width", "height"))
    except (ValueError, OverflowError):
        width = height = 0
    if width > 0 and height > 0:
        return width, height
    border.report(
        file, element.line, "the size must be above 0; that of the picture is used", "warning"
    )
    return None


def _box(element: Element, file: Path, border: Border, outlined: Counter[str]) -> EntryBox | None:
    corners = element.child("bndbox")
    if corners is None and (points := _polygon(element)) is not None:
        outlined["polygons"] += 1
        return EntryBox(element.value("name"), around(points), element.line)
    if corners is None:
        border.report(file, element.line, "an object must have a bndbox; left out")
        return None
    texts = [corners.value(tag) for tag in _CORNERS]
    try:
        x_min, y_min, x_max, y_max = (float(text) for text in texts)
    except ValueError:
        reason = f"xmin, ymin, xmax and ymax must be numbers, got {texts}; left out"
        border.report(file, corners.line, reason)
        return None
    return EntryBox(element.value("name"), (x_min, y_min, x_max, y_max), corners.line)


def _polygon(element: Element) -> list[float] | None:
    """The points x, y, x, y ... of an object's polygon, three at least; None where there is none.

    They stand in <pt> each, as LabelMe writes them, or are numbered: <x1>, <y1>, <x2> ...
    """
    polygon = element.child("polygon")
    if polygon is None:
        return None
    texts = [point.value(axis) for point in polygon.children if point.tag == "pt" for axis in "xy"]
    if not texts:
        numbered = {child.tag for child in polygon.children}
        count = next(n for n in itertools.count(1) if f"x{n}" not in numbered)
        texts = [polygon.value(f"{axis}{n}") for n in range(1, count) for axis in "xy"]
    try:
        points = [float(text) for text in texts]
    except ValueError:
        return None
    return points if len(points) >= 6 else None


def _report_unlisted(source: Path, border: Border) -> None:
    """Says which pictures beside annotated ones have no XML file."""
    folders = {path.parent for path in border.entries}
    pictures = (file for folder in sorted(folders) for file in sorted(folder.iterdir()))
    stated = {path.with_suffix("") for path in border.entries}
    unlisted = [
        file
        for file in pictures
        if file.suffix.lower() in IMAGE_SUFFIXES
        and file.with_suffix("") not in stated
        and not is_junk(file.name)
    ]
    border.report_many(source, unlisted, "pictures without a usable XML file are left out")
