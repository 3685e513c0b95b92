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
        used: as of `visionkit.config.used_paths`; globs mean what matches them now.

    Raises:
        FileExistsError: one does; it names the option.
    """
    for name, value in used:
        if "://" not in value and lies_in(folder, [value, *_matches(value)]):
            raise FileExistsError(
                f"output must hold nothing that the run uses, but {name}={value} lies in {folder} "
                "and overwrite=true would delete it; choose another"
            )


def lies_in(folder: Path, paths: Iterable[str | Path]) -> bool:
    """Whether any of the paths is a folder, or leads through it, by whatever links."""
    place = folder.resolve()
    steps: set[Path] = set()
    for path in paths:
        whole = Path(os.path.abspath(path))
        steps |= {Path(path), whole, *whole.parents}
    return any(step.resolve().is_relative_to(place) for step in steps)


def _matches(pattern: str) -> list[Path]:
    """The files that a glob matches; none of a path that is there, which is meant literally."""
    if Path(pattern).exists():
        return []
    with suppress(FileNotFoundError):  # the job says so
        return files_of(pattern)
    return []
