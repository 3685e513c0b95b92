"""Networks that were converted for OpenVINO by themselves, kept outside the bundles.

A folder of the user's cache holds one for each network and each set of package versions. What lies
there is never believed: every time its answers on a few photos are compared with torch's.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from visionkit.data.demo import stock_backgrounds
from visionkit.files import atomic_folder
from visionkit.inference.agreement import Distances, distances
from visionkit.inference.engines.choice import Started, is_installed, start
from visionkit.inference.engines.exporting import package_versions, write_graphs
from visionkit.inference.engines.graph import Graph, weights_id
from visionkit.inference.predictor import Predictor

NAME = "openvino_fp32"
"""What is made: of single precision, whose answers are torch's but for rounding."""
CACHE_VARIABLE = "VISIONKIT_CACHE"
"""Environment variable that names another cache folder."""
_ENGINE, _, _PRECISION = NAME.partition("_")
_COMPARED = 2
"""Photos that are compared each time: what is wrong with a conversion shows on any."""


@dataclass(frozen=True)
class Converted:
    """A network that was converted, or found converted.

    Attributes:
        started: ready to run.
        seconds: that converting and comparing took.
        is_new: whether it was made now.
    """

    started: Started
    seconds: float
    is_new: bool


def can_be_converted(predictor: Predictor) -> bool:
    """Whether a network runs by torch on a CPU where OpenVINO is installed."""
    device = next(predictor.backbone.parameters()).device
    return predictor.engine == "torch" and device.type == "cpu" and is_installed(_ENGINE)


def converted(predictor: Predictor, cache: Path | None = None) -> Converted:
    """The network of a predictor for OpenVINO, from the cache or made now.

    Several processes may ask at once: each folder appears whole.

    Args:
        predictor: that runs by torch on a CPU.
        cache: folder; None takes `cache_folder()`.

    Raises:
        ValueError: its answers are further from torch's than export allows.
        RuntimeError: it can't be converted, or the disk is full.
        OSError: the cache can't be written.
    """
    began = time.monotonic()
    graphs = predictor.graphs()
    folder = (cache or cache_folder()) / "engines" / _key(graphs) / NAME
    found = _started(predictor, graphs, folder) if folder.is_dir() else "there is none"
    is_new = isinstance(found, str)
    if is_new:
        _write(graphs, folder)
        found = _started(predictor, graphs, folder)
    if isinstance(found, str):
        raise ValueError(found)
    return Converted(found, time.monotonic() - began, is_new)


def cache_folder() -> Path:
    """Where what can be made again is kept for this user: `$VISIONKIT_CACHE`, or as is usual."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", "~")).expanduser() / "visionkit" / "cache"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/visionkit").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "visionkit"


def _write(graphs: Mapping[str, Graph], folder: Path) -> None:
    """Writes the folder, over one that is damaged; what another process has just made stays."""
    damaged = folder.is_dir()
    try:
        with atomic_folder(folder, overwrite=damaged) as made:
            write_graphs(graphs, _ENGINE, _PRECISION, made, frames={})
    except OSError:
        if damaged or not folder.is_dir():
            raise


def _started(predictor: Predictor, graphs: Mapping[str, Graph], folder: Path) -> Started | str:
    """The network of a folder; what is wrong with it where it can't be used."""
    try:
        started = start(folder, _ENGINE, graphs)
        found: Distances = distances(predictor, started, stock_backgrounds()[:_COMPARED])
    except ValueError as error:
        return str(error)
    wrong = found.beyond(_PRECISION)
    words = ", ".join(f"{name} {value:.3g}" for name, value in wrong.items())
    return f"its answers are beyond the tolerance of {_PRECISION}: {words}" if wrong else started


def _key(graphs: Mapping[str, Graph]) -> str:
    """A name for what a conversion depends on."""
    weights = {name: weights_id(graph) for name, graph in graphs.items()}
    made_of = json.dumps([NAME, weights, package_versions()], sort_keys=True)
    return hashlib.sha256(made_of.encode()).hexdigest()[:32]
