"""OpenVINO: the quickest engine on most CPUs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray
from openvino.passes import ConstantFolding, Manager
from torch import Tensor

from visionkit.inference.engines.graph import SEARCHED, raw_outputs
from visionkit.inference.engines.network import RawOutputs
from visionkit.types import Image

SUFFIX = ".xml"
ERRORS = (RuntimeError,)
"""What reading a file that is no model raises."""


class ExportedNetwork:
    """Trained heads run by OpenVINO on the CPU, with as many threads as torch has when it is made.

    Args:
        path: of the graph.

    Raises:
        RuntimeError: the file is no model.
    """

    def __init__(self, path: Path) -> None:
        self._model = ov.Core().read_model(path)
        self._compiled: dict[tuple[int, int], ov.CompiledModel] = {}

    def outputs(self, frames: Sequence[Image], tasks: Collection[str]) -> RawOutputs:
        """What the heads say, from one pass of the backbone; see `Network`.

        The first frames of a size take half a second more: the graph is made for them.
        """
        batch = np.stack(frames)
        size = batch.shape[1], batch.shape[2]
        if size not in self._compiled:
            fixed = self._model.clone()
            fixed.reshape([-1, *size, 3])  # 1.2 times as fast as with any size
            self._compiled[size] = _compile(fixed)
        found = self._compiled[size](batch, share_inputs=True)
        values = {name: found[name] for name in self._names}
        return raw_outputs(values, tasks)

    @property
    def _names(self) -> list[str]:
        return [output.any_name for output in self._model.outputs]


class ExportedLook:
    """The map that the exemplar head searches, of pictures of any size.

    Args:
        path: of the graph.

    Raises:
        RuntimeError: the file is no model.
    """

    def __init__(self, path: Path) -> None:
        self._compiled = _compile(ov.Core().read_model(path))

    def __call__(self, image: Image) -> Tensor:
        """(C, h, w) float32 of a (H, W, 3) uint8 RGB picture."""
        found = self._compiled(np.ascontiguousarray(image)[None], share_inputs=True)
        return torch.from_numpy(found[SEARCHED[0]])[0]


def read(traced: bytes) -> ov.Model:
    """A traced graph as OpenVINO's."""
    model = ov.Core().read_model(traced, b"")
    # NNCF knows biases by their being constants, not constants that are reshaped.
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(model)
    return model


def feed(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(B, H, W, 3) frames as the model takes them."""
    return frames


def save(model: ov.Model, path: Path, *, half: bool) -> None:
    """Writes a model, `half`: with weights in half precision, computed with as before."""
    ov.save_model(model, path, compress_to_fp16=half)


def _compile(model: ov.Model) -> ov.CompiledModel:
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        # Never bfloat16, which newer CPUs would take by themselves: answers must not depend on it.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    return ov.Core().compile_model(model, "CPU", options)
