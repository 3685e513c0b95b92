"""What all tasks have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class TaskConfig:
    """What is learned (conf/task); each task has its own fields beside the name."""

    name: str
