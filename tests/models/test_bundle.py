from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from visionkit.models.bundle import FORMAT_VERSION, MANIFEST, read_manifest, write_bundle


def parts(folder: Path) -> None:
    (folder / "gallery" / "views").mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"weights")
    (folder / "gallery" / "views" / "a.png").write_bytes(b"picture")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    write_bundle(folder, {"exemplar": {"items": ["a"]}}, parts)
    return folder


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / MANIFEST
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_an_empty_bundle(tmp_path: Path) -> None:
    write_bundle(tmp_path / "empty", {}, lambda _: None)
    assert read_manifest(tmp_path / "empty") == {"format_version": FORMAT_VERSION, "files": {}}


def test_written_and_read(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    assert manifest["exemplar"] == {"items": ["a"]}
    assert sorted(manifest["files"]) == ["gallery/views/a.png", "weights.safetensors"]
    assert (bundle / "gallery/views/a.png").read_bytes() == b"picture"
    assert os.listdir(bundle.parent) == ["bundle"]


def test_a_copied_bundle_is_the_same_bundle(bundle: Path, tmp_path: Path) -> None:
    bundle.rename(tmp_path / "elsewhere")
    assert read_manifest(tmp_path / "elsewhere")["exemplar"] == {"items": ["a"]}


@pytest.mark.parametrize("name", ["nothing", "empty", "file"])
def test_no_bundle_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FileNotFoundError, match=rf"folder with {MANIFEST}.*{name}"):
        read_manifest(tmp_path / name)


def test_a_bundle_is_not_overwritten_unasked(bundle: Path) -> None:
    with pytest.raises(FileExistsError, match="already there"):
        write_bundle(bundle, {"new": True}, parts)
    assert "new" not in read_manifest(bundle)
    write_bundle(bundle, {"new": True}, lambda _: None, overwrite=True)
    assert read_manifest(bundle)["new"] is True
    assert os.listdir(bundle) == [MANIFEST]


# Faults while writing.


def _disk_full_at_once(_: Path) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _disk_full_halfway(folder: Path) -> None:
    parts(folder)
    _disk_full_at_once(folder)


@pytest.mark.parametrize("fail", [_disk_full_at_once, _disk_full_halfway])
@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "over an old one"])
def test_disk_full_leaves_the_old_bundle_whole(
    tmp_path: Path, fail: Callable[[Path], None], overwrite: bool
) -> None:
    folder = tmp_path / "bundle"
    if overwrite:
        write_bundle(folder, {"old": True}, parts)
    with pytest.raises(RuntimeError, match=r"disk is full.*bundle.*free some space"):
        write_bundle(folder, {"old": False}, fail, overwrite=overwrite)
    assert os.listdir(tmp_path) == (["bundle"] if overwrite else [])
    if overwrite:
        assert read_manifest(folder)["old"] is True


def test_interrupted_while_writing_leaves_the_old_bundle_whole(bundle: Path) -> None:
    def interrupt(folder: Path) -> None:
        parts(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bundle(bundle, {"new": True}, interrupt, overwrite=True)
    assert "new" not in read_manifest(bundle)
    assert os.listdir(bundle.parent) == ["bundle"]


# Faults found while reading.


def test_a_newer_bundle_asks_for_a_newer_visionkit(bundle: Path) -> None:
    rewrite(bundle, lambda content: content.update(format_version=FORMAT_VERSION + 1))
    with pytest.raises(ValueError, match=r"format 3, got 4.*update visionkit"):
        read_manifest(bundle)


@pytest.mark.parametrize("version", [1, 2])
def test_an_earlier_bundle_asks_to_be_made_anew(bundle: Path, version: int) -> None:
    rewrite(bundle, lambda content: content.update(format_version=version))
    words = rf"format 3, got {version} of an earlier visionkit.*train again"
    with pytest.raises(ValueError, match=words):
        read_manifest(bundle)


def test_a_newer_bundle_is_told_so_whatever_else_changed(bundle: Path) -> None:
    (bundle / MANIFEST).write_text(json.dumps({"format_version": 9, "parts": []}))
    with pytest.raises(ValueError, match=r"format 3, got 9"):
        read_manifest(bundle)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("weights.safetensors", b"weightz"),
        ("weights.safetensors", b"weight"),
        ("gallery/views/a.png", b""),
    ],
    ids=["changed", "cut", "emptied"],
)
def test_a_damaged_file_is_named(bundle: Path, name: str, content: bytes) -> None:
    (bundle / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} was changed or damaged.*source again"):
        read_manifest(bundle)


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / "gallery/views/a.png").unlink()
    with pytest.raises(ValueError, match=r"gallery/views/a\.png is missing"):
        read_manifest(bundle)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"format_version": 3}',
        '{"format_version": "one", "files": {}}',
        '{"format_version": 3, "files": 3}',
        '{"format_version": Infinity, "files": {}}',
        "[" * 100_000,
        "\udcff",
    ],
    ids=[
        "empty",
        "cut",
        "a list",
        "null",
        "nothing in it",
        "no files",
        "no number",
        "files are no list",
        "infinite version",
        "nested without end",
        "no UTF-8",
    ],
)
def test_a_damaged_manifest_is_named(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=rf"{MANIFEST} must be whole.*source again"):
        read_manifest(bundle)


@pytest.mark.parametrize("place", ["../secret", "/etc/hostname", "gallery/../../secret"])
def test_files_outside_the_bundle_are_refused(bundle: Path, place: str) -> None:
    (bundle.parent / "secret").write_bytes(b"weights")
    rewrite(bundle, lambda content: content["files"].update({place: "0" * 64}))
    with pytest.raises(ValueError, match="must lie within it"):
        read_manifest(bundle)
