"""Paths as annotation files state them: what they may mean, and which split they name."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

from visionkit.types import Split

_SPLIT_WORDS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def split_in_name(name: str) -> Split:
    """The split that a file or folder name states as one of its words, or "".

    >>> split_in_name("instances_train2017"), split_in_name("valid"), split_in_name("images")
    ('train', 'val', '')
    """
    words = re.split(r"[^a-z]+", name.lower())
    return next((_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS), "")


def split_in_path(path: PurePath) -> Split:
    """The split that one of the folders of a path is named for, the outermost first, or ""."""
    folders = path.parts[:-1]
    return next(
        (_SPLIT_WORDS[part.lower()] for part in folders if part.lower() in _SPLIT_WORDS), ""
    )


def is_file(path: Path) -> bool:
    """Whether there is a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder; a name that no folder can have is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def candidates(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Absolute paths without `..` that a name may mean, likely ones first.

    Args:
        name: as a file states it; Windows separators and both Unicode forms are understood.
        folders: what it may be relative to; one with `..` only to the first of them.
    """
    for spelling in _spellings(name):
        if PureWindowsPath(spelling).drive and not PurePosixPath(spelling).is_absolute():
            continue
        climbs = ".." in PurePosixPath(spelling).parts
        for folder in folders[:1] if climbs else folders:
            yield Path(os.path.normpath(folder / spelling))


def _spellings(name: str) -> Iterator[str]:
    for spelling in dict.fromkeys((name, name.replace("\\", "/"), name.strip())):
        yield spelling
        for form in ("NFC", "NFD"):
            if not unicodedata.is_normalized(form, spelling):
                yield unicodedata.normalize(form, spelling)
