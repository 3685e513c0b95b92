"""The highest local maxima of maps."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray


def highest_peaks(
    response: torch.Tensor, count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Values, rows and columns, each (T, <= count), of the highest local maxima of (T, h, w).

    Values are -inf where there are fewer maxima than `count`.
    """
    peaks = torch.where(response == _highest_around(response), response, -torch.inf).flatten(1)
    values, index = peaks.topk(min(count, peaks.shape[1]), 1)
    places = index.cpu().numpy()
    width = response.shape[2]
    return values.cpu().numpy(), places // width, places % width


def _highest_around(response: torch.Tensor) -> torch.Tensor:
    """(T, h, w) maximum of each place's 3x3, which torch pools slowly on a CPU."""
    for axis in (1, 2):
        rim = (0, 0, 1, 1) if axis == 1 else (1, 1)
        around = F.pad(response, rim, value=-torch.inf).unfold(axis, 3, 1)
        response = torch.maximum(torch.maximum(around[..., 0], around[..., 1]), around[..., 2])
    return response
