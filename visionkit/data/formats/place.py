"""How a written set names its pictures, and numbers that read back as they were."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from visionkit.data.picture_files import IMAGE_SUFFIXES, is_junk
from visionkit.types import ObjectBox, Sample

# Folders that are a format's layout and say nothing of the picture.
_LAYOUT = {"images", "jpegimages", "img", "train", "val", "valid", "test", "boxes"}
_LONGEST = 200
"""Bytes of a file name; file systems allow 255, and annotations may add an ending."""


def place(
    samples: Sequence[Sample], folder_of: Callable[[Sample], str], *, flat: bool = False
) -> dict[str, str]:
    """Id -> path of the picture within the set, as a POSIX string, made from the id.

    No two differ in their extension or case only, so that each can have an annotation file of
    its name, on every file system.

    Args:
        samples: the pictures.
        folder_of: the folder within the set, "" for the set itself.
        flat: whether pictures lie right in that folder, and not in folders below it.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for sample in samples:
        inner = _inner_path(sample)
        if flat:
            inner = PurePosixPath("__".join(inner.parts))
        path = PurePosixPath(folder_of(sample)) / inner.parent / safe_name(inner.name)
        count, unique = 1, path
        while _key(unique) in taken:
            count += 1
            unique = path.with_name(f"{path.stem}_{count}{path.suffix}")
        taken.add(_key(unique))
        names[sample.id] = unique.as_posix()
    return names


def safe_name(name: str) -> str:
    """`name` as the name of one file or folder on any file system, which no reader passes over.

    >>> safe_name("a/b"), safe_name(".."), safe_name("cola 0.5 l"), safe_name("Thumbs.db")
    ('a_b', '_.', 'cola 0.5 l', '_Thumbs.db')
    """
    unsafe = '/\\:*?"<>|'
    name = "".join("_" if sign in unsafe or ord(sign) < 32 else sign for sign in name)
    name = "_" + name[1:] if name.startswith(".") else name
    name = f"_{name}" if is_junk(name) else name
    if len(name.encode()) > _LONGEST:
        suffix = PurePosixPath(name).suffix[:10]
        digest = hashlib.blake2b(name.encode(), digest_size=6).hexdigest()
        start = name.encode()[: _LONGEST - 30].decode(errors="ignore")
        name = f"{start}_{digest}{suffix}"
    return name or "_"


def class_names(samples: Sequence[Sample]) -> list[str]:
    """All labels of boxes, sorted; the index is the class number."""
    return sorted({entry.label for sample in samples for entry in sample.objects})


def short(value: float) -> float:
    """The shortest decimal number that is `value` in float32.

    >>> short(10.100000381469727)
    10.1
    """
    return float(str(np.float32(value)))


def to_xywh(entry: ObjectBox) -> tuple[float, float, float, float]:
    """Left, top, width and height that give back the same float32 corners when added."""
    x_min, y_min, x_max, y_max = entry.box
    left, top = short(x_min), short(y_min)
    return left, top, _extent(left, x_max), _extent(top, y_max)


def by_split(samples: Sequence[Sample]) -> Mapping[str, list[Sample]]:
    """Split ("" among them) -> its samples; only splits that there are."""
    parts: dict[str, list[Sample]] = {}
    for sample in samples:
        parts.setdefault(sample.split, []).append(sample)
    return parts


def split_suffix(split: str, parts: Mapping[str, object]) -> str:
    """What to add to the name of the file of a split, "" where all is in one file.

    >>> split_suffix("val", {"val": []}), split_suffix("", {"": []})
    ('_val', '')
    >>> split_suffix("", {"": [], "val": []})
    '_unassigned'
    """
    if split:
        return f"_{split}"
    return "_unassigned" if len(parts) > 1 else ""


def _extent(start: float, end: float) -> float:
    """A short width or height that leads from `start` to the float32 `end`, else an exact one."""
    rounded = round(short(end) - start, 6)
    return rounded if np.float32(start + rounded) == np.float32(end) else end - start


def _inner_path(sample: Sample) -> PurePosixPath:
    """Path from the id, below any folder, with the ending of the picture."""
    suffix = Path(sample.uri).suffix
    parts = [part for part in PurePosixPath(sample.id).parts if part not in ("/", "..", ".")]
    while len(parts) > 1 and parts[0].lower() in _LAYOUT:
        del parts[0]
    *folders, name = parts or ["picture"]
    if PurePosixPath(name).suffix.lower() != suffix.lower() or suffix.lower() not in IMAGE_SUFFIXES:
        name += suffix
    return PurePosixPath(*(safe_name(folder) for folder in folders), name)


def _key(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", path.with_suffix("").as_posix()).casefold()
