"""The files of the page, read once: what a request names is looked up, never opened."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class Asset:
    """One file of the page.

    Attributes:
        content: of the file.
        kind: media type.
        tag: changes with the content.
    """

    content: bytes
    kind: str
    tag: str


def page_assets() -> dict[str, Asset]:
    """Name -> file of the page."""
    found: dict[str, Asset] = {}
    for entry in (files("visionkit.flywheel.review") / "page").iterdir():
        suffix = entry.name[entry.name.rfind(".") :]
        if suffix in _KINDS:
            content = entry.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            found[entry.name] = Asset(content, _KINDS[suffix], tag)
    return found
