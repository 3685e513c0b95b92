"""Predictors to be saved, and bundles of them to be changed and damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.worlds import SETTINGS, photo, whole_backbone
from visionkit.inference.predictor import Predictor
from visionkit.models import bundle as bundle_module


def new_predictor() -> Predictor:
    """A predictor with an empty gallery."""
    return Predictor.create(
        whole_backbone(),
        background=[photo(seed) for seed in range(900, 904)],
        settings=SETTINGS,
        device="cpu",
    )


def reseal(folder: Path) -> None:
    """Makes the hashes of a bundle fit what lies there."""
    path = folder / "bundle.json"
    content = json.loads(path.read_text())
    content["files"] = {
        file.relative_to(folder).as_posix(): bundle_module._sha256(file)
        for file in folder.rglob("*")
        if file.is_file() and file != path
    }
    path.write_text(json.dumps(content))


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edits the manifest of a bundle in place."""
    path = folder / "bundle.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
