"""Exact likeness of templates to a few places of a scene.

A convolution looks at all places, most of which show nothing. Near the few that a coarse look
proposes the same products cost a tenth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

_REACH = 1
"""Cells around a place that a template may lie beside it: coarse windows are two cells apart."""


@dataclass(frozen=True)
class Closest:
    """The best fit of each of N templates near each of P places.

    Attributes:
        similarity: (N, P) float32; -inf where the template does not fit into the scene.
        rows, columns: (N, P) int64, the template's first cell.
    """

    similarity: NDArray[np.float32]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


def closest(
    cells: torch.Tensor,
    kernels: torch.Tensor,
    sizes: NDArray[np.int64],
    centres: NDArray[np.float64],
) -> Closest:
    """Where near some places the templates fit best.

    Args:
        cells: (h, w, D) float32 embeddings of one scale of the scene, in one run of memory.
        kernels: (N, D, kh, kw) float32, as for a convolution; zeros below and to the right of
            smaller templates.
        sizes: (N, 2) rows and columns of each template without those zeros.
        centres: (N, P, 2) row and column of each place in cells.
    """
    rows, columns = kernels.shape[2:]
    last = np.array(cells.shape[:2]) - sizes[:, None]
    first = np.clip((centres - sizes[:, None] / 2).round(), 0, last.clip(0)).astype(np.int64)
    # From `_REACH` before each place on; what lies beyond the scene is zeros.
    height, width = rows + 2 * _REACH, columns + 2 * _REACH
    room = F.pad(cells, (0, 0, _REACH, width, _REACH, height))
    top, left = torch.from_numpy(first).to(cells.device).unbind(2)
    patches = patches_at(room, top, left, height, width).reshape(
        *first.shape[:2], height, width, -1
    )
    response = _responses(patches, kernels)
    steps = np.arange(-_REACH, _REACH + 1)
    for axis in (0, 1):
        place = first[..., axis, None] + steps
        beyond = torch.from_numpy((place < 0) | (place > last[..., axis, None]))
        response.masked_fill_(beyond.to(response.device).unsqueeze(3 - axis), -torch.inf)
    best, where = response.flatten(2).max(2)
    shift = where.cpu().numpy()
    return Closest(
        best.cpu().numpy(),
        first[..., 0] + steps[shift // len(steps)],
        first[..., 1] + steps[shift % len(steps)],
    )


def patches_at(
    cells: torch.Tensor, top: torch.Tensor, left: torch.Tensor, rows: int, columns: int
) -> torch.Tensor:
    """(N, P, rows, columns * D) cells of patches, row by row.

    The cells of a row lie in one run of memory, so that a patch is but `rows` of them.

    Args:
        cells: (h, w, D) in one run of memory.
        top: (N, P) int64 first row of each patch, which lies within the cells.
        left: (N, P) int64 its first column.
        rows: of a patch.
        columns: of a patch.
    """
    height, width, depth = cells.shape
    runs = cells.as_strided(
        (height, width - columns + 1, columns * depth), (width * depth, depth, 1)
    )
    below = torch.arange(rows, device=cells.device)
    return runs[top[..., None] + below, left[..., None]]


def _responses(patches: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """(N, P, 3, 3) dot products of the kernels with the patches at each shift.

    A row of a kernel meets each row of the patch in one matrix product, and those that belong
    together lie on a diagonal: cells lie in one run of memory so, and nothing is copied.
    """
    number, places, rows, columns, depth = patches.shape
    height, width = kernels.shape[2:]
    by_row = kernels.permute(0, 2, 3, 1).reshape(number, height, width * depth).transpose(1, 2)
    stride = columns * depth
    shifted = []
    for right in range(2 * _REACH + 1):
        runs = patches.as_strided(
            (number, places * rows, width * depth),
            (places * rows * stride, stride, 1),
            right * depth,
        )
        products = torch.bmm(runs, by_row).reshape(number, places, rows, height)
        shifted.append(
            torch.stack(
                [
                    products[:, :, down : down + height].diagonal(dim1=2, dim2=3).sum(2)
                    for down in range(2 * _REACH + 1)
                ],
                2,
            )
        )
    return torch.stack(shifted, 3)
