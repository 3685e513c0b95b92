"""The evidence for each place of a scene: correlation's and geometry's, which adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import supervision as sv
import torch
from numpy.typing import NDArray
from torchvision.ops import batched_nms

from visionkit.matching.candidates import Candidates, concatenate
from visionkit.matching.geometry import Verified
from visionkit.matching.pyramid import ScenePyramid
from visionkit.matching.templates import Template
from visionkit.types import BoxArray

_INLIER_WEIGHT = 1.0
_INLIER_OFFSET = 2.0
_MAX_INLIERS = 25
"""Geometry adds its evidence to correlation's: each agreeing point is worth one standard
deviation, less two for the look; from 25 points on nothing is left to doubt. Chosen on
FlickrLogos-27's second subset, which is no part of the reported test pictures."""
_OVERLAP = 0.5
"""IoU from which on the two speak of one place."""
_COPY = 0.7
"""IoU from which on two places of an item are one."""


@dataclass(frozen=True)
class Proposals:
    """Candidates of one scene with all evidence there is before learning.

    Attributes:
        candidates: the best first.
        prior: (N,) float32, standard deviations above the best match in a background of the
            scene's size.
        inliers: (N,) int64, points that geometry verified.
        quads: (N, 4, 2) float32, corners by homography; NaN where there is none.
        pyramid: the scene's features.
    """

    candidates: Candidates
    prior: NDArray[np.float32]
    inliers: NDArray[np.int64]
    quads: NDArray[np.float32]
    pyramid: ScenePyramid

    def take(self, index: NDArray[np.intp]) -> Proposals:
        """The proposals at `index`, in that order."""
        return Proposals(
            self.candidates.take(index),
            self.prior[index],
            self.inliers[index],
            self.quads[index],
            self.pyramid,
        )


def unverified(
    candidates: Candidates, prior: NDArray[np.float32], pyramid: ScenePyramid
) -> Proposals:
    """Proposals by correlation alone, in the order of the candidates."""
    count = len(candidates)
    quads = np.full((count, 4, 2), np.nan, np.float32)
    return Proposals(candidates, prior, np.zeros(count, np.int64), quads, pyramid)


def thin(found: Proposals, items: NDArray[np.int64], count: int) -> Proposals:
    """The best proposals, without near copies of the same item's.

    Args:
        found: N proposals, in any order.
        items: (N,) the item of each.
        count: how many are kept at most.
    """
    if not len(found.candidates):
        return found
    best = np.argsort(-found.prior, kind="stable")[: 20 * count]
    found = found.take(best)
    kept = batched_nms(
        torch.from_numpy(found.candidates.boxes),
        torch.from_numpy(found.prior),
        torch.from_numpy(items[best]),
        _COPY,
    ).numpy()
    return found.take(kept[:count])


def worth_verifying(
    found: Proposals, views: NDArray[np.int64], *, count: int, chance: float
) -> tuple[NDArray[np.int64], BoxArray | None]:
    """The views of a large gallery that geometry looks for, ascending, and where.

    Args:
        found: N proposals, the best first.
        views: (N,) the view of each.
        count: views at most.
        chance: prior that the best place has by chance in a gallery of its size. Above 0 only what
            is no worse is looked for, and only there; else the best views, everywhere.
    """
    is_likely = (found.prior >= chance) | (chance <= 0)
    likely = views[is_likely]
    best = np.sort(np.unique(likely, return_index=True)[1])[:count]
    chosen = np.sort(likely[best])
    if chance <= 0:
        return chosen, None
    return chosen, found.candidates.boxes[is_likely][np.isin(likely, chosen)]


def as_candidates(
    verified: Verified, templates: Sequence[Template], pyramid: ScenePyramid, *, cells: float
) -> Candidates:
    """Geometry's finds with the template and level that correlation would use for them.

    Args:
        verified: N finds of geometry, in any order.
        templates: of all views.
        pyramid: the scene's features.
        cells: longer side of the templates that are used.

    Returns:
        N candidates without any similarity.
    """
    template_of = {t.view: n for n, t in enumerate(templates) if t.cells == cells}
    sides = (verified.boxes[:, 2:] - verified.boxes[:, :2]).max(1).clip(1)
    scales = np.array([max(level.scale_x, level.scale_y) for level in pyramid.levels])
    wanted = cells * pyramid.stride / sides
    level = np.abs(np.log(scales[None]) - np.log(wanted[:, None])).argmin(1)
    return Candidates(
        verified.boxes,
        np.zeros(len(verified), np.float32),
        np.array([template_of[view] for view in verified.view], np.int64),
        level.astype(np.int64),
    )


def add_geometry(
    found: Proposals,
    verified: Verified,
    by_geometry: Candidates,
    same_item: NDArray[np.bool_],
) -> Proposals:
    """Correlation's proposals and geometry's, whose evidence adds up where they agree.

    Args:
        found: N by correlation.
        verified: M finds of geometry.
        by_geometry: the same as `as_candidates` has them.
        same_item: (M, N) whether a find of geometry and a proposal are of one item.

    Returns:
        N + M proposals, the best first.
    """
    overlap = sv.box_iou_batch(by_geometry.boxes, found.candidates.boxes)
    agree = same_item & (overlap > _OVERLAP)
    support = np.where(agree, found.prior[None], 0.0).max(1, initial=0.0)
    similarity = np.where(agree, found.candidates.similarity[None], 0.0).max(1, initial=0.0)
    points = np.minimum(verified.inliers, _MAX_INLIERS)
    prior = support + _INLIER_WEIGHT * points - _INLIER_OFFSET
    supported = replace(by_geometry, similarity=similarity.astype(np.float32))
    merged = Proposals(
        concatenate([found.candidates, supported]),
        np.concatenate([found.prior, prior]).astype(np.float32),
        np.concatenate([found.inliers, verified.inliers]),
        np.concatenate([found.quads, verified.quads]),
        found.pyramid,
    )
    return merged.take(np.argsort(-merged.prior, kind="stable"))
