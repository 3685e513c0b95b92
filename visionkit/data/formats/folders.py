"""Class folders: a folder a class, holding its pictures; perhaps a folder a split above.

Pictures deeper below a class folder belong to it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from visionkit.data.formats.border import Border
from visionkit.data.formats.entry import Entry
from visionkit.data.formats.paths import split_in_path
from visionkit.data.formats.place import place, safe_name
from visionkit.data.picture_files import find_images
from visionkit.types import Sample, Split


def find(folder: Path) -> list[Path]:
    """Pictures that lie in a folder of `folder`."""
    try:
        return [path for path in find_images(folder) if path.parent != folder]
    except FileNotFoundError:
        return []


def collect(source: Path, border: Border) -> None:
    """Adds the pictures of all class folders."""
    try:
        pictures = find_images(source)
    except FileNotFoundError:
        return  # nothing is of this format
    folders = {path: border.inside(path).parts[:-1] for path in pictures}
    named = _named_as_splits(folders.values())
    loose = []
    for path, parts in folders.items():
        split = _split(parts[0]) if parts and not named else ""
        classes = parts[1:] if split else parts
        if classes:
            border.add(Entry(path, path, labels=[classes[0]], split=split))
        else:
            loose.append(path)
    border.report_many(source, loose, "pictures in no class folder are left out")
    for name in named:
        reason = (
            f"{name} is taken for a class, since pictures lie right in it and other classes "
            "beside it; put a folder a class into it if it is a split"
        )
        border.report(source, None, reason, "warning")


def write(samples: Sequence[Sample], folder: Path) -> dict[str, str]:
    """Names a folder a class, below a folder a split if there are splits.

    A class that is called as a split is (`train`) would be read as one: then all folders lie
    below one of a split.

    Raises:
        ValueError: a picture has no label, or is in no split where others are.
    """
    del folder  # nothing but the pictures
    splits = any(sample.split for sample in samples)
    for sample in samples:
        if not sample.labels:
            raise ValueError(
                f"class folders need a label for every picture, but {sample.uri} has none; "
                "write boxes in another format (coco)"
            )
        if splits and not sample.split:
            raise ValueError(
                f"class folders need a split for every picture or none, but {sample.uri} has none; "
                "use assign_splits"
            )
    ambiguous = any(_split(safe_name(sample.labels[0])) for sample in samples)
    above = "train" if ambiguous and not splits else ""
    return place(
        samples,
        lambda sample: f"{sample.split or above}/{safe_name(sample.labels[0])}".strip("/"),
    )


def _named_as_splits(folders: Iterable[tuple[str, ...]]) -> list[str]:
    """Classes that are called as a split is: in a set with other classes and without splits.

    Args:
        folders: of each picture, the outermost first.
    """
    inner = {parts[:2] for parts in folders if parts}
    named = {parts[0] for parts in inner if _split(parts[0])}
    has_splits = any(len(parts) > 1 and parts[0] in named for parts in inner)
    has_others = any(parts[0] not in named for parts in inner)
    return sorted(named) if has_others and not has_splits else []


def _split(folder: str) -> Split:
    return split_in_path(PurePosixPath(folder, "picture"))
