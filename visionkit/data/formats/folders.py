"""Class folders: a folder a class, holding its pictures; perhaps a folder a split above.

Pictures deeper below a class folder belong to it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from visionkit.data.formats.border import Border
from visionkit.data.formats.entry import Entry
from visionkit.data.formats.paths import split_in_path
from visionkit.data.formats.place import place, safe_name
from visionkit.data.picture_files import find_images
from visionkit.types import Sample


def find(folder: Path) -> list[Path]:
    """Pictures that lie in a folder of `folder`."""
    try:
        return [path for path in find_images(folder) if path.parent != folder]
    except FileNotFoundError:
        return []


def collect(source: Path, border: Border) -> None:
    """Adds the pictures of all class folders."""
    loose = []
    try:
        pictures = find_images(source)
    except FileNotFoundError:
        return  # nothing is of this format
    for path in pictures:
        relative = border.inside(path)
        split = split_in_path(PurePosixPath(*relative.parts[:2])) if len(relative.parts) > 1 else ""
        classes = relative.parts[1 if split else 0 : -1]
        if classes:
            border.add(Entry(path, path, labels=[classes[0]], split=split))
        else:
            loose.append(path)
    border.report_many(source, loose, "pictures in no class folder are left out")


def write(samples: Sequence[Sample], folder: Path) -> dict[str, str]:
    """Names a folder a class, below a folder a split if there are splits.

    Raises:
        ValueError: a picture has no label, or is in no split where others are.
    """
    del folder  # nothing but the pictures
    splits = any(sample.split for sample in samples)
    for sample in samples:
        if not sample.labels:
            raise ValueError(
                f"class folders need a label for every picture, but {sample.id} has none; "
                "write boxes in another format (coco)"
            )
        if splits and not sample.split:
            raise ValueError(
                f"class folders need a split for every picture or none, but {sample.id} has none; "
                "use assign_splits"
            )
    return place(samples, lambda sample: f"{sample.split}/{safe_name(sample.labels[0])}".strip("/"))
