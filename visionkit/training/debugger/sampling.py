"""A few values of a tensor in place of all: what watching costs does not grow with the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def sample(tensor: Tensor, most: int) -> Tensor:
    """(n,) copy of at most `most` values, evenly spread over the tensor as it lies in memory.

    Args:
        tensor: of any shape.
        most: at least 1.
    """
    flat = tensor.detach()
    if flat.ndim == 4 and not flat.is_contiguous():
        flat = flat.permute(0, 2, 3, 1)  # as channels last lies: no copy of all of it
    flat = flat.reshape(-1)
    step = -(-flat.numel() // most) if flat.numel() else 1
    return flat[::step].clone()


def together(samples: Sequence[Tensor]) -> tuple[NDArray[np.float64], list[int]]:
    """All values one behind the other, (n,), and how many each tensor has; one way to the CPU."""
    sizes = [len(one) for one in samples]
    if not samples:
        return np.zeros(0), sizes
    return torch.cat([one.float() for one in samples]).cpu().numpy().astype(np.float64), sizes


def root_mean_squares(values: NDArray[np.float64], sizes: Sequence[int]) -> list[float]:
    """Root mean square of each part of (n,) values; 0 of an empty one."""
    with np.errstate(over="ignore", invalid="ignore"):
        return [
            float(np.sqrt((part**2).mean())) if len(part) else 0.0 for part in parts(values, sizes)
        ]


def parts(values: NDArray[np.float64], sizes: Sequence[int]) -> list[NDArray[np.float64]]:
    """(n,) values taken apart again."""
    return np.split(values, np.cumsum(sizes)[:-1]) if sizes else []
