"""Tensors on disk by what they were made from, at most so many bytes of them.

A cache: whatever is in it can be made again, so anything may be missing, and what is damaged
counts as missing. Two processes may use one folder at once: a file appears whole, and one that
the other process removes is only missing.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from visionkit.files import PARTIAL_SUFFIX, atomic_path

_SUFFIX = ".tensors"
_DIGEST = 16
_ROOM = 0.9
"""Down to this share of the limit files are removed, so that not every new one removes another."""
_ABANDONED = 3600.0
"""Seconds after which a file that is half-written was left by a process that was killed."""


class FeatureCache:
    """Named tensors by key, in a folder of one's own.

    Args:
        folder: where they lie; made if missing. Only files of a cache are ever removed from it.
        max_bytes: how large the folder may grow; the files that were not used for longest go.

    Raises:
        ValueError: `max_bytes` is less than 1.
    """

    def __init__(self, folder: str | Path, *, max_bytes: int) -> None:
        if max_bytes < 1:
            raise ValueError(f"max_bytes of a feature cache must be at least 1, got {max_bytes}")
        self.folder, self.max_bytes = Path(folder), max_bytes
        self._bytes: int | None = None  # as far as this process knows

    def has(self, key: str) -> bool:
        """Whether there is a file for `key`, which counts as used by this; it is not read."""
        path = self._path(key)
        if not path.is_file():
            return False
        _touch(path)
        return True

    def get(self, key: str) -> dict[str, Tensor] | None:
        """What was put under `key`, on the CPU; None where there is nothing, or nothing whole.

        Tensors of half precision come back as float32, with the rounding they have by now.
        """
        path = self._path(key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            tensors = _unpack(content)
        except (ValueError, SafetensorError):
            path.unlink(missing_ok=True)
            return None
        _touch(path)
        return tensors

    def put(self, key: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Keeps tensors under `key`, and gives them as `get` will: rounded, on the CPU.

        float32 is kept in half precision where all its values fit, other types as they are.

        Raises:
            RuntimeError: the disk is full.
        """
        content = _pack(tensors)
        if len(content) <= self.max_bytes:
            with atomic_path(self._path(key), durable=False) as partial:
                partial.write_bytes(content)
            self._count(len(content))
        return _unpack(content)

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / name[:2] / f"{name[2:]}{_SUFFIX}"

    def _count(self, added: int) -> None:
        """Removes what is too much; the folder is looked through only when there may be."""
        if self._bytes is None:
            self._bytes = sum(size for _, size, _ in self._files())
        else:
            self._bytes += added
        if self._bytes > self.max_bytes:
            self._bytes = self._shrink()

    def _shrink(self) -> int:
        """Removes the files that were not used for longest; returns the bytes that are left."""
        files = self._files()
        left = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if left <= _ROOM * self.max_bytes:
                break
            path.unlink(missing_ok=True)
            left -= size
        return left

    def _files(self) -> list[tuple[float, int, Path]]:
        """When each file was last used, its bytes, and its path; abandoned ones are removed."""
        found = []
        for folder in self.folder.glob("[0-9a-f][0-9a-f]"):
            for path in folder.iterdir():
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue  # another process was quicker
                if path.suffix == _SUFFIX:
                    found.append((status.st_mtime, status.st_size, path))
                elif path.suffix == PARTIAL_SUFFIX and time.time() - status.st_mtime > _ABANDONED:
                    path.unlink(missing_ok=True)
        return found


def _touch(path: Path) -> None:
    """Notes that a file was used; the time of reading itself is kept by few file systems."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return  # removed since it was read


def _pack(tensors: Mapping[str, Tensor]) -> bytes:
    content = save({name: _halved(value) for name, value in tensors.items()})
    return hashlib.blake2b(content, digest_size=_DIGEST).digest() + content


def _halved(value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    if value.dtype != torch.float32:
        return value
    half = value.half()
    return half if torch.isfinite(half).equal(torch.isfinite(value)) else value


def _unpack(content: bytes) -> dict[str, Tensor]:
    stated, rest = content[:_DIGEST], content[_DIGEST:]
    if hashlib.blake2b(rest, digest_size=_DIGEST).digest() != stated:
        raise ValueError("the file is damaged")
    tensors = load(rest)
    return {
        name: value.float() if value.dtype == torch.float16 else value
        for name, value in tensors.items()
    }
