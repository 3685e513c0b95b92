from __future__ import annotations

import sys
from pathlib import Path

import pytest

from visionkit.jobs.program import command_line


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a checkout's scripts and an environment, none of it on the path."""
    for name in (
        "scripts/train.py",
        "scripts/predict.py",
        ".venv/bin/python",
        ".venv/bin/visionkit",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    return tmp_path


def test_from_a_checkout(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["scripts/train.py", "task=exemplar"])
    words = command_line("predict", "bundle=b")
    assert words == [".venv/bin/python", "scripts/predict.py", "bundle=b"]


def test_from_a_checkout_elsewhere(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (environment / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    monkeypatch.setattr(sys, "argv", ["../scripts/train.py"])
    python = str(environment / ".venv/bin/python")
    assert command_line("predict") == [python, "../scripts/predict.py"]


def test_in_an_activated_environment(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(environment / ".venv/bin"))
    monkeypatch.setattr(sys, "argv", ["scripts/train.py"])
    assert command_line("predict")[0] == "python"
    monkeypatch.setattr(sys, "argv", [str(environment / ".venv/bin/visionkit")])
    assert command_line("gallery", "list") == ["visionkit", "gallery", "list"]


def test_the_python_of_another_environment_is_not_taken_for_its_own(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = environment / "other"
    other.mkdir()
    (other / "python").symlink_to(environment / ".venv/bin/python")
    monkeypatch.setenv("PATH", str(other))
    monkeypatch.setattr(sys, "argv", ["scripts/train.py"])
    assert command_line("predict")[0] == ".venv/bin/python"


@pytest.mark.parametrize(
    ("started", "expected"),
    [
        (".venv/bin/visionkit", [".venv/bin/visionkit", "predict"]),
        ("visionkit/__main__.py", [".venv/bin/python", "-m", "visionkit", "predict"]),
        ("scripts/other.py", [".venv/bin/python", "scripts/predict.py"]),
        ("own/train.py", ["visionkit", "predict"]),
        ("", ["visionkit", "predict"]),
    ],
)
def test_other_ways(
    started: str, expected: list[str], environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    assert command_line("predict") == expected
