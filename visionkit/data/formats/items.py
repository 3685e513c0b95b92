"""Items: a folder an item, with a few pictures of it; what the exemplar head is shown.

A picture in an item's folder shows the item as a whole (a crop, a logo), unless a file of
boxes of any other format in that folder says where in it the item is. A file of boxes right
in the set's folder holds boxes of all items, with the item as label. A picture of the whole
item has the item among its `labels`; a box of it is among its `objects`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from visionkit.data.formats import cntk, coco, csv_rows, groundtruth, voc, yolo
from visionkit.data.formats.border import Border
from visionkit.data.formats.entry import Entry
from visionkit.data.formats.place import place, safe_name
from visionkit.data.picture_files import find_images, is_junk
from visionkit.data.table import to_samples
from visionkit.types import Sample

_Collect = Callable[[Path, Border], None]
_READERS: Sequence[tuple[Callable[[Path], list[Path]], _Collect]] = (
    (coco.find, coco.collect),
    (voc.find, voc.collect),
    (cntk.find, cntk.collect),
    (yolo.find, yolo.collect),
    (groundtruth.find, groundtruth.collect),
    (csv_rows.find, csv_rows.collect),
)


@dataclass(frozen=True)
class ItemView:
    """One picture of an item.

    Attributes:
        item: name of the item.
        sample: the picture.
        box: xyxy in pixels of the picture; None where the whole picture is the item.
    """

    item: str
    sample: Sample
    box: tuple[float, float, float, float] | None


def item_views(table: pa.Table) -> list[ItemView]:
    """All views of all items of a table that was read as `items`, sorted by item.

    A picture gives a view a box, or one of the whole of it if it has no boxes.
    """
    views = []
    for sample in to_samples(table):
        views += [ItemView(entry.label, sample, entry.box) for entry in sample.objects]
        if not sample.objects:
            views += [ItemView(label, sample, None) for label in sample.labels]
    return sorted(views, key=lambda view: view.item)


def collect(source: Path, border: Border) -> None:
    """Adds the pictures of all item folders, and of files of boxes."""
    whole_set = _set_readers(source)
    for read in whole_set:
        read(source, border)
    if any(read in (voc.collect, yolo.collect, cntk.collect) for read in whole_set):
        return  # its folders are the layout of that format
    listed = set(border.entries)
    loose = [path for path in _pictures(source) if path.parent == source and path not in listed]
    reason = "pictures must lie in a folder that is named for their item; left out"
    border.report_many(source, loose, reason)
    for folder in sorted(source.iterdir()):
        if folder.is_dir() and not is_junk(folder.name):
            _collect_item(folder, border, listed)


def write(samples: Sequence[Sample], folder: Path) -> dict[str, str]:
    """Names a folder an item for whole views, and writes COCO files for those with boxes."""
    boxed = [sample for sample in samples if not sample.labels or sample.objects]
    boxed_ids = {sample.id for sample in boxed}
    names = place(
        samples,
        lambda sample: "images" if sample.id in boxed_ids else safe_name(sample.labels[0]),
    )
    if boxed:
        coco.write_annotations(boxed, folder, names)
    return names


def _set_readers(source: Path) -> list[_Collect]:
    """Readers of the files of boxes that are of the whole set, and not of one item."""
    readers = [
        collect
        for find, collect in _READERS
        if any(file.parent in (source, source / "annotations") for file in find(source))
    ]
    has_annotations = (source / "Annotations").is_dir() and voc.collect not in readers
    return [*readers, voc.collect] if has_annotations else readers


def _collect_item(folder: Path, border: Border, listed: set[Path]) -> None:
    """Adds the pictures of one item that no file of the whole set lists."""
    pictures = _pictures(folder)
    if not pictures:
        border.report(folder, None, f"the item {folder.name!r} must have a picture; left out")
    boxed = _boxes_in(folder, border)
    for path in pictures:
        entry = boxed.get(path, Entry(path, path, labels=[folder.name]))
        if path not in listed and entry is not None:
            border.add(entry)


def _boxes_in(folder: Path, border: Border) -> dict[Path, Entry | None]:
    """Pictures of which a file in the item's folder states boxes; None leaves a picture out."""
    inner = Border(folder)
    collect = next((collect for find, collect in _READERS if find(folder)), None)
    if collect is not None:
        collect(folder, inner)
    border.problems += inner.problems
    entries = inner.entries.values()
    labels = {box.label.strip() for entry in entries for box in entry.boxes}
    # The boxes are the item's, whatever they are called, if they are all called the same.
    label = labels.pop() if len(labels) == 1 else folder.name
    found: dict[Path, Entry | None] = {}
    for entry in entries:
        stated = bool(entry.boxes) or entry.lost > 0
        entry.boxes = [
            replace(box, label=folder.name) for box in entry.boxes if box.label.strip() == label
        ]
        entry.labels = []
        if entry.boxes or entry.lost:
            found[entry.path] = entry
        elif stated:
            reason = f"{entry.path.name} must have a box of {folder.name!r}; left out"
            border.report(entry.file, entry.line, reason)
            found[entry.path] = None
    return found


def _pictures(folder: Path) -> list[Path]:
    try:
        return find_images(folder)
    except FileNotFoundError:
        return []
