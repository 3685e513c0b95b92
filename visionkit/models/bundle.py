"""The bundle: a folder that is all that prediction needs, checked before anything is used.

`bundle.json` names every other file with its SHA-256. Tensors are safetensors, the rest is
JSON and PNG: loading a bundle runs no code of it, and no value in it names code.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from visionkit.files import atomic_folder, write_json

FORMAT_VERSION = 3
MANIFEST = "bundle.json"


def write_bundle(
    folder: str | Path,
    manifest: Mapping[str, Any],
    write_parts: Callable[[Path], None],
    *,
    overwrite: bool = False,
) -> None:
    """Writes a bundle whole or not at all.

    Args:
        folder: of the bundle.
        manifest: plain JSON values.
        write_parts: writes the other files into the folder that it is given.
        overwrite: whether a bundle that is there may be replaced; the old one stays whole
            until the new one is.

    Raises:
        FileExistsError: the folder is there and `overwrite` is False.
        RuntimeError: the disk is full.
    """
    with atomic_folder(folder, overwrite=overwrite) as partial:
        write_parts(partial)
        hashes = {
            path.relative_to(partial).as_posix(): _sha256(path)
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        content = {"format_version": FORMAT_VERSION, **manifest, "files": hashes}
        write_json(partial / MANIFEST, content)


def put_into_bundle(
    folder: str | Path,
    name: str,
    write_parts: Callable[[Path], None],
    *,
    overwrite: bool = False,
) -> None:
    """Adds a folder of files to a bundle, whole or not at all; the rest stays as it is.

    Args:
        folder: of the bundle.
        name: of the folder in it, with slashes.
        write_parts: writes the files into the folder that it is given.
        overwrite: whether one of that name may be replaced.

    Raises:
        FileNotFoundError: there is no bundle.
        FileExistsError: there is a folder of that name and `overwrite` is False.
        ValueError: the bundle is damaged; names the file.
        RuntimeError: the disk is full.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    files = [str(file) for file in manifest["files"]]
    others = [file for file in files if not file.startswith(f"{name}/")]
    if len(others) < len(files) and not overwrite:
        raise FileExistsError(f"{folder / name} is already there; choose another or overwrite=true")

    def write(partial: Path) -> None:
        for file in others:
            (partial / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / file, partial / file)
        (partial / name).mkdir(parents=True)
        write_parts(partial / name)

    kept = {key: manifest[key] for key in manifest if key not in ("format_version", "files")}
    write_bundle(folder, kept, write, overwrite=True)


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of a bundle, once every file was found to be as it was written.

    Raises:
        FileNotFoundError: there is no bundle.
        ValueError: the bundle is of a newer version, or damaged; names the file.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        hint = "a training run writes one to RUN/bundle"
        if (folder / "bundle" / MANIFEST).is_file():
            hint = f"did you mean {folder / 'bundle'}?"
        raise FileNotFoundError(
            f"a bundle must be a folder with {MANIFEST} in it, got {folder}; {hint}"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = int(manifest["format_version"])
        if version == FORMAT_VERSION:
            hashes = dict(manifest["files"])
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{MANIFEST} must be whole, got {type(error).__name__}: {error} [{path}]; take the "
            f"bundle from its source again"
        ) from error
    if version > FORMAT_VERSION:
        raise ValueError(
            f"the bundle must be of format {FORMAT_VERSION}, got {version} [{path}]; "
            f"update visionkit (pip install -U visionkit)"
        )
    if version < FORMAT_VERSION:
        raise ValueError(
            f"the bundle must be of format {FORMAT_VERSION}, got {version} of an earlier visionkit "
            f"[{path}]; train again, or add the items' pictures to a new bundle"
        )
    for name, expected in hashes.items():
        _check_file(folder, str(name), str(expected))
    return dict(manifest)


def bundle_hash(folder: str | Path) -> str:
    """SHA-256 of a bundle as hexadecimal digits: another one for any change of any file.

    Raises:
        FileNotFoundError: there is no bundle.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"a bundle must be a folder with {MANIFEST} in it, got {folder}")
    return _sha256(path)  # it names every other file with its hash


def _check_file(folder: Path, name: str, expected: str) -> None:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"a bundle's files must lie within it, got {name} [{folder}]")
    path = folder / name
    if not path.is_file():
        raise ValueError(f"the bundle must be whole, but {name} is missing [{folder}]")
    if _sha256(path) != expected:
        raise ValueError(
            f"the bundle must be as it was written, but {name} was changed or damaged "
            f"[{folder}]; take the bundle from its source again"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
