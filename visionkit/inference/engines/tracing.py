"""A graph as ONNX: what all other engines read."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import torch
from torch.jit._trace import TracerWarning  # where it is public it has no type

from visionkit.inference.engines.graph import Graph

FRAMES = "frames"
"""Name of the graph's input."""
_OPSET = 18
_EXAMPLE = (2, 97, 130, 3)
"""No side is a multiple of a stride, so that padding is recorded; several frames, lest one be
taken for all."""


def traced(graph: Graph) -> bytes:
    """ONNX of the graph, for any number and size of frames.

    Args:
        graph: in evaluation mode, on the CPU.
    """
    example = torch.zeros(_EXAMPLE, dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        path = Path(folder) / "graph.onnx"
        # Checks of shapes are not recorded, which is right: frames are made by our own code.
        warnings.simplefilter("ignore", TracerWarning)
        # By tracing, which torch calls the old way: the new one takes 70 seconds instead of 2 where
        # sizes may be any.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            graph,
            (example,),
            path,
            dynamo=False,
            dynamic_axes={FRAMES: {0: "batch", 1: "height", 2: "width"}},
            input_names=[FRAMES],
            output_names=list(graph.names),
            opset_version=_OPSET,
        )
        return path.read_bytes()
