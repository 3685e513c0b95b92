from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from visionkit import files
from visionkit.files import (
    atomic_folder,
    atomic_path,
    atomic_write,
    new_run_folder,
    write_bytes,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", fsync)


def test_writes_an_empty_file_in_folders_that_were_missing(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b" / "empty.bin", b"")
    assert (tmp_path / "a" / "b" / "empty.bin").read_bytes() == b""


def test_replaces_a_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_text(tmp_path / "é.txt", "old")
    write_text(tmp_path / "é.txt", "neu: ü\n")
    assert (tmp_path / "é.txt").read_bytes() == "neu: ü\n".encode()
    assert names(tmp_path) == ["é.txt"]


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "old")
    with pytest.raises(KeyError), atomic_write(tmp_path / "file") as file:
        file.write(b"half of the ne")
        raise KeyError("stop")
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    write_text(tmp_path / "atomic", "x")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    write_text(tmp_path / "target", "old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_a_name_as_long_as_file_systems_allow_can_be_written(tmp_path: Path) -> None:
    name = "ü" * 127  # 254 bytes
    write_text(tmp_path / name, "x")
    assert names(tmp_path) == [name]


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "table.parquet").write_text("old")
    with pytest.raises(RuntimeError, match=r"disk is full: .*table\.parquet .*free some space"):
        write_bytes(tmp_path / "table.parquet", b"new")
    assert (tmp_path / "table.parquet").read_text() == "old"
    assert names(tmp_path) == ["table.parquet"]


def test_a_full_disk_is_recognised_when_a_library_reports_it(tmp_path: Path) -> None:
    class SafetensorError(Exception):
        pass

    text = "I/O error: No space left on device (os error 28)"
    with (
        pytest.raises(RuntimeError, match="disk is full"),
        atomic_path(tmp_path / "weights.safetensors"),
    ):
        raise SafetensorError(text)


def test_another_error_of_the_system_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "file" / "below", "x")


def test_a_process_that_is_killed_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "old")
    code = (
        "import os, signal, sys\n"
        "from visionkit.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as file:\n"
        "    file.write(b'half'); file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(files.__file__).parents[1]
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "file")], cwd=root)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "file").read_text() == "old"
    left = [name for name in names(tmp_path) if name != "file"]
    assert all(name.startswith(".") and name.endswith(".partial") for name in left)


def test_json_refuses_what_json_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "metrics.json", {"ap": float("nan")})
    assert names(tmp_path) == []


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "bundle") as folder:
        (folder / "gallery").mkdir()
        (folder / "gallery" / "a.json").write_text("{}")
        assert not (tmp_path / "bundle").exists()
    assert names(tmp_path) == ["bundle"]
    assert (tmp_path / "bundle" / "gallery" / "a.json").read_text() == "{}"


def test_a_folder_that_is_there_is_kept_unless_overwriting(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "old").touch()
    with (
        pytest.raises(FileExistsError, match=r"bundle is already there.*overwrite=true"),
        atomic_folder(tmp_path / "bundle"),
    ):
        pass
    with atomic_folder(tmp_path / "bundle", overwrite=True) as folder:
        (folder / "new").touch()
    assert names(tmp_path / "bundle") == ["new"]
    assert names(tmp_path) == ["bundle"]


def test_an_error_while_filling_a_folder_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "old").touch()
    with (
        pytest.raises(ValueError, match="half"),
        atomic_folder(tmp_path / "bundle", overwrite=True),
    ):
        raise ValueError("half")
    assert names(tmp_path / "bundle") == ["old"]
    assert names(tmp_path) == ["bundle"]


def test_two_runs_within_a_second_get_folders_of_their_own(tmp_path: Path) -> None:
    now = time.struct_time((2026, 11, 23, 20, 5, 9, 0, 327, 0))
    folders = [new_run_folder(tmp_path, "exemplar", now=now) for _ in range(3)]
    assert [folder.name for folder in folders] == [
        "2026-11-23_20-05-09",
        "2026-11-23_20-05-09_2",
        "2026-11-23_20-05-09_3",
    ]
    assert names(tmp_path / "exemplar") == sorted(folder.name for folder in folders)
