"""From judged places to what is reported."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import supervision as sv
import torch
from numpy.typing import NDArray
from torchvision.ops import batched_nms, nms

from visionkit.types import BoxArray

_SAME_PLACE = 0.5
"""IoU from which on two items claim the same place."""


def clip_boxes(boxes: BoxArray, image_size: tuple[int, int]) -> BoxArray:
    """(N, 4) float32 boxes cut at the rim of a picture of (height, width) pixels."""
    height, width = image_size
    limit = np.array([width, height, width, height], np.float32)
    return np.clip(boxes, 0, limit).astype(np.float32)


def best_of_each_place(
    boxes: BoxArray,
    scores: NDArray[np.float32],
    items: NDArray[np.int64],
    iou_threshold: float,
    place_iou_threshold: float | None,
) -> NDArray[np.int64]:
    """Which finds stay, the best first: of those that overlap, the one that scores best.

    Finds of under a pixel a side are left out.

    Args:
        boxes: (N, 4) float32 xyxy in pixels.
        scores: (N,) float32, 0..1.
        items: (N,) int64.
        iou_threshold: of finds of one item that overlap more, one stays.
        place_iou_threshold: of finds of different items that overlap more, one stays; None
            keeps them all.

    Returns:
        (K,) indices.
    """
    is_real = (boxes[:, 2] - boxes[:, 0] >= 1) & (boxes[:, 3] - boxes[:, 1] >= 1)
    kept = batched_nms(
        torch.from_numpy(boxes),
        torch.from_numpy(np.where(is_real, scores, 0).astype(np.float32)),
        torch.from_numpy(items),
        iou_threshold,
    ).numpy()
    kept = kept[is_real[kept]]
    if place_iou_threshold is not None:
        best = nms(
            torch.from_numpy(boxes[kept]), torch.from_numpy(scores[kept]), place_iou_threshold
        )
        kept = kept[best.numpy()]
    return np.asarray(kept, np.int64)


def first_of_each(items: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Which entries are among the first `count` of their item."""
    rank = np.zeros(len(items), np.int64)
    for item in np.unique(items):
        places = np.flatnonzero(items == item)
        rank[places] = np.arange(len(places))
    return rank < count


def runners_up(
    boxes: BoxArray,
    scores: NDArray[np.float32],
    items: NDArray[np.int64],
    kept: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each kept find the other item that fits best at its place (-1: none), and its score."""
    if not len(kept):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    rivals = (items[kept][:, None] != items[None]) & (
        sv.box_iou_batch(boxes[kept], boxes) > _SAME_PLACE
    )
    rival_scores = np.where(rivals, scores[None], -1.0)
    best = rival_scores.argmax(1)
    value = rival_scores[np.arange(len(kept)), best]
    item = np.where(value >= 0, items[best], -1)
    return item.astype(np.int64), np.maximum(value, 0).astype(np.float32)


def names_at(names: Sequence[str], index: NDArray[np.int64]) -> NDArray[np.str_]:
    """(N,) the names at `index`; "" where it is -1."""
    return np.array([names[place] if place >= 0 else "" for place in index], dtype=str)
