from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from visionkit.training.tensor_files import FeatureCache

MEGABYTE = 1 << 20


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_empty_cache_gives_nothing_and_makes_nothing(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", max_bytes=MEGABYTE)
    assert cache.get("a") is None
    assert not cache.has("a")
    assert not (tmp_path / "cache").exists()


def test_gives_back_what_was_put_rounded_to_half(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, max_bytes=MEGABYTE)
    exact = {"a": torch.tensor([1.5, -2.0]), "n": torch.tensor([3]), "b": torch.tensor([True])}
    exact["d"] = torch.tensor([1 / 3], dtype=torch.float64)
    put = cache.put("k", {**exact, "r": torch.tensor([1 / 3])})
    got = FeatureCache(tmp_path, max_bytes=MEGABYTE).get("k")
    assert got is not None
    for name, value in exact.items():
        assert torch.equal(got[name], value)
        assert got[name].dtype == value.dtype
    assert got["r"].dtype == torch.float32
    assert got["r"].item() == pytest.approx(1 / 3, abs=2**-12)
    assert all(torch.equal(put[name], got[name]) for name in got)


def test_values_that_half_precision_has_not_are_kept_whole(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, max_bytes=MEGABYTE)
    large = torch.tensor([1e5, 1 / 3])
    cache.put("k", {"x": large})
    assert torch.equal((cache.get("k") or {})["x"], large)
    odd = torch.tensor([float("inf"), float("nan"), 1.0])
    assert torch.equal(cache.put("odd", {"x": odd})["x"].isfinite(), odd.isfinite())


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_file_counts_as_missing_and_goes(tmp_path: Path, damage: str) -> None:
    cache = FeatureCache(tmp_path, max_bytes=MEGABYTE)
    cache.put("k", {"x": torch.ones(100)})
    (path,) = files(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
    path.write_bytes({"cut": content[:-5], "flip": content, "empty": b""}[damage])
    assert cache.get("k") is None
    assert files(tmp_path) == []


def test_what_was_not_used_for_longest_goes_when_the_limit_is_passed(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, max_bytes=10_000)
    for number in range(4):
        cache.put(str(number), {"x": torch.ones(1000)})  # about 2,100 bytes each
        for path in files(tmp_path):
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 10))
    assert cache.get("0") is not None  # used again: now the newest
    cache.put("4", {"x": torch.ones(1000)})
    cache.put("5", {"x": torch.ones(1000)})
    kept = {str(number) for number in range(6) if cache.has(str(number))}
    assert "1" not in kept
    assert {"0", "4", "5"} <= kept
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 10_000


def test_what_is_larger_than_the_limit_is_not_kept(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, max_bytes=3000)
    cache.put("small", {"x": torch.ones(100)})
    assert torch.equal(cache.put("large", {"x": torch.ones(5000)})["x"], torch.ones(5000))
    assert cache.has("small")
    assert not cache.has("large")


def test_only_its_own_files_and_abandoned_ones_are_removed(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    mine = tmp_path / "ab" / "thesis.txt"
    mine.write_text("x" * 5000)
    old, new = tmp_path / "ab" / ".a.1-2.partial", tmp_path / "ab" / ".b.1-2.partial"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, time.time() - 7200))
    cache = FeatureCache(tmp_path, max_bytes=1000)
    for number in range(5):
        cache.put(str(number), {"x": torch.ones(200)})
    assert mine.exists()
    assert new.exists()  # another process may be writing it
    assert not old.exists()


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    script = (
        "import sys, torch\n"
        "from visionkit.training.tensor_files import FeatureCache\n"
        "cache = FeatureCache(sys.argv[1], max_bytes=20_000)\n"
        "for turn in range(150):\n"
        "    key = str(turn % 30)\n"
        "    found = cache.get(key)\n"
        "    assert found is None or found['x'].tolist() == [float(key)] * 500, key\n"
        "    if found is None: cache.put(key, {'x': torch.full((500,), float(key))})\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    running = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert not [path for path in files(tmp_path) if path.suffix == ".partial"]


def test_a_limit_below_one_byte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_bytes"):
        FeatureCache(tmp_path, max_bytes=0)
