"""What the debugger finds, and the file that it is kept in."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from visionkit.files import write_json

FILE_NAME = "findings.json"
"""Name of the file in the folder of a run."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a training.

    Attributes:
        rule: which rule found it, for instance "vanishing_gradient".
        what: what is wrong, a few words.
        layer: where: the name of a parameter or module, or "input", "loss" or "data".
        step: since which step, from 0.
        figure: what was measured.
        limit: what it should have kept.
        why: why it matters, two plain sentences.
        override: what to try, as it is typed behind `visionkit train`, or in words.
        hopeless: whether the training can't recover from it.
    """

    rule: str
    what: str
    layer: str
    step: int
    figure: float
    limit: float
    why: str
    override: str
    hopeless: bool = False

    def __str__(self) -> str:
        """All of it, in three lines."""
        return (
            f"{self.rule}: {self.what} in {self.layer}, since step {self.step} "
            f"({self.figure:.3g}, limit {self.limit:.3g}).\n  {self.why}\n  Try: {self.override}"
        )


def write_findings(path: Path, findings: Iterable[Finding]) -> None:
    """Writes findings as JSON, a list; none is an empty list.

    Figures that are no finite numbers are written as null.

    Raises:
        RuntimeError: the disk is full.
    """
    write_json(path, [_plain(finding) for finding in findings])


def read_findings(path: Path) -> list[Finding]:
    """The findings of a file; none where there is no such file.

    Raises:
        ValueError: the file is damaged.
    """
    if not path.is_file():
        return []
    read = json.loads(path.read_text("utf-8"))
    try:
        return [Finding(**{**each, "figure": _number(each["figure"])}) for each in read]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path} must be a list of findings as visionkit writes it, got an entry with other "
            f"keys ({error}); delete the file, the next training writes it anew"
        ) from error


def _plain(finding: Finding) -> dict[str, Any]:
    values = {entry.name: getattr(finding, entry.name) for entry in fields(finding)}
    if not math.isfinite(finding.figure):
        values["figure"] = None
    return values


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
