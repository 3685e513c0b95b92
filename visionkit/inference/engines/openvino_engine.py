"""OpenVINO: the quickest engine on most CPUs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
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
_SHAPES = 16
"""Shapes of batches that graphs are kept for. One for any shape needs 1.2 times as long, and one
shape must always have one graph, lest the last digits depend on what was seen before."""


class ExportedNetwork:
    """Trained heads run by OpenVINO on the CPU, with as many threads as torch has at that time.

    Args:
        path: of the graph.

    Raises:
        RuntimeError: the file is no model.
    """

    def __init__(self, path: Path) -> None:
        self._model = ov.Core().read_model(path)
        self._names = [output.any_name for output in self._model.outputs]
        self._spare: OrderedDict[tuple[tuple[int, ...], int], list[ov.CompiledModel]] = (
            OrderedDict()
        )
        self._lock = threading.Lock()

    def outputs(self, frames: Sequence[Image], tasks: Collection[str]) -> RawOutputs:
        """What the heads say, from one pass of the backbone; see `Network`.

        The first frames of a number and size take half a second more: the graph is made for them;
        where several threads ask at once, one for each, so that none waits for another.
        """
        batch = np.stack(frames)
        with self._graph(batch.shape, torch.get_num_threads()) as compiled:
            found = compiled(batch, share_inputs=True)
            return raw_outputs({name: found[name] for name in self._names}, tasks)

    @contextmanager
    def _graph(self, shape: tuple[int, ...], threads: int) -> Iterator[ov.CompiledModel]:
        """A graph that nobody else runs meanwhile."""
        with self._lock:
            spare = self._spare.setdefault((shape, threads), [])
            self._spare.move_to_end((shape, threads))
            if len(self._spare) > _SHAPES:
                self._spare.popitem(last=False)
            compiled = spare.pop() if spare else None
        compiled = compiled or self._compile_for(shape, threads)
        try:
            yield compiled
        finally:
            spare.append(compiled)

    def _compile_for(self, shape: tuple[int, ...], threads: int) -> ov.CompiledModel:
        fixed = self._model.clone()
        fixed.reshape(shape)
        return _compile(fixed, threads)


class ExportedLook:
    """The map that the exemplar head searches, of pictures of any size.

    Args:
        path: of the graph.

    Raises:
        RuntimeError: the file is no model.
    """

    def __init__(self, path: Path) -> None:
        self._compiled = _compile(ov.Core().read_model(path), torch.get_num_threads())

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


def _compile(model: ov.Model, threads: int) -> ov.CompiledModel:
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # or several of them would wait for one core
        # Never bfloat16, which newer CPUs would take by themselves: answers must not depend on it.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    return ov.Core().compile_model(model, "CPU", options)
