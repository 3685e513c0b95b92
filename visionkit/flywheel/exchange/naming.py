"""File names that carry a picture's id and revision through other tools and back."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from visionkit.types import Sample

_FORM = re.compile(r"(?:.*?/)?r(\d+)/(.+)", re.DOTALL)


def picture_name(sample: Sample, revision: int) -> str:
    """The path of a picture within what is written: revision, id, and the picture's ending.

    >>> picture_name(Sample("shop/a 1.jpg", "/x/a 1.jpg", 8, 8, ""), 2)
    'r2/shop/a%201.jpg.jpg'
    """
    safe = quote(sample.id, safe="/")
    if any(part in ("", ".", "..") for part in safe.split("/")):
        safe = quote(sample.id, safe="").replace(".", "%2E")
    return f"r{revision}/{safe}{Path(sample.uri).suffix}"


def read_name(name: str) -> tuple[str, int]:
    """The id and revision that a name carries, with or without folders before it.

    >>> read_name("images/r2/shop/a%201.jpg.jpg")
    ('shop/a 1.jpg', 2)

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
    return unquote(str(path.with_suffix("")) if path.suffix else str(path)), int(found[1])
