"""What an output may not take the place of: what is used to make it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from visionkit.data.picture_files import files_of


def check_not_used(folder: Path, used: Iterable[tuple[str, str]]) -> None:
    """Passes if nothing that is used lies in a folder that is to be deleted.

    Args:
        folder: the output, or a folder of it.
        used: as of `visionkit.config.used_paths`. A glob counts where all that it matches lies
            there: one over everything also finds what the run to be deleted has made.

    Raises:
        FileExistsError: one does; it names the option.
    """
    for name, value in used:
        if "://" not in value and _is_lost(folder, value):
            raise FileExistsError(
                f"output must hold nothing that the run uses, but {name}={value} lies in {folder} "
                "and overwrite=true would delete it; choose another"
            )


def _is_lost(folder: Path, value: str) -> bool:
    if os.path.lexists(value) or not any(sign in value for sign in "*?["):
        return lies_in(folder, value)
    found = _matches(value)
    return bool(found) and all(lies_in(folder, file) for file in found)


def lies_in(folder: Path, path: str | Path) -> bool:
    """Whether a path is a folder, or leads through it, by whatever links."""
    place, whole = folder.resolve(), Path(os.path.abspath(path))
    steps = [Path(path), whole, *whole.parents]
    return any(step.resolve().is_relative_to(place) for step in steps)


def _matches(pattern: str) -> list[Path]:
    """The files that a glob matches."""
    with suppress(FileNotFoundError):  # the job says so
        return files_of(pattern)
    return []
