from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.training.test_fit import QUICK, trained
from visionkit.training import lightning_parts
from visionkit.training.progress import EpochProgress

SHOWN = replace(QUICK, progress=True)
LINE = r"Epoch {} of 3: loss \d\.\d{{4}}, validation loss \d\.\d{{4}}, \d+ s"


def test_a_line_an_epoch_where_the_output_is_no_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path, SHOWN)
    out, err = capfd.readouterr()
    assert not err
    assert "\r" not in out
    assert "\x1b" not in out
    lines = out.splitlines()
    assert len(lines) == 3
    for number, line in enumerate(lines, start=1):
        assert re.fullmatch(LINE.format(number), line)


def test_a_bar_in_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, _environ={})
    monkeypatch.setattr(lightning_parts, "EpochProgress", lambda: EpochProgress(console))
    trained(tmp_path, SHOWN)
    shown = screen.getvalue()
    assert "Epoch 2 of 3 " in shown
    assert "Epoch 2 of 3: validation" in shown
    assert "0/3" in shown  # six scenes, two a step
    for number in (1, 2, 3):
        assert re.search(LINE.format(number), shown)
    assert "\x1b[?25h" in shown.rsplit("\n", 1)[-1]  # the cursor is back


def test_silent_where_it_is_switched_off(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained(tmp_path)
    assert capfd.readouterr() == ("", "")
