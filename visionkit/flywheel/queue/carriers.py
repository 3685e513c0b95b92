"""The pictures that carry a drift, as monitor found them: a file in the folder of the catalog."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from visionkit.files import write_json

CARRIERS_NAME = "drift.json"
"""The file, in the folder of a catalog."""


def write_carriers(catalog: str | Path, sentences: Mapping[str, str]) -> None:
    """Has these pictures asked first, in the place of those of an earlier run.

    Args:
        catalog: folder of the catalog.
        sentences: id of a picture -> why, with its figure.

    Raises:
        ValueError: the catalog is no folder.
        RuntimeError: the disk is full.
    """
    if "://" in str(catalog):
        raise ValueError(
            f"catalog must be a folder where pictures are put into its queue, got {catalog}; "
            "say queue=false"
        )
    write_json(Path(catalog) / CARRIERS_NAME, {"pictures": dict(sentences)})


def read_carriers(catalog: str | Path) -> dict[str, str]:
    """Id of a picture -> why it is asked; empty where monitor put none there.

    Raises:
        ValueError: the file is damaged.
    """
    path = Path(catalog) / CARRIERS_NAME
    if "://" in str(catalog) or not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text("utf-8"))
        return {str(name): str(words) for name, words in content["pictures"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{CARRIERS_NAME} must be as monitor wrote it, got {type(error).__name__}: {error} "
            f"[{path}]; delete it, or run monitor with queue=true again"
        ) from error
