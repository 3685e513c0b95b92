"""Dense boxes: cells of a pyramid, the distances from a cell to the sides of a box, targets.

Distances to the four sides as in Tian et al., "FCOS: Fully Convolutional One-Stage Object
Detection", ICCV 2019. Which cells answer for which box follows what they say of it now, as in
Feng et al., "TOOD: Task-aligned One-stage Object Detection", ICCV 2021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou

CANDIDATES = 10
"""Cells that answer for a box, at most (13 in TOOD, for larger maps than ours)."""
_IOU_POWER = 6.0  # how much more the place counts than the score; TOOD's beta
_SMALLEST_IOU = 0.01  # keeps logarithms finite


@dataclass(frozen=True)
class Cells:
    """The cells of all levels, one after another.

    Attributes:
        centres: (M, 2) float32 x, y in pixels of the picture.
        strides: (M,) float32 pixels.
    """

    centres: Tensor
    strides: Tensor


@dataclass(frozen=True)
class PaddedBoxes:
    """The boxes of a batch as one tensor; G is the largest number of boxes of a picture.

    Attributes:
        boxes: (B, G, 4) float32 xyxy pixels.
        labels: (B, G) int64.
        there: (B, G) bool: false where a picture has fewer boxes.
    """

    boxes: Tensor
    labels: Tensor
    there: Tensor


@dataclass(frozen=True)
class Assignment:
    """What each cell shall say.

    Attributes:
        chosen: (B, M) bool: cells that answer for a box.
        box: (B, M) int64: for which of its picture's; 0 where not `chosen`.
        weight: (B, M) float32 0..1: how well the cell fits, 1 the best cell of each box.
        quality: (B, M) float32 0..1: `weight` times the best IoU of that box.
    """

    chosen: Tensor
    box: Tensor
    weight: Tensor
    quality: Tensor


def cells_of(maps: Mapping[int, Tensor]) -> Cells:
    """The cells of (B, C, h, w) maps by stride, level by level, row by row."""
    centres, strides = [], []
    for stride, level in maps.items():
        rows, columns = (
            (torch.arange(size, device=level.device, dtype=torch.float32) + 0.5) * stride
            for size in level.shape[-2:]
        )
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        centres.append(torch.stack([x, y], -1).reshape(-1, 2))
        strides.append(torch.full_like(centres[-1][:, 0], stride))
    return Cells(torch.cat(centres), torch.cat(strides))


def boxes_of(centres: Tensor, distances: Tensor) -> Tensor:
    """(..., M, 4) float xyxy boxes around (M, 2) centres.

    Args:
        centres: (M, 2) float x, y.
        distances: (..., M, 4) float pixels to the left, upper, right and lower side.
    """
    return torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], -1)


def distances_of(centres: Tensor, boxes: Tensor) -> Tensor:
    """(..., M, 4) float distances, the inverse of `boxes_of`; negative outside of a box."""
    return torch.cat([centres - boxes[..., :2], boxes[..., 2:] - centres], -1)


def pad_boxes(
    boxes: Sequence[Tensor], labels: Sequence[Tensor] | None, device: torch.device
) -> PaddedBoxes:
    """The boxes of each picture in one tensor; boxes without area are left out.

    Args:
        boxes: (N, 4) float xyxy for each picture; N may be 0.
        labels: (N,) int64 for each picture; None makes them all 0.
        device: of the result.
    """
    if labels is None:
        labels = [torch.zeros(len(each), dtype=torch.int64) for each in boxes]
    kept = [(each[:, 2:] > each[:, :2]).all(1) for each in boxes]
    most = max((int(keep.sum()) for keep in kept), default=0)
    padded = torch.zeros(len(boxes), most, 4)
    names = torch.zeros(len(boxes), most, dtype=torch.int64)
    there = torch.zeros(len(boxes), most, dtype=torch.bool)
    for index, keep in enumerate(kept):
        count = int(keep.sum())
        padded[index, :count] = boxes[index][keep]
        names[index, :count] = labels[index][keep]
        there[index, :count] = True
    return PaddedBoxes(padded.to(device), names.to(device), there.to(device))


@torch.no_grad()
def assign(said: Tensor, scores: Tensor, cells: Cells, truth: PaddedBoxes) -> Assignment:
    """Which cells answer for which box: the ten that already fit it best, of those within it.

    A cell fits by score * IoU^6 (TOOD, eq. 2). Where a box holds no cell's centre, the nearest
    ones of the finest level stand in. A cell that two boxes want goes to the box to which it
    matters more and that is smaller: a small box within a large one has no other cells.

    Args:
        said: (B, M, 4) float32 xyxy, the cells' boxes.
        scores: (B, G, M) float32 0..1, how sure each cell is of each box's class.
        cells: M of them.
        truth: G boxes a picture.
    """
    batch, count = said.shape[:2]
    if not truth.there.shape[1] or not count:
        nothing = said.new_zeros(batch, count)
        return Assignment(nothing.bool(), nothing.long(), nothing, nothing)
    iou = box_iou(truth.boxes, said)
    fit = scores.clamp(min=1e-9).log() + _IOU_POWER * iou.clamp(min=_SMALLEST_IOU).log()
    fit = fit.masked_fill(~within(cells, truth), -torch.inf)
    best, places = fit.topk(min(CANDIDATES, count), dim=-1)
    # A box without cells has -inf everywhere, and the difference of two of them is no number.
    relative = (best - best[..., :1]).exp().nan_to_num(0)
    weights = torch.zeros_like(fit).scatter(2, places, relative)
    claim, box = (weights / _sides(truth)[..., None]).max(1)
    weight = weights.gather(1, box[:, None])[:, 0]
    best_iou = (iou * (weights > 0)).amax(2)
    return Assignment(claim > 0, box, weight, weight * best_iou.gather(1, box))


def within(cells: Cells, truth: PaddedBoxes) -> Tensor:
    """(B, G, M) bool: the cell's centre lies in the box, or within half a cell of the box's."""
    middle = (truth.boxes[..., :2] + truth.boxes[..., 2:]) / 2
    half = (truth.boxes[..., 2:] - truth.boxes[..., :2]) / 2
    half = half.clamp(min=cells.strides.min() / 2)
    away = (cells.centres - middle[:, :, None]).abs()
    return (away <= half[:, :, None]).all(-1) & truth.there[..., None]


def quality_focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross entropy with targets between 0 and 1, weighted by the squared error; same shape.

    Li et al., "Generalized Focal Loss", NeurIPS 2020, eq. 3.
    """
    error = (logits.sigmoid() - targets).abs()
    return error.square() * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def _sides(truth: PaddedBoxes) -> Tensor:
    """(B, G) float root of a box's area; at least a pixel, also of boxes that are not there."""
    return (truth.boxes[..., 2:] - truth.boxes[..., :2]).prod(-1).sqrt().clamp(min=1)
