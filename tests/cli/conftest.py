"""A job that stands in for the real ones, so that the command line is tested without training."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from visionkit.cli import commands, entry


@dataclass(frozen=True)
class Summary:
    run_folder: Path
    metrics: dict[str, float] = field(default_factory=dict)
    unread: int = 0
    exit_status: int = 0


@dataclass
class Job:
    """Stands in for a real job: remembers what it was called with and does what a test sets."""

    action: Callable[[Any, Path], None] = lambda config, folder: None
    calls: list[tuple[Any, Path]] = field(default_factory=list)

    def __call__(self, config: Any, folder: Path) -> Summary:
        self.calls.append((config, folder))
        self.action(config, folder)
        (folder / "report.html").write_text("report")
        return Summary(folder, {"ap50": 0.5, "false_alarms": float("nan")})


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Job:
    monkeypatch.chdir(tmp_path)
    job = Job()
    for name, command in commands.COMMANDS.items():
        monkeypatch.setitem(entry.COMMANDS, name, replace(command, job=job))
    return job


def record(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return content
