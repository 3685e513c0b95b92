"""Bars: a printed line each, a dated CSV row each, and the exit status of `--check`."""

from __future__ import annotations

import csv
import math
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import timm
import torch
import torchvision

import visionkit

_COLUMNS = (
    "date commit machine python torch torchvision timm visionkit command name figure low high "
    "bar goal verdict note"
).split()


@dataclass
class Ledger:
    """The figures of one run.

    Attributes:
        path: CSV file that rows are appended to.
        short: names of the bars that were missed.
    """

    path: Path
    short: list[str] = field(default_factory=list)

    def add(
        self,
        name: str,
        figure: float,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        goal: float | None = None,
        interval: tuple[float, float] | None = None,
        note: str = "",
    ) -> None:
        """Prints a figure with its bar and appends it; without a bar it is only reported."""
        bar = at_least if at_least is not None else at_most
        verdict = "reported"
        if bar is not None:
            reached = figure >= bar if at_least is not None else figure <= bar
            verdict = "ok" if reached and math.isfinite(figure) else "short"
        if verdict == "short":
            self.short.append(name)
        sign = "" if bar is None else (">= " if at_least is not None else "<= ")
        wanted = "-" if bar is None else f"{sign}{bar:.3f}"
        aim = "" if goal is None else f"  goal {goal:.2f}"
        around = "" if interval is None else f"  [{interval[0]:.3f}, {interval[1]:.3f}]"
        print(f"{name:58s} {figure:8.3f}  {wanted:>9s}  {verdict}{aim}{around}  {note}", flush=True)
        low, high = interval or ("", "")
        self._append(
            [name, round(figure, 4), low, high, "" if bar is None else f"{sign}{bar:.4f}"]
            + ["" if goal is None else goal, verdict, note]
        )

    def exit_status(self, *, check: bool) -> int:
        """Prints the bars that were missed; 1 where there are some and they are checked, else 0."""
        if self.short:
            print("\nshort:", *self.short, sep="\n  ")
        return 1 if check and self.short else 0

    def _append(self, values: list[object]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(_COLUMNS)
            writer.writerow([*_circumstances(), *values])


def _circumstances() -> list[object]:
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    return [
        time.strftime("%Y-%m-%dT%H:%M:%S"),
        _commit(),
        f"{platform.machine()} {torch.get_num_threads()} threads",
        platform.python_version(),
        torch.__version__,
        torchvision.__version__,
        timm.__version__,
        visionkit.__version__,
        "python benchmarks/" + " ".join(words),
    ]


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    found = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False
    )
    return found.stdout.strip() or "unknown"
