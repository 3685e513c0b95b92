"""A large gallery narrowed to the views that a coarse look at the scene can't rule out.

A view and every window of the scene become four means, of their quarters, and these a vector of
the few directions in which the gallery's views differ most: some 50 times cheaper than correlating
whole patches. Thousands of views are compared by cluster, as an inverted file does it (Sivic and
Zisserman, "Video Google", ICCV 2003): with the windows alone that are most like the cluster's
middle. What is left is correlated at its likeliest windows with means of 2x2 cells. So a thousand
items cost little more than twenty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from visionkit.matching.closeup import patches_at
from visionkit.matching.peaks import highest_peaks

Prior = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float32]]
"""(N,) evidence that (N,) similarities are for (N,) views; more is better."""

_DIRECTIONS = 96
"""Of 400 drawn marks in 40 photos, 2.5 % of the views kept hold the true one 85 times of 100 with
96 directions, 82 with 64, 88 with all 384; a search of whole patches ranks it there 90 times."""
_STEP = 2
"""Cells between two windows: a quarter is four cells or more, so none is missed by one."""
_CLUSTERED = 200
"""Views of one shape above which they are compared by cluster."""
_CLUSTER = 128
"""Views in one at most; 64 find no more."""
_NEAR = 16
"""Windows that a cluster's views are compared with; 32 find no more."""
_GLIMPSED = 256
"""Views that are correlated with means of cells, at least, in a scale of `_WINDOWS`; with fewer
windows by the root of their number, for less of them fit by chance. AP50 of FlickrLogos-27's second
subset with its views among 10,000 drawn marks: 0.415; 0.402 with 256 at all scales, 0.34 with 128.
"""
_WINDOWS = 1500
_TRIED = 2
"""Windows of each at which they are; 3 find no more."""


@dataclass(frozen=True)
class Glimpses:
    """Views that a scene may show.

    Attributes:
        views: (N,) int64.
        centres: (N, 2) float64 row and column in cells of the middle of each one's best window.
        shape: (N,) int64, which of the shapes that were looked for.
        row: (N,) int64, which of the views of that shape.
    """

    views: NDArray[np.int64]
    centres: NDArray[np.float64]
    shape: NDArray[np.int64]
    row: NDArray[np.int64]

    def take(self, index: NDArray[np.intp]) -> Glimpses:
        """Those at `index`, in that order."""
        return Glimpses(*(value[index] for value in vars(self).values()))


@dataclass(frozen=True)
class _Shape:
    """Views whose windows have one shape, in K clusters of S; those that fill them up are zeros.

    Attributes:
        steps: rows and columns of a window, in steps.
        views: (K * S,) int64, -1 for what fills up.
        vectors: (K, S, E) of the views.
        kernels: (K * S, rows * columns * D) sums over the cells of each step.
        middles: (K, E) unit vectors.
    """

    steps: tuple[int, int]
    views: NDArray[np.int64]
    vectors: torch.Tensor
    kernels: torch.Tensor
    middles: torch.Tensor


@dataclass(frozen=True)
class _Compared:
    """How alike the views of K clusters are to P windows each.

    Attributes:
        likeness: (K * S, P).
        windows: (K, P) int64, which windows.
    """

    likeness: torch.Tensor
    windows: torch.Tensor

    def best(self, views: NDArray[np.int64]) -> NDArray[np.float32]:
        """(K * S,) of each one's best window; -inf where there is no view."""
        return np.where(views >= 0, self.likeness.amax(1).cpu().numpy(), np.float32(-np.inf))

    def likeliest(self, rows: NDArray[np.int64], count: int) -> torch.Tensor:
        """(N, <= count) windows that N of the views are most alike."""
        index = torch.from_numpy(rows).to(self.windows.device)
        near = self.likeness[index].topk(min(count, self.likeness.shape[1]), 1).indices
        size = len(self.likeness) // len(self.windows)
        return self.windows[index // size].gather(1, near)


class CoarseIndex:
    """Views as one short vector each, and a longer one of means of cells.

    Args:
        groups: for each template shape the kernels (T, D, h, w) and the views (T,) they show;
            one template a view.
    """

    def __init__(self, groups: Sequence[tuple[torch.Tensor, NDArray[np.int64]]]) -> None:
        quarters = [_kernel_quarters(kernels) for kernels, _ in groups]
        self._directions = _main_directions(quarters)
        alike = defaultdict(list)
        for vectors, (kernels, views) in zip(quarters, groups, strict=True):
            sums = F.avg_pool2d(kernels, _STEP, ceil_mode=True, divisor_override=1)
            steps = (sums.shape[2], sums.shape[3])
            flat = sums.permute(0, 2, 3, 1).flatten(1)
            alike[steps].append((vectors @ self._directions.T, flat, views))
        self._shapes = [_shape(steps, members) for steps, members in alike.items()]

    def look(self, embedded: torch.Tensor) -> CoarseLook:
        """What of a scene is compared with the views.

        Args:
            embedded: (1, D, h, w) embeddings of one scale of the scene.
        """
        cells = _blurred(embedded[0].permute(1, 2, 0))
        fitting = [
            shape
            for shape in self._shapes
            if cells.shape[0] >= shape.steps[0] and cells.shape[1] >= shape.steps[1]
        ]
        quarters = {
            size: _quarters(cells, size, self._directions)
            for size in {_quarter(shape.steps) for shape in fitting}
        }
        seen = [
            (shape, _windows(*quarters[_quarter(shape.steps)], shape.steps)) for shape in fitting
        ]
        return CoarseLook(cells, seen)


@dataclass(frozen=True)
class CoarseLook:
    """One scale of a scene as the index sees it.

    Attributes:
        cells: (h, w, D) means of 2x2 cells.
        seen: each shape of views that fits, and the (H, W, E) unit vectors of all its windows.
    """

    cells: torch.Tensor
    seen: Sequence[tuple[_Shape, torch.Tensor]]

    def best(self, count: int, prior: Prior, least: float) -> Glimpses:
        """The views that the scene most likely shows, the best first.

        Args:
            count: how many are wanted; fewer come back where fewer fit.
            prior: of what is found of the views.
            least: prior from which on they are.
        """
        compared = [_compared(shape, windows.flatten(0, 1)) for shape, windows in self.seen]
        scores = [
            own.best(shape.views) for own, (shape, _) in zip(compared, self.seen, strict=True)
        ]
        glimpsed = round(_GLIMPSED * min(self.cells[..., 0].numel() / _WINDOWS, 1) ** 0.5)
        number, row = _highest(scores, max(glimpsed, count))
        views, centres = np.zeros(len(row), np.int64), np.zeros((len(row), 2))
        similarity = np.zeros(len(row), np.float32)
        for own, (shape, windows) in enumerate(self.seen):
            here = number == own
            if here.any():
                views[here] = shape.views[row[here]]
                tried = compared[own].likeliest(row[here], _TRIED)
                top, left = tried // windows.shape[1], tried % windows.shape[1]
                similarity[here], centres[here] = self._tried(shape, row[here], top, left)
        evidence = prior(similarity, views)
        order = np.argsort(-evidence, kind="stable")[:count]
        return Glimpses(views, centres, number, row).take(order[evidence[order] >= least])

    def places(
        self, glimpses: Glimpses, count: int
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(N, count, 2) middles of the windows that views resemble more than those around.

        The best comes first. Where a view has fewer windows, the first stands in for the others
        and (N, count) is false.
        """
        centres = np.zeros((len(glimpses.views), count, 2))
        is_place = np.zeros((len(glimpses.views), count), np.bool_)
        for number, (shape, windows) in enumerate(self.seen):
            own = glimpses.shape == number
            if own.any():
                vectors = _rows(shape.vectors.flatten(0, 1), glimpses.row[own])
                response = (vectors @ windows.flatten(0, 1).T).reshape(-1, *windows.shape[:2])
                values, rows, columns = highest_peaks(response, count)
                missing = ((0, 0), (0, count - values.shape[1]))
                found = np.pad(np.isfinite(values), missing)
                middle = np.stack([np.pad(rows, missing), np.pad(columns, missing)], 2)
                middle = np.where(found[..., None], middle, middle[:, :1])
                centres[own] = _STEP * (middle + np.array(shape.steps) / 2)
                is_place[own] = found
        return centres, is_place

    def _tried(
        self, shape: _Shape, rows: NDArray[np.int64], top: torch.Tensor, left: torch.Tensor
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """(N,) mean cosine of views at the best of (N, P) windows each, and (N, 2) its middle."""
        patches = patches_at(self.cells, top, left, *shape.steps).flatten(2)
        fit, which = (patches * _rows(shape.kernels, rows)[:, None]).sum(2).max(1)
        corner = torch.stack([top, left], 2)[torch.arange(len(which)), which].cpu().numpy()
        return fit.cpu().numpy(), _STEP * (corner + np.array(shape.steps) / 2)


def _rows(table: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
    return table[torch.from_numpy(rows).to(table.device)]


def _highest(
    parts: Sequence[NDArray[np.float32]], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Part and row of the highest finite values of all parts, in no order."""
    values = np.concatenate([np.zeros(0, np.float32), *parts])
    best = np.flatnonzero(np.isfinite(values))
    if len(best) > count:
        best = best[np.argpartition(-values[best], count)[:count]]
    starts = np.cumsum([0, *(len(part) for part in parts)])
    number = np.searchsorted(starts, best, side="right") - 1
    return number, best - starts[number]


def _shape(
    steps: tuple[int, int],
    members: Sequence[tuple[torch.Tensor, torch.Tensor, NDArray[np.int64]]],
) -> _Shape:
    vectors = torch.cat([own for own, _, _ in members])
    kernels = torch.cat([own for _, own, _ in members])
    views = np.concatenate([own for _, _, own in members])
    rows = torch.arange(len(views), device=vectors.device)
    clusters = _clusters(vectors, rows) if len(views) > _CLUSTERED else [rows]
    most = max(len(own) for own in clusters)
    order = torch.stack([F.pad(own, (0, most - len(own)), value=-1) for own in clusters])
    is_view = (order >= 0)[..., None]
    own = torch.where(is_view, vectors[order], 0.0)
    flat = order.flatten().cpu().numpy()
    return _Shape(
        steps,
        np.where(flat >= 0, views[flat], -1),
        own,
        torch.where(is_view, kernels[order], 0.0).flatten(0, 1),
        F.normalize(own.sum(1), dim=1),
    )


def _clusters(vectors: torch.Tensor, rows: torch.Tensor) -> list[torch.Tensor]:
    """The rows halved along the direction in which they differ most, until parts are small."""
    if len(rows) <= _CLUSTER:
        return [rows]
    centred = vectors[rows] - vectors[rows].mean(0)
    _, directions = torch.linalg.eigh(centred.T @ centred)
    order = rows[torch.argsort(centred @ directions[:, -1], stable=True)]
    half = (len(rows) + 1) // 2
    return [*_clusters(vectors, order[:half]), *_clusters(vectors, order[half:])]


def _compared(shape: _Shape, windows: torch.Tensor) -> _Compared:
    """How alike views are to windows.

    Those of a cluster are compared with the windows that are most like its middle.

    Args:
        shape: the views.
        windows: (W, E) unit vectors.
    """
    if len(shape.vectors) == 1:
        every = torch.arange(len(windows), device=windows.device)
        return _Compared(shape.vectors[0] @ windows.T, every[None])
    near = (shape.middles @ windows.T).topk(min(_NEAR, len(windows)), 1).indices
    likeness = torch.bmm(shape.vectors, windows[near].transpose(1, 2))
    return _Compared(likeness.flatten(0, 1), near)


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


def _blurred(cells: torch.Tensor) -> torch.Tensor:
    """(ceil(h / 2), ceil(w / 2), D) means of 2x2 cells of (h, w, D), of fewer at the rim.

    Slices are seven times as fast here as torch's pooling.
    """
    for axis in (0, 1):
        if cells.shape[axis] % _STEP:
            cells = torch.cat([cells, cells.narrow(axis, -1, 1)], axis)
        cells = (cells[::2] + cells[1::2] if axis == 0 else cells[:, ::2] + cells[:, 1::2]) / _STEP
    return cells.contiguous()


def _quarter(steps: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a window's quarters, which share its middle where a side is odd."""
    return (steps[0] + 1) // 2, (steps[1] + 1) // 2


def _sums(cells: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(h', w', D) sums of (h, w, D) cells over all places of that many rows and columns."""
    for axis, length in enumerate(size):
        places = cells.shape[axis] - length + 1
        cells = sum(
            (cells.narrow(axis, start, places) for start in range(1, length)),
            cells.narrow(axis, 0, places),
        )
    return cells


def _quarters(
    cells: torch.Tensor, size: tuple[int, int], directions: torch.Tensor
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """What the quarters of that size are worth at each of the four corners of a window.

    Args:
        cells: (h, w, D).
        size: rows and columns of a quarter.
        directions: (E, 4 D) that windows are projected to.

    Returns:
        Four (h', w', E) projections of the quarters at all places, and (h', w', 1) their squared
        lengths.
    """
    sums = _sums(cells, size)
    corners = directions.reshape(len(directions), 4, -1).unbind(1)
    return [sums @ corner.T for corner in corners], sums.square().sum(2, keepdim=True)


def _windows(
    projected: Sequence[torch.Tensor], squares: torch.Tensor, steps: tuple[int, int]
) -> torch.Tensor:
    """(H, W, E) projected unit vectors of all windows, whose quarters `_quarters` gives."""
    down, right = steps[0] - _quarter(steps)[0], steps[1] - _quarter(steps)[1]
    height, width = squares.shape[0] - down, squares.shape[1] - right
    corners = [(slice(y, y + height), slice(x, x + width)) for y in (0, down) for x in (0, right)]
    vectors = projected[0][corners[0]] + projected[1][corners[1]]
    vectors += projected[2][corners[2]]
    vectors += projected[3][corners[3]]
    length = torch.stack([squares[corner] for corner in corners]).sum(0)
    return vectors / length.clamp(min=1e-24).sqrt()
