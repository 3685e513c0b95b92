"""The command line: `visionkit train|evaluate|predict|gallery|check` and `scripts/*.py`."""

from visionkit.cli.entry import main

__all__ = ["main"]
