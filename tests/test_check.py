from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest

from visionkit import check
from visionkit.check import (
    check_albumentations,
    check_folder,
    check_gpu,
    check_hub,
    check_opencv,
    check_python,
    check_requirements,
    check_torch,
)


def test_an_old_python_is_wrong() -> None:
    result = check_python((3, 10, 4))
    assert (result.level, "3.10.4" in result.text) == ("wrong", True)
    assert "3.11" in result.way_out
    assert check_python((3, 11, 0)).level == "ok"


def test_nothing_installed_is_told_as_such() -> None:
    (result,) = check_requirements({})
    assert result.level == "wrong"
    assert "pip install -e ." in result.way_out


@pytest.mark.parametrize(
    ("installed", "requirements", "expected"),
    [
        ({"timm": "1.0.31"}, ["timm>=1.0.20"], []),
        ({"timm": "1.0.3"}, ["timm>=1.0.20"], ["timm must be >=1.0.20, got 1.0.3"]),
        ({}, ["timm"], ["timm must be installed, got none"]),
        ({"torch": "2.13.0+cpu"}, ["torch>=2.11"], []),
        ({"typing-extensions": "4.1"}, ["Typing_Extensions>=4"], []),
        ({}, ["pytest>=8 ; extra == 'test'", "colorama ; sys_platform == 'vms'"], []),
    ],
    ids=["met", "too old", "missing", "local version", "other spelling", "does not apply"],
)
def test_requirements(
    installed: dict[str, str], requirements: list[str], expected: list[str]
) -> None:
    results = check_requirements(installed, requirements)
    assert [result.text for result in results if result.level == "wrong"] == expected


def test_two_opencv_wheels_are_wrong_and_one_is_not() -> None:
    both = check_opencv({"opencv-python": "4.12", "opencv-python-headless": "4.12"})
    assert both.level == "wrong"
    assert "opencv-python and opencv-python-headless" in both.text
    assert "pip uninstall -y opencv-python opencv-python-headless" in both.way_out
    assert check_opencv({"opencv-python-headless": "5.0.0.93"}).level == "ok"
    assert check_opencv({}).level == "wrong"


def test_the_agpl_successor_of_albumentations_is_wrong_even_beside_it() -> None:
    result = check_albumentations({"albumentations": "2.0.8", "albumentationsx": "2.5.1"})
    assert result.level == "wrong"
    assert "AGPL" in result.text
    assert check_albumentations({"albumentations": "2.0.8"}).level == "ok"


def test_the_installed_torch_and_torchvision_fit() -> None:
    assert check_torch({"torch": "2.15.0", "torchvision": "0.29.2"}).level == "ok"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("operator torchvision::nms does not exist\nmore lines"),
        ImportError("undefined symbol: _ZN5torch"),
    ],
    ids=["operators not registered", "library does not load"],
)
def test_a_torchvision_that_does_not_fit_names_both_and_where_to_get_them(error: Exception) -> None:
    def load(name: str) -> Any:
        if name == "torch":
            return types.SimpleNamespace()
        raise error

    result = check_torch({"torch": "2.13.0+cpu", "torchvision": "0.29.2"}, load)
    assert result.level == "wrong"
    assert "torch 2.13.0+cpu and torchvision 0.29.2 don't match" in result.text
    assert "more lines" not in result.text
    assert "--index-url https://download.pytorch.org/whl/cpu" in result.way_out


def test_a_missing_torch_is_wrong() -> None:
    def load(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    assert check_torch({}, load).level == "wrong"
    assert check_gpu(load).level == "note"


@pytest.mark.parametrize(
    ("cuda", "expected"),
    [(None, "built without CUDA"), ("13.2", "though torch was built for CUDA 13.2")],
)
def test_no_gpu_is_a_note_that_says_why(cuda: str | None, expected: str) -> None:
    torch = types.SimpleNamespace(
        __version__="2.13.0",
        cuda=types.SimpleNamespace(is_available=lambda: False),
        backends=types.SimpleNamespace(mps=types.SimpleNamespace(is_available=lambda: False)),
        version=types.SimpleNamespace(cuda=cuda),
    )
    result = check_gpu(lambda _: torch)
    assert result.level == "note"
    assert expected in result.text


def test_no_hub_is_a_note_that_names_the_other_two_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(check.socket, "create_connection", refuse)
    for environment in ({}, {"HF_HUB_OFFLINE": "1"}):
        result = check_hub(environment)
        assert result.level == "note"
        assert "weights=starter" in result.way_out
        assert "weights=file" in result.way_out


def test_a_folder_that_can_be_written_to_is_left_as_it_was(tmp_path: Path) -> None:
    assert check_folder(tmp_path).level in ("ok", "note")  # a note where less than 1 GB is free
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_wrong(tmp_path: Path) -> None:
    result = check_folder(tmp_path / "missing")
    assert result.level == "wrong"
    assert "output=PATH" in result.way_out


def test_a_mistyped_flag_is_not_taken_for_a_folder() -> None:
    with pytest.raises(ValueError, match="takes a folder or --help, got '--hlp'"):
        check.main(["--hlp"])


def test_the_exit_status_says_whether_anything_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    results = [check.Result("ok", "fine"), check.Result("note", "no GPU", "buy one")]
    monkeypatch.setattr(check, "check_environment", lambda folder: results)
    assert check.main([str(tmp_path)]) == 0
    results.append(check.Result("wrong", "two OpenCVs", "remove one"))
    assert check.main([str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "wrong  two OpenCVs" in out
    assert "-> remove one" in out
    assert out.endswith("1 thing wrong\n")
