"""ONNX Runtime: runs wherever there is no OpenVINO, other processors included."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as states
from torch import Tensor

from visionkit.inference.engines.graph import Graph, raw_outputs
from visionkit.inference.engines.network import RawOutputs
from visionkit.types import Image

SUFFIX = ".onnx"
ERRORS = (states.InvalidProtobuf, states.InvalidGraph, states.Fail, states.NoSuchFile)
"""What reading a file that is no model raises."""
_FRAMES = "frames"
_OPSET = 18
_SMALLEST = 64  # values; below, half precision saves nothing


class ExportedNetwork:
    """Trained heads run by ONNX Runtime on the CPU, with as many threads as torch has.

    Args:
        path: of the graph.

    Raises:
        RuntimeError: the file is no model.
    """

    def __init__(self, path: Path) -> None:
        self._session = _session(path)
        self._names = [output.name for output in self._session.get_outputs()]

    def outputs(
        self, frames: Sequence[Image] | NDArray[np.uint8], tasks: Collection[str]
    ) -> RawOutputs:
        """What the heads say, from one pass of the backbone; see `Network`."""
        found = self._session.run(self._names, {_FRAMES: np.stack(frames)})
        values = dict(zip(self._names, found, strict=True))
        return raw_outputs(values, tasks)


class ExportedLook:
    """The map that the exemplar head searches, of pictures of any size.

    Args:
        path: of the graph.

    Raises:
        RuntimeError: the file is no model.
    """

    def __init__(self, path: Path) -> None:
        self._session = _session(path)

    def __call__(self, image: Image) -> Tensor:
        """(C, h, w) float32 of a (H, W, 3) uint8 RGB picture."""
        found = self._session.run(None, {_FRAMES: np.ascontiguousarray(image)[None]})
        return torch.from_numpy(found[0])[0]


def convert(graph: Graph, example: Tensor) -> onnx.ModelProto:
    """The graph as ONNX, for any number and size of frames.

    Args:
        graph: in evaluation mode, on the CPU.
        example: (B, H, W, 3) uint8, B at least 2, of sizes that are no multiples of the network's
            strides, so that padding is recorded.
    """
    moving = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, about its own parts
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: moving, 1: moving, 2: moving},),
            input_names=[_FRAMES],
            output_names=list(graph.names),
            opset_version=_OPSET,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export must give a program, got none")
    return program.model_proto


def save(model: onnx.ModelProto, path: Path, *, half: bool) -> None:
    """Writes the model, `half`: with weights in half precision, computed with as before."""
    if half:
        _halve(model)
    onnx.save(model, path)


def _halve(model: onnx.ModelProto) -> None:
    """Keeps float weights in half precision; a cast, done once at loading, makes them whole.

    Computing in half precision needs kernels that CPUs mostly don't have.
    """
    casts = []
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _SMALLEST:
            continue
        name = weight.name
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(
            onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
