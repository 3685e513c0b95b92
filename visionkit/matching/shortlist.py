"""A large gallery narrowed to the views that a coarse look at the scene can't rule out.

A view and every window of the scene become four means, of their quarters, and these a vector of
the few directions in which the gallery's views differ most: some 50 times cheaper than correlating
whole patches. Thousands of views are compared by cluster first, as an inverted file does it (Sivic
and Zisserman, "Video Google", ICCV 2003): a cluster's views are compared only with the windows that
are most like its middle, and clusters that resemble nothing in the scene with none. What is left
is correlated at its likeliest windows with means of 2x2 cells. So a thousand items cost little more
than twenty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from visionkit.matching.peaks import highest_peaks

Prior = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float32]]
"""(N,) evidence that (N,) similarities are for (N,) views; more is better."""

_DIRECTIONS = 96
"""Of 400 drawn marks in 40 photos, 2.5 % of the views kept hold the true one 85 times of 100 with
96 directions, 82 with 64, 88 with all 384; a search of whole patches ranks it there 90 times."""
_STEP = 2
"""Cells between two windows: a quarter is four cells or more, so none is missed by one."""
_CLUSTERED = 500
"""Views of one shape from which on they are compared by cluster."""
_CLUSTER = 100  # views in one, about
_LIKELY = 0.75  # clusters of a shape that are looked into
_NEAR = 32  # windows that a cluster's views are compared with
_ROUNDS = 8  # of Lloyd's algorithm
_GLIMPSED = 256
"""Views that are correlated with means of cells, at least."""
_TRIED = 3
"""Windows of each at which they are."""


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
    """Views whose windows have one shape.

    Attributes:
        steps: rows and columns of a window, in steps.
        vectors: (V, E) of the views, those of one cluster side by side.
        kernels: (V, rows * columns * D) sums over the cells of each step.
        views: (V,) int64.
        middles: (K, E) of the clusters.
        starts: (K + 1,) where clusters begin in `vectors`.
    """

    steps: tuple[int, int]
    vectors: torch.Tensor
    kernels: torch.Tensor
    views: NDArray[np.int64]
    middles: torch.Tensor
    starts: NDArray[np.int64]


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
        cells = F.avg_pool2d(embedded, _STEP, ceil_mode=True)[0].permute(1, 2, 0).contiguous()
        sums = F.pad(cells, (0, 0, 1, 0, 1, 0)).cumsum(0).cumsum(1)
        seen = []
        for shape in self._shapes:
            if cells.shape[0] >= shape.steps[0] and cells.shape[1] >= shape.steps[1]:
                quarters = _window_quarters(sums, shape.steps)
                length = quarters.norm(dim=2, keepdim=True).clamp(min=1e-12)
                seen.append((shape, quarters @ self._directions.T / length))
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
        shape, row = self._likeliest(max(_GLIMPSED, count))
        views, centres = np.zeros(len(row), np.int64), np.zeros((len(row), 2))
        similarity = np.zeros(len(row), np.float32)
        for number, (own, windows) in enumerate(self.seen):
            here = shape == number
            if here.any():
                views[here] = own.views[row[here]]
                similarity[here], centres[here] = self._tried(own, windows, row[here])
        evidence = prior(similarity, views)
        order = np.argsort(-evidence, kind="stable")[:count]
        return Glimpses(views, centres, shape, row).take(order[evidence[order] >= least])

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
                response = _rows(shape.vectors, glimpses.row[own]) @ windows.flatten(0, 1).T
                response = response.reshape(-1, *windows.shape[:2])
                values, rows, columns = highest_peaks(response, count)
                missing = ((0, 0), (0, count - values.shape[1]))
                found = np.pad(np.isfinite(values), missing)
                middle = np.stack([np.pad(rows, missing), np.pad(columns, missing)], 2)
                middle = np.where(found[..., None], middle, middle[:, :1])
                centres[own] = _STEP * (middle + np.array(shape.steps) / 2)
                is_place[own] = found
        return centres, is_place

    def _likeliest(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Shape and row of the views that resemble their best window most, in no order."""
        scores = [_scores(shape, windows.flatten(0, 1)) for shape, windows in self.seen]
        flat = np.concatenate([np.zeros(0, np.float32), *scores])
        starts = np.cumsum([0, *(len(own) for own in scores)])
        best = np.flatnonzero(np.isfinite(flat))
        if len(best) > count:
            best = best[np.argpartition(-flat[best], count)[:count]]
        shape = np.searchsorted(starts, best, side="right") - 1
        return shape, best - starts[shape]

    def _tried(
        self, shape: _Shape, windows: torch.Tensor, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """(N,) mean cosine at the best of a view's likeliest windows, and (N, 2) its middle."""
        height, width = shape.steps
        likeness = _rows(shape.vectors, rows) @ windows.flatten(0, 1).T
        tried = likeness.topk(min(_TRIED, likeness.shape[1]), 1).indices
        top, left = tried // windows.shape[1], tried % windows.shape[1]
        y = top[..., None, None] + torch.arange(height, device=top.device)[:, None]
        x = left[..., None, None] + torch.arange(width, device=top.device)
        patches = self.cells[y, x].flatten(2)
        fit, which = (patches * _rows(shape.kernels, rows)[:, None]).sum(2).max(1)
        corner = torch.stack([top, left], 2)[torch.arange(len(which)), which].cpu().numpy()
        return fit.cpu().numpy(), _STEP * (corner + np.array(shape.steps) / 2)


def _rows(table: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
    return table[torch.from_numpy(rows).to(table.device)]


def _shape(
    steps: tuple[int, int],
    members: Sequence[tuple[torch.Tensor, torch.Tensor, NDArray[np.int64]]],
) -> _Shape:
    vectors = torch.cat([own for own, _, _ in members])
    kernels = torch.cat([own for _, own, _ in members])
    views = np.concatenate([own for _, _, own in members])
    clusters = max(1, len(views) // _CLUSTER) if len(views) > _CLUSTERED else 1
    middles, cluster = _clustered(vectors, clusters)
    order = torch.argsort(cluster, stable=True)
    sizes = torch.bincount(cluster, minlength=clusters)
    starts = np.concatenate([[0], sizes.cumsum(0).cpu().numpy()]).astype(np.int64)
    return _Shape(
        steps, vectors[order], kernels[order], views[order.cpu().numpy()], middles, starts
    )


def _clustered(vectors: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(count, E) unit middles of (V, E) vectors and (V,) the cluster of each."""
    middles = vectors[torch.linspace(0, len(vectors) - 1, count, device=vectors.device).long()]
    for _ in range(_ROUNDS if count > 1 else 1):
        cluster = (vectors @ middles.T).argmax(1)
        middles = F.normalize(torch.zeros_like(middles).index_add_(0, cluster, vectors), dim=1)
    return middles, (vectors @ middles.T).argmax(1)


def _scores(shape: _Shape, windows: torch.Tensor) -> NDArray[np.float32]:
    """(V,) likeness of each view's best window; -inf where its cluster resembles nothing."""
    if len(shape.middles) == 1:
        return (shape.vectors @ windows.T).amax(1).cpu().numpy()
    scores = np.full(len(shape.views), -np.inf, np.float32)
    likeness = shape.middles @ windows.T
    near = likeness.topk(min(_NEAR, len(windows)), 1)
    likely = near.values[:, 0].topk(max(1, round(_LIKELY * len(shape.middles)))).indices
    for cluster in likely.tolist():
        own = slice(shape.starts[cluster], shape.starts[cluster + 1])
        products = shape.vectors[own] @ windows[near.indices[cluster]].T
        if products.numel():
            scores[own] = products.amax(1).cpu().numpy()
    return scores


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
    """(H, W, 4 D) sums of the quarters of all windows of that shape.

    Args:
        sums: (h + 1, w + 1, D) of all cells above and to the left: a quarter of any size costs
            three additions (Crow, "Summed-area tables for texture mapping", SIGGRAPH 1984).
        shape: cells of a window.
    """
    rows, columns = (shape[0] + 1) // 2, (shape[1] + 1) // 2
    height, width = sums.shape[0] - shape[0], sums.shape[1] - shape[1]
    down, right = shape[0] - rows, shape[1] - columns

    def corner(y: int, x: int) -> torch.Tensor:
        return sums[y : y + height, x : x + width]

    quarters = [
        corner(y + rows, x + columns) - corner(y, x + columns) - corner(y + rows, x) + corner(y, x)
        for y in (0, down)
        for x in (0, right)
    ]
    return torch.cat(quarters, 2)
