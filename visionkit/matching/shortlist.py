"""A large gallery narrowed to the views that a coarse look at the scene can't rule out.

A view and every window of the scene become four means, of their quarters, and these a vector of
the few directions in which the gallery's views differ most. That is some 50 times cheaper than
correlating whole patches, so that a thousand items cost little more than twenty.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

_DIRECTIONS = 96
"""Of 400 drawn marks in 40 photos, 2.5 % of the views kept hold the true one 85 times of 100 with
96 directions, 82 with 64, 88 with all 384; a search of whole patches ranks it there 90 times."""
_STEP = 2
"""Cells between two windows: a quarter is four cells or more, so none is missed by one."""


class CoarseIndex:
    """Views as one short vector each.

    Args:
        groups: for each template shape the kernels (T, D, h, w) and the views (T,) they show;
            one template a view.
    """

    def __init__(self, groups: Sequence[tuple[torch.Tensor, NDArray[np.int64]]]) -> None:
        quarters = [_kernel_quarters(kernels) for kernels, _ in groups]
        self._directions = _main_directions(quarters)
        self._groups = [
            (vectors @ self._directions.T, views, (kernels.shape[2], kernels.shape[3]))
            for vectors, (kernels, views) in zip(quarters, groups, strict=True)
        ]
        self._views = max((int(views.max()) + 1 for _, views in groups if len(views)), default=0)

    def best_views(self, embedded: torch.Tensor, count: int) -> NDArray[np.int64]:
        """(count,) indices of the views that resemble their best window of a scene most.

        Args:
            embedded: (1, D, h, w) embeddings of one scale of the scene.
            count: how many are wanted; fewer come back where fewer fit.
        """
        scores = np.full(self._views, -np.inf, np.float32)
        # Channels last: a corner of many windows is then a few long runs of memory.
        cells = embedded[0].permute(1, 2, 0)
        sums = F.pad(cells, (0, 0, 1, 0, 1, 0)).cumsum(0).cumsum(1)
        for vectors, views, shape in self._groups:
            if cells.shape[0] >= shape[0] and cells.shape[1] >= shape[1]:
                windows = _window_quarters(sums, shape) @ self._directions.T
                np.maximum.at(scores, views, (vectors @ windows.T).amax(1).cpu().numpy())
        best = np.argsort(-scores, kind="stable")[:count]
        return best[np.isfinite(scores[best])]


def _main_directions(quarters: Sequence[torch.Tensor]) -> torch.Tensor:
    """(<= 96, 4 D) orthonormal rows that keep most of the dot products with the vectors."""
    if not quarters:
        return torch.zeros(0, 0)
    vectors = torch.cat(list(quarters)).double()
    _, directions = torch.linalg.eigh(vectors.T @ vectors)
    kept: torch.Tensor = directions[:, -_DIRECTIONS:].T
    return kept.to(quarters[0].dtype).contiguous()


def _kernel_quarters(kernels: torch.Tensor) -> torch.Tensor:
    """(T, 4 D) unit vectors."""
    rows, columns = (kernels.shape[2] + 1) // 2, (kernels.shape[3] + 1) // 2
    top, bottom = kernels[:, :, :rows], kernels[:, :, -rows:]
    quarters = [
        half[..., part].mean((2, 3))
        for half in (top, bottom)
        for part in (slice(None, columns), slice(-columns, None))
    ]
    return F.normalize(torch.cat(quarters, 1), dim=1)


def _window_quarters(sums: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """(windows, 4 D) unit vectors of all windows of that shape, in steps.

    Args:
        sums: (h + 1, w + 1, D) of all cells above and to the left: a quarter of any size costs
            three additions (Crow, "Summed-area tables for texture mapping", SIGGRAPH 1984).
        shape: cells of a window.
    """
    rows, columns = (shape[0] + 1) // 2, (shape[1] + 1) // 2
    height, width = sums.shape[0] - shape[0], sums.shape[1] - shape[1]
    down, right = shape[0] - rows, shape[1] - columns

    def corner(y: int, x: int) -> torch.Tensor:
        return sums[y : y + height : _STEP, x : x + width : _STEP]

    quarters = [
        corner(y + rows, x + columns) - corner(y, x + columns) - corner(y + rows, x) + corner(y, x)
        for y in (0, down)
        for x in (0, right)
    ]
    return F.normalize(torch.cat(quarters, 2).flatten(0, 1), dim=1)
