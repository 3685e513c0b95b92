"""How to type a command of visionkit, so that it can be copied from what a job says."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def command_line(command: str, *words: str) -> list[str]:
    """The words that start `command` in the way in which this process was started.

    From a checkout that is `python scripts/<command>.py`, from elsewhere `visionkit <command>`,
    with the path of an environment that is not activated.

    Args:
        command: for instance "train".
        words: what follows, as it is.
    """
    started = Path(sys.argv[0])
    script = started.parent / f"{command}.py"
    if started.parent.name == "scripts" and started.suffix == ".py" and script.is_file():
        return [_program("python", sys.executable), os.fspath(script), *words]
    if started.name == "__main__.py" and started.parent.name == "visionkit":
        return [_program("python", sys.executable), "-m", "visionkit", command, *words]
    if started.stem == "visionkit":
        return [_program("visionkit", os.fspath(started)), command, *words]
    return ["visionkit", command, *words]


def _program(name: str, path: str) -> str:
    """`name` where it starts what lies at `path`, otherwise the shortest path there."""
    found = shutil.which(name)
    # By the folder: the Python of an environment is a link to one that other environments have.
    if found is not None and Path(found).absolute().parent == Path(path).absolute().parent:
        return name
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative
