"""A large gallery narrowed to the views that a coarse look at the scene can't rule out.

A view and every window of the scene become four means, of their quarters, in the few directions
that vary most between pictures. That is some 50 times cheaper than correlating whole patches,
so that a thousand items cost little more than twenty.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

_DIRECTIONS = 32
_STEP = 2
"""Cells between two windows: a quarter is four cells or more, so none is missed by one."""


class CoarseIndex:
    """Views as four means each.

    Args:
        groups: for each template shape the kernels (T, D, h, w) and the views (T,) they show;
            one template a view.
    """

    def __init__(self, groups: Sequence[tuple[torch.Tensor, NDArray[np.int64]]]) -> None:
        self._groups = [
            (_kernel_quarters(kernels), views, (kernels.shape[2], kernels.shape[3]))
            for kernels, views in groups
        ]
        self._views = max((int(views.max()) + 1 for _, views in groups if len(views)), default=0)

    def best_views(self, embedded: torch.Tensor, count: int) -> NDArray[np.int64]:
        """(count,) indices of the views whose best window stands out most in a scene.

        Args:
            embedded: (1, D, h, w) embeddings of one scale of the scene.
            count: how many are wanted; fewer come back where fewer fit.
        """
        scores = np.full(self._views, -np.inf, np.float32)
        for kernels, views, shape in self._groups:
            if embedded.shape[2] >= shape[0] and embedded.shape[3] >= shape[1]:
                windows = _window_quarters(embedded[0, -_DIRECTIONS:], shape)
                similarity = kernels @ windows
                # In standard deviations of the view's own similarity to this scene: plain
                # views resemble everything a little.
                spread = similarity.std(1, correction=0) + 1e-3
                peak = (similarity.amax(1) - similarity.mean(1)) / spread
                np.maximum.at(scores, views, peak.cpu().numpy())
        best = np.argsort(-scores, kind="stable")[:count]
        return best[np.isfinite(scores[best])]


def _kernel_quarters(kernels: torch.Tensor) -> torch.Tensor:
    """(T, 4 x directions) unit vectors."""
    directions = kernels[:, -_DIRECTIONS:]
    rows, columns = (kernels.shape[2] + 1) // 2, (kernels.shape[3] + 1) // 2
    top, bottom = directions[:, :, :rows], directions[:, :, -rows:]
    quarters = [
        half[..., part].mean((2, 3))
        for half in (top, bottom)
        for part in (slice(None, columns), slice(-columns, None))
    ]
    return F.normalize(torch.cat(quarters, 1), dim=1)


def _window_quarters(directions: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """(4 x directions, windows) unit vectors of all windows of that shape, in steps."""
    rows, columns = (shape[0] + 1) // 2, (shape[1] + 1) // 2
    means = F.avg_pool2d(directions[None], (rows, columns), stride=1)[0]
    height, width = directions.shape[1] - shape[0] + 1, directions.shape[2] - shape[1] + 1
    down, right = shape[0] - rows, shape[1] - columns
    quarters = [
        means[:, y : y + height : _STEP, x : x + width : _STEP]
        for y in (0, down)
        for x in (0, right)
    ]
    return F.normalize(torch.cat(quarters).flatten(1), dim=0)
