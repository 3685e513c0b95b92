"""Which engine runs a bundle's network."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch

from visionkit.inference.engines.exported import (
    EXPORTERS,
    PRECISIONS,
    exports_in,
    graph_file,
    read_export,
)
from visionkit.inference.engines.graph import Graph, HeadsGraph, weights_id
from visionkit.inference.engines.network import Network
from visionkit.matching.pyramid import Look

ENGINES = (
    "auto",
    "torch",
    "torch_compiled",
    *EXPORTERS,
    *(f"{engine}_{precision}" for engine in EXPORTERS for precision in PRECISIONS),
)
"""What an engine may be called."""
_MODULES = {
    "onnx": ("visionkit.inference.engines.onnx_engine", ("onnx", "onnxruntime")),
    "openvino": ("visionkit.inference.engines.openvino_engine", ("openvino",)),
}


@dataclass(frozen=True)
class Started:
    """An exported network that is ready.

    Attributes:
        name: of the export, such as "openvino_int8".
        network: of the trained heads; None where there are none.
        look: what sees scenes for the exemplar head; None where there is none.
    """

    name: str
    network: Network | None
    look: Look | None


def chosen_export(engine: str, bundle: str | Path, device: torch.device) -> str | None:
    """The name of the exported network to use, or None for torch.

    "auto" takes OpenVINO on a CPU, where it is installed and the bundle has a network for it: that
    of eight bits first if its loss on labelled pictures was within the limit, and last if that is
    not known. Nothing is converted while loading, since that takes ten seconds and export looks at
    the answers of what it makes, which loading could not.

    Raises:
        ValueError: there is no such engine, it doesn't run on the device, nothing was exported
            for it, or what was written of an export is damaged.
        ModuleNotFoundError: the engine is not installed.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    there = exports_in(bundle)
    if engine == "auto":
        if device.type != "cpu" or not is_installed("openvino"):
            return None
        return next(iter(_of_engine("openvino", there)), None)
    if engine.startswith("torch"):
        return None
    if device.type != "cpu":
        raise ValueError(f"engine={engine} must run on a cpu, got device {device}; take torch")
    kind = engine.partition("_")[0]
    engine_module(kind)
    found = [engine] if engine in there else _of_engine(engine, there)
    if not found:
        precision = engine.partition("_")[2] or "fp32"
        raise ValueError(
            f"the bundle must hold a network for engine={engine}, got "
            f"{', '.join(there) or 'none'} [{bundle}]; make it with visionkit export "
            f"bundle={bundle} engine={kind} precision={precision}"
        )
    return found[0]


def start_export(name: str, bundle: str | Path, graphs: Mapping[str, Graph]) -> Started:
    """An exported network, ready to run.

    Args:
        name: of the export.
        bundle: that holds it.
        graphs: of the bundle's own network, "heads" and "search".

    Raises:
        ValueError: it is damaged, or was made of other weights.
        ModuleNotFoundError: the engine is not installed.
    """
    folder = exports_in(bundle)[name]
    export = read_export(folder)
    stale = [key for key, graph in graphs.items() if export.weights.get(key) != weights_id(graph)]
    if stale:
        raise ValueError(
            f"{name} must be made of the bundle's own weights, but its {' and '.join(stale)} "
            f"are others [{folder}]; export again with overwrite=true"
        )
    return start(folder, export.engine, graphs)


def start(folder: Path, engine: str, graphs: Mapping[str, Graph]) -> Started:
    """The network whose graphs lie in a folder.

    Raises:
        ValueError: a file is no model.
    """
    module = engine_module(engine)
    network, look = None, None
    for key, graph in graphs.items():
        path = graph_file(folder, key, module.SUFFIX)
        try:
            if isinstance(graph, HeadsGraph):
                network = module.ExportedNetwork(path)
            else:
                look = module.ExportedLook(path)
        except module.ERRORS as error:
            what = " ".join(str(error).split())
            raise ValueError(
                f"an exported network must be a model of {engine}, got {what} [{path}]; export "
                "again with overwrite=true"
            ) from error
    return Started(folder.name, network, look)


def is_installed(engine: str) -> bool:
    """Whether an engine of `EXPORTERS` can be imported."""
    return all(importlib.util.find_spec(name) is not None for name in _MODULES[engine][1])


def engine_module(engine: str) -> ModuleType:
    """The module that runs an engine of `EXPORTERS`.

    Raises:
        ModuleNotFoundError: what it stands on is not installed.
    """
    if not is_installed(engine):
        raise ModuleNotFoundError(
            f"engine={engine} must have its packages, got none; install them with "
            f"pip install 'visionkit[{engine}]', or take engine=torch"
        )
    return importlib.import_module(_MODULES[engine][0])


def _of_engine(engine: str, there: Mapping[str, Path]) -> list[str]:
    """Names of what was exported for an engine, the one to take first.

    Raises:
        ValueError: what was written of one is damaged.
    """
    names = [f"{engine}_{precision}" for precision in PRECISIONS]
    found = [name for name in names if name in there]
    return sorted(found, key=lambda name: not read_export(there[name]).is_judged_good)
