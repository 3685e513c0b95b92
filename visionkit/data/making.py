"""Sets that visionkit makes itself: once, whole or not at all, and never over a user's files.

A marker in the folder lists the files of the set with their digests. So a set that is there and
whole is left alone, a damaged one is made again, and a folder that holds anything else is
refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.files import atomic_folder, write_json

_MARKER = "demo.json"


@dataclass(frozen=True)
class MadeSet:
    """A set that can be made.

    Attributes:
        version: raised when the same settings give other files; sets of another version are
            made again.
        settings: plain values; equal ones give equal files.
        names: of the files that such a set may hold, as paths within it. Where the marker itself
            is damaged, they tell its files from others.
        fill: writes the files into an empty folder.
    """

    version: int
    settings: Mapping[str, object]
    names: re.Pattern[str]
    fill: Callable[[Path], None]

    def make(self, folder: Path) -> None:
        """Makes the set in `folder`, unless it is there already and whole.

        Raises:
            FileExistsError: the folder holds something that is of no set made here.
            RuntimeError: the disk is full.
        """
        if self._is_whole(folder):
            return
        _refuse_others(folder, self.names)
        with atomic_folder(folder, overwrite=True) as made:
            self.fill(made)
            files = {name: _digest(made / name) for name in _files(made)}
            marker = {"version": self.version, "settings": dict(self.settings), "files": files}
            write_json(made / _MARKER, marker)

    def _is_whole(self, folder: Path) -> bool:
        marker = _read_marker(folder)
        if marker.get("version") != self.version or marker.get("settings") != dict(self.settings):
            return False
        files = cast(dict[str, str], marker["files"])
        return all(
            (folder / name).is_file() and _digest(folder / name) == digest
            for name, digest in files.items()
        )


def write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes (H, W), RGB (H, W, 3) or RGBA (H, W, 4) uint8 as PNG or JPEG, by the name.

    Raises:
        RuntimeError: OpenCV can't write that format here.
    """
    if image.ndim == 3:
        order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
        image = np.asarray(cv2.cvtColor(image, order), np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 90] if path.suffix == ".jpg" else []
    done, content = cv2.imencode(path.suffix, image, quality)
    if not done:
        raise RuntimeError(f"{path.name} could not be encoded; check the installation of OpenCV")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.tobytes())


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path != folder / _MARKER
    )


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _read_marker(folder: Path) -> dict[str, object]:
    """The marker, or nothing where there is none that can be read."""
    try:
        marker = json.loads((folder / _MARKER).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return marker if isinstance(marker, dict) and isinstance(marker.get("files"), dict) else {}


def _refuse_others(folder: Path, names: re.Pattern[str]) -> None:
    """Raises unless all in the folder was made by a demo set, so that nothing else is lost."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"the demo set needs a folder, but {folder} is a file; name another")
    known = cast(dict[str, str], _read_marker(folder).get("files", {}))
    damaged = not known and (folder / _MARKER).exists()
    foreign = [
        name
        for name in (_files(folder) if folder.exists() else [])
        if name not in known and not (damaged and names.fullmatch(name))
    ]
    if foreign:
        raise FileExistsError(
            f"{folder} must be empty or hold a demo set alone, but holds {foreign[0]}; "
            "name another folder, or move that away"
        )
