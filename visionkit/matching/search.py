"""Search by correlation: where in the scene do the features look like a view's?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from visionkit.heads.exemplar import ExemplarHead
from visionkit.matching.pyramid import Level, ScenePyramid
from visionkit.matching.shortlist import CoarseIndex
from visionkit.matching.templates import Template
from visionkit.types import BoxArray

_PAD = 1
"""Cells that a template may reach beyond the scene, for items at its rim."""


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
            much as all 172 (AP50 on FlickrLogos-27's second subset: 0.540 against 0.537 with
            the starter weights, 0.601 against 0.595 with MobileNetV2's).
    """

    template_cells: tuple[float, ...] = (8.0, 11.3)
    small_template_cells: tuple[float, ...] = (5.66,)
    peaks: int = 10
    dense_views: int = 32


@dataclass(frozen=True)
class Candidates:
    """Places that resemble a view; N may be 0.

    Attributes:
        boxes: (N, 4) float32 xyxy, pixels of the scene; may reach beyond it.
        similarity: (N,) float32, mean cosine similarity of the cells, -1..1.
        template: (N,) int64, index of the template.
        level: (N,) int64, index of the pyramid's level.
    """

    boxes: BoxArray
    similarity: NDArray[np.float32]
    template: NDArray[np.int64]
    level: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.similarity)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Candidates:
        """The candidates at `index`, in that order."""
        return Candidates(*(value[index] for value in vars(self).values()))


def no_candidates() -> Candidates:
    """Candidates of a scene in which nothing was found."""
    return Candidates(
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.float32),
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
    )


def concatenate(parts: Sequence[Candidates]) -> Candidates:
    """All candidates of the parts, in order; of no part: none."""
    if not parts:
        return no_candidates()
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Candidates(*(np.concatenate(column) for column in columns))


@dataclass(frozen=True)
class _Group:
    """Templates that one convolution finds; smaller ones have zeros below and to the right."""

    kernels: torch.Tensor  # (T, D, h, w), weighted so that the response is the mean cosine
    sizes: NDArray[np.int64]  # (T, 2) rows and columns of each template
    extents: NDArray[np.float32]  # (T, 2) width and height in parts of the patch
    template: NDArray[np.int64]  # (T,)
    view: NDArray[np.int64]  # (T,)
    is_small: NDArray[np.bool_]  # (T,) searched at the most detailed scale only


class TemplateIndex:
    """Templates embedded and grouped by shape.

    Args:
        templates: of all views of a gallery.
        head: its embedding is used; embeddings are made once, here.
        settings: which sizes are small ones, how many views are searched densely.
    """

    def __init__(
        self, templates: Sequence[Template], head: ExemplarHead, settings: SearchSettings
    ) -> None:
        self.settings = settings
        by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, template in enumerate(templates):
            by_shape[tuple(template.weights.shape)].append(index)  # type: ignore[index]
        self._groups = [_group(templates, members, head, settings) for members in by_shape.values()]
        self._coarse: CoarseIndex | None = None
        if len({template.view for template in templates}) > settings.dense_views:
            first = [n for n, t in enumerate(templates) if t.cells == settings.template_cells[0]]
            chosen = _those(self._groups, lambda group: np.isin(group.template, first))
            self._coarse = CoarseIndex([(group.kernels, group.view) for group in chosen])
        else:
            large = _those(self._groups, lambda group: ~group.is_small)
            self._whole = [_joined(self._groups), _joined(large)]

    def search(self, pyramid: ScenePyramid, head: ExemplarHead) -> Candidates:
        """The best places of each template at each scale, in no particular order."""
        with torch.no_grad():
            parts = [
                part
                for number, level in enumerate(pyramid.levels)
                for part in self._search_level(level, number, pyramid, head)
            ]
        return concatenate(parts)

    def _search_level(
        self, level: Level, number: int, pyramid: ScenePyramid, head: ExemplarHead
    ) -> list[Candidates]:
        embedded = head.embed(level.features[None])
        embedded = F.pad(embedded, (_PAD,) * 4)
        cell = (pyramid.stride / level.scale_x, pyramid.stride / level.scale_y)
        return [
            self._search_group(embedded, cell, group, number)
            for group in self._narrow(embedded, number)
            if (group.sizes <= embedded.shape[2:]).all(1).any()
        ]

    def _narrow(self, embedded: torch.Tensor, number: int) -> list[_Group]:
        """What to search at this level: small templates only at the first, few views of many."""
        if self._coarse is None:
            return self._whole[min(number, 1)]
        views = self._coarse.best_views(embedded, self.settings.dense_views)

        def is_wanted(group: _Group) -> NDArray[np.bool_]:
            chosen = np.isin(group.view, views)
            return chosen & ~group.is_small if number else chosen

        return _joined(_those(self._groups, is_wanted))

    def _search_group(
        self,
        embedded: torch.Tensor,
        cell: tuple[float, float],
        group: _Group,
        number: int,
    ) -> Candidates:
        similarity, rows, columns = _peaks(_responses(embedded, group), self.settings.peaks)
        height, width = group.sizes[:, :1], group.sizes[:, 1:]
        center_x = (columns - _PAD + width / 2) * cell[0]
        center_y = (rows - _PAD + height / 2) * cell[1]
        half_width = group.extents[:, :1] * width * cell[0] / 2
        half_height = group.extents[:, 1:] * height * cell[1] / 2
        boxes = np.stack(
            [
                center_x - half_width,
                center_y - half_height,
                center_x + half_width,
                center_y + half_height,
            ],
            -1,
        )
        found = Candidates(
            boxes.reshape(-1, 4).astype(np.float32),
            similarity.reshape(-1),
            group.template.repeat(similarity.shape[1]),
            np.full(similarity.size, number, np.int64),
        )
        return found.take(np.isfinite(found.similarity))


def _group(
    templates: Sequence[Template],
    members: Sequence[int],
    head: ExemplarHead,
    settings: SearchSettings,
) -> _Group:
    device = head.center.device
    chosen = [templates[index] for index in members]
    with torch.no_grad():
        features = torch.stack([template.features for template in chosen]).to(device).float()
        weights = torch.stack([template.weights for template in chosen]).to(device)
        weights = weights / weights.sum((1, 2), keepdim=True)
        kernels = head.embed(features) * weights[:, None]
    return _Group(
        kernels,
        np.array([template.weights.shape for template in chosen], np.int64),
        np.array([template.extent for template in chosen], np.float32),
        np.array(members, np.int64),
        np.array([template.view for template in chosen], np.int64),
        np.array([template.cells in settings.small_template_cells for template in chosen]),
    )


def _take(group: _Group, keep: NDArray[np.bool_]) -> _Group | None:
    if keep.all():
        return group
    if not keep.any():
        return None
    return _Group(
        group.kernels[torch.from_numpy(keep).to(group.kernels.device)],
        group.sizes[keep],
        group.extents[keep],
        group.template[keep],
        group.view[keep],
        group.is_small[keep],
    )


def _those(groups: Sequence[_Group], wanted: Callable[[_Group], NDArray[np.bool_]]) -> list[_Group]:
    """The templates that are wanted, without the groups that none is left of."""
    kept = (_take(group, wanted(group)) for group in groups)
    return [group for group in kept if group is not None]


def _joined(groups: Sequence[_Group]) -> list[_Group]:
    """Groups of like size as one: a convolution with few kernels leaves most of a core idle."""
    alike: dict[int, list[_Group]] = defaultdict(list)
    for group in groups:
        alike[max(group.kernels.shape[2:])].append(group)
    return [_join(members) for members in alike.values()]


def _join(groups: Sequence[_Group]) -> _Group:
    rows, columns = (max(group.kernels.shape[axis] for group in groups) for axis in (2, 3))
    kernels = [
        F.pad(k, (0, columns - k.shape[3], 0, rows - k.shape[2]))
        for k in (group.kernels for group in groups)
    ]
    others = zip(*(list(vars(group).values())[1:] for group in groups), strict=True)
    return _Group(torch.cat(kernels), *(np.concatenate(values) for values in others))


def _responses(embedded: torch.Tensor, group: _Group) -> torch.Tensor:
    """(T, h', w') response of each template at each place, -inf where it does not fit."""
    rows, columns = np.array(group.kernels.shape[2:]) - group.sizes.min(0)
    response = F.conv2d(F.pad(embedded, (0, int(columns), 0, int(rows))), group.kernels)[0]
    last = torch.tensor(embedded.shape[2:]) - torch.from_numpy(group.sizes)
    for axis, places in enumerate(last.to(response.device).T):
        beyond = torch.arange(response.shape[1 + axis], device=response.device) > places[:, None]
        response.masked_fill_(beyond.unsqueeze(2 - axis), -torch.inf)
    return response


def _peaks(
    response: torch.Tensor, count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Values, rows and columns, each (T, count), of the highest local maxima of (T, h, w).

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
