"""Finding files of a folder or a glob, and telling which are pictures by name or first bytes.

Nothing is decoded here: `visionkit.data.images` does that.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".tif", ".tiff", ".bmp"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"}
)
_JUNK_NAMES = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx"})


def find_images(source: str | Path) -> list[Path]:
    """The picture files of a file, a folder (with all below it) or a glob, sorted.

    A path that exists is meant literally, so `photos[1]` is a folder of that name first and a
    pattern only if there is none. Hidden files, Thumbs.db and the like, and files that are no
    pictures by their name are left out; files without an extension count by their content.

    Raises:
        FileNotFoundError: there is no such path, or no picture in it.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    files = files_of(source)
    pictures = sorted({file for file in files if _looks_like_picture(file)})
    if not pictures:
        others = ", ".join(file.name for file in sorted(files)[:3]) or "nothing"
        raise FileNotFoundError(
            f"no pictures in {source}, which holds {others}; check the path: "
            f"pictures end in {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return pictures


def files_of(source: str | Path) -> list[Path]:
    """The file itself, the files below a folder, or those that match a glob, of whatever kind.

    Hidden files of folders, Thumbs.db and the like are left out.

    Raises:
        FileNotFoundError: there is no such path, or nothing matches.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        return list(_walk(path))
    if not any(sign in str(source) for sign in "*?["):
        raise FileNotFoundError(
            f"{source} must be a file or folder, but there is none; check the path"
        )
    files = _glob(path)
    if not files:
        raise FileNotFoundError(f"nothing matches {source}; check the pattern")
    return files


def is_junk(name: str) -> bool:
    """Whether a file or folder name is hidden or one that desktops leave behind."""
    return name.startswith(".") or name.lower() in _JUNK_NAMES


def _walk(folder: Path) -> Iterator[Path]:
    """Files below `folder`; linked folders are followed, each real folder once."""
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_junk(name))
        yield from (Path(root, name) for name in files if not is_junk(name))


def _glob(path: Path) -> list[Path]:
    """Files that match, links to nowhere too; leading parts that exist are taken literally."""
    literal = Path(path.anchor)
    parts = list(path.parts[1:] if path.anchor else path.parts)
    while parts and (literal / parts[0]).exists():
        literal /= parts.pop(0)
    if not parts:
        return []
    matches = glob.glob(os.path.join(*parts), root_dir=literal, recursive=True)
    return [literal / match for match in matches if not (literal / match).is_dir()]


def _looks_like_picture(file: Path) -> bool:
    if is_junk(file.name):
        return False
    if file.suffix:
        return file.suffix.lower() in IMAGE_SUFFIXES
    try:
        if not file.is_file():
            return False  # a link to nowhere, or a pipe, which would be waited for
        with file.open("rb") as opened:
            head = opened.read(12)
    except OSError:
        return False  # not ours to read
    return head.startswith(
        (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
    ) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")
