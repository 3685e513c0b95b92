"""File names that carry a picture's id and revision through other tools and back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from visionkit.types import Sample

_FORM = re.compile(r"(?:.*?/)??r(\d+)/(.+)", re.DOTALL)
_LONGEST = 200
"""Bytes of a name; file systems take 255, and tools put something before or behind it."""


def picture_name(sample: Sample, revision: int) -> str:
    """The path of a picture within what is written: revision, id, and the picture's ending.

    Of an id whose names would be too long there is a digest.

    >>> picture_name(Sample("shop/Käse 1.jpg", "/x/Käse 1.jpg", 8, 8, ""), 2)
    'r2/shop/Käse%201.jpg.jpg'
    """
    safe = _quoted(sample.id, safe="/")
    if any(part in ("", ".", "..") for part in safe.split("/")):
        safe = _quoted(sample.id, safe="").replace(".", "%2E")
    ending = Path(sample.uri).suffix
    if any(len(part.encode()) > _LONGEST for part in f"{safe}{ending}".split("/")):
        safe = _digest(sample.id)
    return f"r{revision}/{safe}{ending}"


def by_digest(ids: Iterable[str]) -> dict[str, str]:
    """What stands in a name for each id where that is too long -> the id."""
    return {_digest(each): each for each in ids}


def read_name(name: str, ids: Mapping[str, str] | None = None) -> tuple[str, int]:
    """The id and revision that a name carries, with or without folders before it.

    >>> read_name("images/r2/shop/K%C3%A4se%201.jpg.jpg")
    ('shop/Käse 1.jpg', 2)

    Args:
        name: as it came back.
        ids: `by_digest` of those that it may stand for.

    Raises:
        ValueError: it carries none.
    """
    found = _FORM.fullmatch(name.replace("\\", "/"))
    if found is None:
        raise ValueError(
            f"the name of a picture must be as it was written (rN/ID), got {name!r}; "
            "keep the names and folders of the pictures"
        )
    path = PurePosixPath(found[2])
    carried = unquote(str(path.with_suffix("")) if path.suffix else str(path))
    return (ids or {}).get(carried, carried), int(found[1])


def _quoted(text: str, *, safe: str) -> str:
    """As `urllib.parse.quote`, which makes nine signs of a Chinese one, but letters stay."""
    return "".join(
        sign if sign.isprintable() and not sign.isascii() else quote(sign, safe=safe)
        for sign in text
    )


def _digest(sample_id: str) -> str:
    return hashlib.sha256(sample_id.encode()).hexdigest()
