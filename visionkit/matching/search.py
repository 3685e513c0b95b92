"""Search by correlation: where in the scene do the features look like a view's?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from visionkit.heads.exemplar import ExemplarHead
from visionkit.matching.calibration import chance_prior
from visionkit.matching.candidates import Candidates, concatenate
from visionkit.matching.closeup import closest
from visionkit.matching.kernels import Kernels
from visionkit.matching.peaks import highest_peaks
from visionkit.matching.pyramid import Level, ScenePyramid
from visionkit.matching.shortlist import CoarseIndex, CoarseLook, Glimpses, Prior
from visionkit.matching.templates import Template

_PAD = 1
"""Cells that a template may reach beyond the scene, for items at its rim."""
_BLURRED = 1.0
"""Standard deviations by which what fits looks worse in means of cells, at least: 99.5 % of
FlickrLogos-27's second subset among 10,000 drawn marks does, and half of it by 1.5."""
_FITTED = 64
"""Views of a large gallery that are tried at their likeliest place of a scale before all others."""
_BELOW_CHANCE = 2.0
"""Standard deviations below the best place that a gallery of that size has by chance, from which on
places are looked at no closer."""
_FEW = 8
"""Views below which looking around likely places is cheaper than a convolution."""


def _similarity(
    similarity: NDArray[np.float32], template: NDArray[np.int64]
) -> NDArray[np.float32]:
    return similarity


@dataclass(frozen=True)
class SearchSettings:
    """How densely is searched.

    Attributes:
        template_cells: lengths of the templates' longer side in cells, searched at every
            scale. The factor between two should be the root of 2: the scales halve.
        small_template_cells: further lengths, searched at the most detailed scale only, for
            small items; at other scales they would only add false alarms.
        peaks: best places kept for each template and scale. With 10 (and 250 candidates) more
            copies of an item are found in one picture than with 3 and 150: AP50 on FlickrLogos-27's
            second subset is 0.559 against 0.539 with the starter weights 0.2.0, 0.625 against
            0.603 with MobileNetV2's.
        dense_views: a gallery with more views than this is narrowed at each scale to so many
            by a coarse search first, so that time does not grow with the gallery. 32 finds as
            much as all 172 (AP50 on FlickrLogos-27's second subset: 0.655 against 0.645 with
            the starter weights, 0.668 against 0.674 with MobileNetV2's).
    """

    template_cells: tuple[float, ...] = (8.0, 11.3)
    small_template_cells: tuple[float, ...] = (5.66,)
    peaks: int = 10
    dense_views: int = 32


@dataclass(frozen=True)
class _Found:
    """The best places of T templates at one scale, P of each.

    Attributes:
        template: (T,) int64.
        similarity: (T, P) float32, -inf where there is none.
        rows, columns: (T, P) int64, the template's first cell in the padded map.
    """

    template: NDArray[np.int64]
    similarity: NDArray[np.float32]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


class TemplateIndex:
    """Templates, embedded, and how they are searched for.

    A few views are looked for everywhere. Of many, those that a coarse look finds are tried at
    their likeliest places, and only those that fit there better than usual in backgrounds are
    searched for, near such places.

    Args:
        templates: of all views of a gallery.
        head: its embedding is used; embeddings are made once, here.
        settings: which sizes are small ones, how many views are searched densely.
    """

    def __init__(
        self,
        templates: Sequence[Template],
        head: ExemplarHead,
        settings: SearchSettings,
    ) -> None:
        self.settings = settings
        self._kernels = Kernels(templates, head)
        self._extents = np.array([t.extent for t in templates], np.float32).reshape(-1, 2)
        self._view = np.array([t.view for t in templates], np.int64)
        lengths = np.array([t.cells for t in templates], np.float64)
        self._is_small = np.isin(lengths, settings.small_template_cells)
        self._coarse: CoarseIndex | None = None
        views = len(np.unique(self._view))
        if views > settings.dense_views:
            first = np.flatnonzero(lengths == settings.template_cells[0])
            self._first = np.full(self._view.max() + 1, -1, np.int64)
            self._first[self._view[first]] = first
            self._least = chance_prior(views) - _BELOW_CHANCE
            shapes = self._kernels.shapes(first)
            self._coarse = CoarseIndex([(kernels, self._view[own]) for kernels, own in shapes])
        else:
            everything = np.arange(len(templates))
            self._whole = [
                list(self._kernels.alike(chosen))
                for chosen in (everything, everything[~self._is_small])
            ]

    def search(
        self, pyramid: ScenePyramid, head: ExemplarHead, prior: Prior = _similarity
    ) -> Candidates:
        """The best places of each template at each scale, in no particular order.

        Args:
            pyramid: the scene.
            head: that the templates were embedded by.
            prior: by which the views of a large gallery are compared with each other.
        """
        with torch.no_grad():
            parts = [
                part
                for number, level in enumerate(pyramid.levels)
                for part in self._search_level(level, number, pyramid, head, prior)
            ]
        return concatenate(parts)

    def _search_level(
        self, level: Level, number: int, pyramid: ScenePyramid, head: ExemplarHead, prior: Prior
    ) -> Iterator[Candidates]:
        # Channels lie last in memory, as the head leaves them: patches are long runs then.
        cells = head.embed(level.features[None])[0].permute(1, 2, 0)
        embedded = F.pad(cells, (0, 0, *(_PAD,) * 4)).permute(2, 0, 1)[None]
        cell = (pyramid.stride / level.scale_x, pyramid.stride / level.scale_y)
        if self._coarse is None:
            parts = self._everywhere(embedded, self._whole[min(number, 1)])
        else:
            parts = self._nearby(self._coarse, embedded, number, prior)
        for found in parts:
            yield self._candidates(found, cell, number)

    def _everywhere(
        self, embedded: torch.Tensor, alike: Iterable[tuple[NDArray[np.int64], torch.Tensor]]
    ) -> Iterator[_Found]:
        """Templates at every place."""
        for templates, kernels in alike:
            sizes = self._kernels.sizes[templates]
            if (sizes <= embedded.shape[2:]).all(1).any():
                response = _responses(embedded, kernels, sizes)
                yield _Found(templates, *highest_peaks(response, self.settings.peaks))

    def _nearby(
        self, coarse: CoarseIndex, embedded: torch.Tensor, number: int, prior: Prior
    ) -> Iterator[_Found]:
        """The templates of likely views near likely places; small ones only at the first scale."""
        look = coarse.look(embedded)
        most = max(_FITTED, self.settings.dense_views)
        seen = look.best(
            most,
            lambda likeness, views: prior(likeness, self._first[views]),
            self._least - _BLURRED,
        )
        cells = embedded[0].permute(1, 2, 0)
        seen = seen.take(self._fitting(cells, self._first[seen.views], seen.centres, prior))
        chosen = np.isin(self._view, seen.views)
        templates = np.flatnonzero(chosen & ~self._is_small if number else chosen)
        if len(seen.views) < _FEW:
            parts = self._around(cells, templates, seen, look)
        else:
            parts = self._everywhere(embedded, self._kernels.alike(templates))
        for found in parts:
            is_good = prior(found.similarity, found.template[:, None]) >= self._least
            similarity = np.where(is_good, found.similarity, np.float32(-np.inf))
            yield replace(found, similarity=similarity)

    def _around(
        self, cells: torch.Tensor, templates: NDArray[np.int64], seen: Glimpses, look: CoarseLook
    ) -> Iterator[_Found]:
        """Templates near the places that a coarse look found of their views."""
        centres, is_place = look.places(seen, self.settings.peaks)
        order = np.argsort(seen.views)
        for alike, kernels in self._kernels.alike(templates):
            own = order[np.searchsorted(seen.views[order], self._view[alike])]
            near = closest(cells, kernels, self._kernels.sizes[alike], centres[own])
            similarity = np.where(is_place[own], near.similarity, np.float32(-np.inf))
            yield _Found(alike, similarity, near.rows, near.columns)

    def _fitting(
        self,
        cells: torch.Tensor,
        templates: NDArray[np.int64],
        centres: NDArray[np.float64],
        prior: Prior,
    ) -> NDArray[np.intp]:
        """Which of the templates fit near their places better than usual, the best first."""
        if not len(templates):
            return np.zeros(0, np.intp)
        sizes = self._kernels.sizes[templates]
        near = closest(cells, self._kernels.padded(templates), sizes, centres[:, None])
        fit = prior(near.similarity[:, 0], templates)
        best = np.argsort(-fit, kind="stable")[: self.settings.dense_views]
        return best[np.isfinite(fit[best]) & (fit[best] >= self._least)]

    def _candidates(self, found: _Found, cell: tuple[float, float], number: int) -> Candidates:
        size = self._kernels.sizes[found.template]
        extent = self._extents[found.template]
        height, width = size[:, :1], size[:, 1:]
        center_x = (found.columns - _PAD + width / 2) * cell[0]
        center_y = (found.rows - _PAD + height / 2) * cell[1]
        half_width = extent[:, :1] * width * cell[0] / 2
        half_height = extent[:, 1:] * height * cell[1] / 2
        boxes = np.stack(
            [
                center_x - half_width,
                center_y - half_height,
                center_x + half_width,
                center_y + half_height,
            ],
            -1,
        )
        candidates = Candidates(
            boxes.reshape(-1, 4).astype(np.float32),
            found.similarity.reshape(-1),
            found.template.repeat(found.similarity.shape[1]),
            np.full(found.similarity.size, number, np.int64),
        )
        return candidates.take(np.isfinite(candidates.similarity))


def _responses(
    embedded: torch.Tensor, kernels: torch.Tensor, sizes: NDArray[np.int64]
) -> torch.Tensor:
    """(T, h', w') response of each template at each place, -inf where it does not fit."""
    rows, columns = np.array(kernels.shape[2:]) - sizes.min(0)
    response = F.conv2d(F.pad(embedded, (0, int(columns), 0, int(rows))), kernels)[0]
    last = torch.tensor(embedded.shape[2:]) - torch.from_numpy(sizes)
    for axis, places in enumerate(last.to(response.device).T):
        beyond = torch.arange(response.shape[1 + axis], device=response.device) > places[:, None]
        response.masked_fill_(beyond.unsqueeze(2 - axis), -torch.inf)
    return response
