"""Networks that were exported into a bundle: where they lie and what was measured of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionkit.files import write_json

FOLDER = "engines"
EXPORTERS = ("onnx", "openvino")
"""Engines that run an exported network."""
PRECISIONS = ("int8", "fp32", "fp16")
"""In the order in which one is taken where none is named; what was not judged good comes last."""
_DESCRIPTION = "export.json"


@dataclass(frozen=True)
class Export:
    """A network in the form of an engine.

    Attributes:
        engine: of `EXPORTERS`.
        precision: of `PRECISIONS`.
        weights: graph ("heads", "search") -> `weights_id` of what it was made of.
        measured: plain JSON values: how far its answers are from torch's, on what, and what was
            allowed.
        versions: package -> version that made it.
    """

    engine: str
    precision: str
    weights: Mapping[str, str]
    measured: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The folder that holds it, and what the engine is called by."""
        return f"{self.engine}_{self.precision}"

    @property
    def is_judged_good(self) -> bool:
        """Whether it is known to answer well.

        Floats are, within a tolerance of torch, or they would not be there; eight bits if the loss
        of every head that was judged on labelled pictures, at least one, is within its limit. To
        be compared with torch alone says nothing of how many answers are right.
        """
        if self.precision != "int8":
            return True
        lost, limit = (self.measured.get(name) for name in ("lost", "max_loss"))
        return lost is not None and limit is not None and bool(lost <= limit)

    def write(self, folder: Path) -> None:
        """Writes the description beside the graphs."""
        write_json(folder / _DESCRIPTION, vars(self))


def exports_in(bundle: str | Path) -> dict[str, Path]:
    """Name -> folder of every exported network of a bundle."""
    found = sorted(Path(bundle).glob(f"{FOLDER}/*/{_DESCRIPTION}"))
    return {path.parent.name: path.parent for path in found}


def read_export(folder: Path) -> Export:
    """What `Export.write` wrote.

    Raises:
        ValueError: it is damaged.
    """
    path = folder / _DESCRIPTION
    try:
        return Export(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"{_DESCRIPTION} must be whole, got {type(error).__name__}: {error} [{path}]; export "
            "again with overwrite=true"
        ) from error


def graph_file(folder: Path, graph: str, suffix: str) -> Path:
    """Where a graph ("heads", "search") of an exported network lies."""
    return folder / f"{graph}{suffix}"
