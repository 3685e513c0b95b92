"""Writing files and folders so that nothing half-written is ever taken for whole.

Everything is written under a hidden name beside its target, flushed to the disk and then
renamed over it in one step. A process that is killed leaves the old file, or none, and a
hidden `.name.*.partial` that no reader of visionkit looks at.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

PARTIAL_SUFFIX = ".partial"


@contextmanager
def atomic_path(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """A path to write to, which becomes `path` when the block ends without an error.

    For writers that want a path (pyarrow, safetensors). Missing folders are made.

    Args:
        path: where the file shall lie in the end; replaced if it is there. A symbolic link
            is followed.
        durable: whether it is on the disk before it takes its place. Without, which is ten times
            faster for small files, a power cut may leave a damaged file: only for what is
            checked when it is read, and can be made again.

    Raises:
        RuntimeError: the disk is full; says which file and what to do.
        OSError: the file can't be written for another reason.
    """
    target = Path(os.path.realpath(path))
    partial = _partial_name(target)
    with _disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            if durable:
                _flush(partial)
            os.replace(partial, target)
            if durable:
                _flush_folder(target.parent)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file to write to, which becomes `path` when the block ends without an error.

    Raises:
        RuntimeError: the disk is full; says which file and what to do.
        OSError: the file can't be written for another reason.
    """
    with atomic_path(path) as partial, partial.open("xb") as file:
        yield file


@contextmanager
def atomic_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """An empty folder to fill, which becomes `path` when the block ends without an error.

    Args:
        path: where the folder shall lie in the end.
        overwrite: whether a folder that is there already is replaced; its content is gone.

    Raises:
        FileExistsError: `path` is there and `overwrite` is false.
        RuntimeError: the disk is full; says which folder and what to do.
        OSError: the folder can't be written for another reason.
    """
    target = Path(os.path.realpath(path))
    _refuse_existing(target, overwrite)
    partial = _partial_name(target)
    with _disk_errors(target):
        try:
            partial.mkdir(parents=True)
            yield partial
            for file in sorted(partial.rglob("*")):
                if file.is_file():
                    _flush(file)
            _swap_folder(partial, target, overwrite)
            _flush_folder(target.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes `content` to `path` whole or not at all; raises like `atomic_write`."""
    with atomic_write(path) as file:
        file.write(content)


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` as UTF-8 to `path` whole or not at all; raises like `atomic_write`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: Any) -> None:
    """Writes `value` as indented JSON to `path` whole or not at all.

    Raises:
        ValueError: `value` holds NaN or an infinity, which JSON does not have.
        TypeError: `value` holds something that JSON does not have.
        RuntimeError: the disk is full; says which file and what to do.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def new_run_folder(root: str | Path, name: str, *, now: time.struct_time | None = None) -> Path:
    """A new empty folder `root/name/<date>_<time>`; never one that was there.

    Two runs that start within one second get `..._2`, `..._3` and so on.

    Args:
        root: the folder of all runs.
        name: what runs, for instance the task; may hold slashes.
        now: local time to name the folder for; the present if None.

    Raises:
        RuntimeError: the disk is full.
        OSError: the folder can't be made.
    """
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S", now or time.localtime())
    parent = Path(root) / name
    with _disk_errors(parent / stamp):
        parent.mkdir(parents=True, exist_ok=True)
        count = 1
        while True:
            folder = parent / (stamp if count == 1 else f"{stamp}_{count}")
            try:
                folder.mkdir()
            except FileExistsError:
                count += 1
            else:
                return folder


def remove_partials(folder: str | Path) -> None:
    """Removes what a killed process left half-written under `folder`; nothing may write there."""
    for partial in Path(folder).rglob(f".*{PARTIAL_SUFFIX}"):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def _partial_name(target: Path) -> Path:
    # The name is cut so that the whole stays below the 255 bytes of most file systems.
    stem = target.name.encode("utf-8")[:180].decode("utf-8", errors="ignore")
    return target.with_name(f".{stem}.{os.getpid()}-{uuid.uuid4().hex[:8]}{PARTIAL_SUFFIX}")


def _refuse_existing(target: Path, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} is already there; choose another path or overwrite=true")
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{target} must be a folder, but is a file; choose another path")


def _swap_folder(partial: Path, target: Path, overwrite: bool) -> None:
    """Puts `partial` in the place of `target`; the old one is whole until the last step."""
    _refuse_existing(target, overwrite)
    if not target.exists():
        os.replace(partial, target)
        return
    old = _partial_name(target)
    os.replace(target, old)
    try:
        os.replace(partial, target)
    except OSError:
        os.replace(old, target)
        raise
    shutil.rmtree(old)


def _flush(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows can't open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    """Turns "no space left", from whichever library it comes, into words with a way out."""
    try:
        yield
    except Exception as error:
        if not _is_disk_full(error):
            raise
        raise RuntimeError(
            f"the disk is full: {target} could not be written and was not changed; "
            f"free some space under {target.parent} or choose an output on another disk"
        ) from error


def _is_disk_full(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # safetensors and pyarrow wrap the operating system's message in errors of their own.
    return "No space left on device" in str(error)
