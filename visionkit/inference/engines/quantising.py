"""Eight-bit integers in a network's graph, by post-training quantization (NNCF)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# NNCF sends what it is used for to its makers unless it believes to be tested.
os.environ.setdefault("NNCF_CI", "1")

import nncf


def quantised(
    model: Any,
    frames: Sequence[NDArray[np.uint8]],
    feed: Callable[[NDArray[np.uint8]], Any],
    *,
    kept: Sequence[str],
) -> Any:
    """The model with weights and activations of eight bits, of the same kind.

    Args:
        model: OpenVINO's or ONNX.
        frames: (1, H, W, 3) uint8 RGB, as the model will see them: ranges are those of these.
        feed: a frame as the model takes it.
        kept: names of layers that stay in floats, regular expressions.

    Raises:
        ValueError: there are no frames.
    """
    if not frames:
        raise ValueError("ranges must be fixed on at least one picture, got none")
    nncf.set_log_level(logging.ERROR)
    return nncf.quantize(
        model,
        nncf.Dataset(frames, feed),
        subset_size=len(frames),
        ignored_scope=nncf.IgnoredScope(patterns=list(kept), validate=False),
    )
