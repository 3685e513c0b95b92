"""The pictures of the frozen test set, which people are not asked about: it must stay as it is."""

from __future__ import annotations

import json
from pathlib import Path

FILE = "frozen_test.json"
"""Where retrain writes it, in the folder of the catalog."""


def read_frozen(catalog: str | Path, file: str | Path | None = None) -> frozenset[str]:
    """Ids of the frozen pictures; none where nothing is frozen yet.

    Args:
        catalog: folder of the catalog; an address of object storage has no such file.
        file: as `loop.frozen` names it, in the place of the one in that folder.

    Raises:
        FileNotFoundError: the file that is named is not there.
        ValueError: the file is damaged.
    """
    if file is None and ("://" in str(catalog) or not (Path(catalog) / FILE).is_file()):
        return frozenset()
    path = Path(catalog) / FILE if file is None else Path(file)
    if not path.is_file():
        raise FileNotFoundError(
            f"frozen must be the file that retrain wrote as loop.frozen, but there is none at "
            f"{path}; leave it out until something is frozen"
        )
    try:
        return frozenset(map(str, json.loads(path.read_text("utf-8"))["pictures"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} must say which pictures are frozen, got {type(error).__name__}: {error}; take "
            "it from a copy, or say loop.refreeze=true to retrain"
        ) from error
