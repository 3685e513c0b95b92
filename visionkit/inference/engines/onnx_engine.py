"""ONNX Runtime: runs wherever there is no OpenVINO, other processors included."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as states
from torch import Tensor

from visionkit.inference.engines.graph import raw_outputs
from visionkit.inference.engines.network import RawOutputs
from visionkit.inference.engines.tracing import FRAMES
from visionkit.types import Image

SUFFIX = ".onnx"
ERRORS = (states.InvalidProtobuf, states.InvalidGraph, states.Fail, states.NoSuchFile)
"""What reading a file that is no model raises."""
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

    def outputs(self, frames: Sequence[Image], tasks: Collection[str]) -> RawOutputs:
        """What the heads say, from one pass of the backbone; see `Network`."""
        found = self._session.run(self._names, {FRAMES: np.stack(frames)})
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
        found = self._session.run(None, {FRAMES: np.ascontiguousarray(image)[None]})
        return torch.from_numpy(found[0])[0]


def read(traced: bytes) -> onnx.ModelProto:
    """A traced graph."""
    return onnx.load_model_from_string(traced)


def feed(frames: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """(B, H, W, 3) frames as the model takes them."""
    return {FRAMES: frames}


def save(model: onnx.ModelProto, path: Path, *, half: bool) -> None:
    """Writes a model, `half`: with weights in half precision, computed with as before."""
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
