"""What a job gives back to whoever called it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Summary:
    """Where the results of a job lie, and its figures.

    Attributes:
        run_folder: of the results.
        metrics: name -> value; all are finite.
        unread: how much of what was asked about could not be read.
        exit_status: of a run that is done, for those who call it; 0 where there is nothing to say.
    """

    run_folder: Path
    metrics: Mapping[str, float] = field(default_factory=dict)
    unread: int = 0
    exit_status: int = 0
