"""Candidates as the exemplar head sees them: a patch of the scene beside the view's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import roi_align

from visionkit.heads.exemplar import SCENE_CELLS, VIEW_CELLS, Pairs
from visionkit.matching.candidates import Candidates
from visionkit.matching.pyramid import ScenePyramid
from visionkit.matching.templates import Template


def gather_pairs(
    candidates: Candidates,
    prior: NDArray[np.float32],
    inliers: NDArray[np.int64],
    pyramid: ScenePyramid,
    templates: Sequence[Template],
    items: NDArray[np.int64],
) -> Pairs:
    """Pairs for candidates, in their order.

    Args:
        candidates: N of them; 0 is fine.
        prior: (N,) evidence before learning, in standard deviations.
        inliers: (N,) points that geometry verified, 0 where it did not.
        pyramid: the scene.
        templates: T of them.
        items: (N,) each candidate's item among those that the head learned, -1 for none.
    """
    device = pyramid.levels[0].features.device
    channels = pyramid.levels[0].features.shape[0]
    count = len(candidates)
    boxes = torch.from_numpy(candidates.boxes).to(device)
    scene = torch.zeros(count, channels, SCENE_CELLS, SCENE_CELLS, device=device)
    for number, level in enumerate(pyramid.levels):
        index = torch.from_numpy(np.flatnonzero(candidates.level == number)).to(device)
        if len(index):
            to_level = boxes.new_tensor([level.scale_x, level.scale_y] * 2)
            around = _grow(boxes[index] * to_level, SCENE_CELLS / VIEW_CELLS)
            scene[index] = _crop(level.features, around / pyramid.stride, SCENE_CELLS)
    views, weights = _view_grids(candidates.template, templates, channels, device)
    evidence = np.stack([prior / 4, candidates.similarity, np.log1p(inliers)], 1)
    return Pairs(
        scene,
        views,
        weights,
        torch.from_numpy(prior).to(device).float(),
        torch.from_numpy(evidence).to(device).float(),
        boxes,
        torch.from_numpy(items).to(device),
    )


def _view_grids(
    chosen: NDArray[np.int64],
    templates: Sequence[Template],
    channels: int,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, C, 8, 8) features and (N, 8, 8) weights of the chosen templates."""
    used, place = np.unique(chosen, return_inverse=True)
    grids = torch.zeros(len(used), channels + 1, VIEW_CELLS, VIEW_CELLS, device=device)
    by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, index in enumerate(used):
        height, width = templates[index].weights.shape
        by_shape[height, width].append(row)
    for (height, width), rows in by_shape.items():  # one shape at a time: few calls
        alike = [templates[used[row]] for row in rows]
        maps = torch.stack([torch.cat([t.features.float(), t.weights[None]]) for t in alike])
        middle = torch.tensor([width / 2, height / 2])
        half = torch.tensor([t.extent for t in alike]) * middle
        items = torch.cat([middle - half, middle + half], 1).to(device)
        grids[rows] = roi_align(
            maps.to(device), list(items[:, None]), VIEW_CELLS, sampling_ratio=1, aligned=True
        )
    order = torch.from_numpy(place).to(device)
    return grids[order, :channels], grids[order, channels]


def _crop(features: torch.Tensor, boxes: torch.Tensor, size: int) -> torch.Tensor:
    """(N, C, size, size) from a (C, h, w) map; boxes are (N, 4) xyxy in cells."""
    cut: torch.Tensor = roi_align(
        features[None], [boxes.float()], size, sampling_ratio=1, aligned=True
    )
    return cut


def _grow(boxes: torch.Tensor, factor: float) -> torch.Tensor:
    center, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    return torch.cat([center - half * factor, center + half * factor], 1)
