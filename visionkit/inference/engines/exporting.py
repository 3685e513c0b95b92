"""Exporting a network: its graphs in the form of an engine, as files."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from visionkit.data.framing import Framing, frame
from visionkit.inference.engines.choice import engine_module
from visionkit.inference.engines.exported import graph_file
from visionkit.inference.engines.graph import Graph
from visionkit.inference.engines.tracing import traced
from visionkit.matching.pyramid import PyramidSettings, looked_at
from visionkit.types import Image

KEPT = (
    # The last sums are numbers that mean something: a side of 500 pixels in 256 steps is coarse.
    (r"/localization/[^/]+", r"/localization/box_branch/[^/]+", r"/classification/.*"),
    # All heads, and the first layer, whose few channels see raw pixels.
    (r"/localization/.*", r"/classification/.*", r".*/conv_stem/.*"),
)
"""Layers that stay in floats, by names: what is tried first, and what where that loses too much."""
_PACKAGES = ("visionkit", "torch", "openvino", "nncf", "onnx", "onnxruntime")


def write_graphs(
    graphs: Mapping[str, Graph],
    engine: str,
    precision: str,
    folder: Path,
    *,
    frames: Mapping[str, Sequence[NDArray[np.uint8]]],
    kept: Sequence[str] = (),
) -> None:
    """Writes the graphs in the form of an engine.

    Args:
        graphs: on the CPU, by name.
        engine: of `EXPORTERS`.
        precision: of `PRECISIONS`.
        folder: that is written to.
        frames: graph -> (1, H, W, 3) uint8 RGB that ranges of eight bits are fixed on.
        kept: names of layers that stay in floats with eight bits, regular expressions.

    Raises:
        ModuleNotFoundError: the engine, or NNCF for eight bits, is not installed.
        RuntimeError: the network can't be traced.
    """
    module = engine_module(engine)
    folder.mkdir(parents=True, exist_ok=True)
    for name, graph in graphs.items():
        model = module.read(traced(graph))
        if precision == "int8":
            model = _in_eight_bits(model, frames[name], module.feed, kept)
        module.save(model, graph_file(folder, name, module.SUFFIX), half=precision == "fp16")


def framed(pictures: Iterable[Image], framings: Iterable[Framing]) -> list[NDArray[np.uint8]]:
    """(1, H, W, 3) uint8 RGB each: every picture in every frame that a trained head sees."""
    every = sorted({*framings}, key=str)
    return [frame(picture, framing)[0][None] for picture in pictures for framing in every]


def scaled(pictures: Iterable[Image], settings: PyramidSettings) -> list[NDArray[np.uint8]]:
    """(1, H, W, 3) uint8 RGB each: every picture at the scales that the exemplar head sees."""
    seen: list[NDArray[np.uint8]] = []

    def keep(image: Image) -> torch.Tensor:
        seen.append(image[None])
        return torch.zeros(1, 1, 1)

    for picture in pictures:
        looked_at(picture, keep, settings)
    return seen


def package_versions() -> dict[str, str]:
    """Package -> version of what an exported network was made with, of those installed."""
    there = {found.metadata["Name"] for found in metadata.distributions()}
    return {name: metadata.version(name) for name in _PACKAGES if name in there}


def _in_eight_bits(
    model: Any,
    frames: Sequence[NDArray[np.uint8]],
    feed: Callable[[NDArray[np.uint8]], Any],
    kept: Sequence[str],
) -> Any:
    if importlib.util.find_spec("nncf") is None:
        raise ModuleNotFoundError(
            "precision=int8 must have NNCF, got none; install it with "
            "pip install 'visionkit[openvino]'"
        )
    from visionkit.inference.engines.quantising import quantised

    return quantised(model, frames, feed, kept=kept)
