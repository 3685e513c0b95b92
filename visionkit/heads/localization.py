"""The localization head: boxes of objects of known classes, one pass over a pyramid.

Two branches look at the pyramid. The box branch says of every cell how good its box is and
where its sides are, whatever the class: it is learned once, without classes, and kept. The class
branch is new for every set of classes. A score is the geometric mean of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import supervision as sv
import torch
from torch import Tensor
from torchvision.ops import batched_nms, complete_box_iou_loss

from visionkit.heads.base import Head
from visionkit.heads.branches import BoxBranch, ClassBranch
from visionkit.heads.dense import (
    Assignment,
    Cells,
    PaddedBoxes,
    assign,
    boxes_of,
    cells_of,
    pad_boxes,
    quality_focal_loss,
    within,
)
from visionkit.models.pyramid import FeaturePyramid
from visionkit.types import Features

CLASS_AGNOSTIC = ("pyramid.", "box_branch.")
"""Beginnings of the names of the weights that know nothing of classes."""
_BOX_WEIGHT = 2.0  # of TOOD
_ROUNDING = 1e-6  # of scores in single precision


@dataclass(frozen=True)
class DenseOutputs:
    """What every cell says; M cells, K classes, which may be 0.

    Attributes:
        quality: (B, M) float32 logits: is there an object, and does the box fit it.
        boxes: (B, M, 4) float32 xyxy in pixels of the network's input, not clipped.
        classes: (B, M, K) float32 logits.
        cells: where the cells are.
    """

    quality: Tensor
    boxes: Tensor
    classes: Tensor
    cells: Cells


@dataclass(frozen=True)
class BoxTargets:
    """What is true of a batch; pictures without boxes are as welcome as others.

    Attributes:
        boxes: (N, 4) float32 xyxy for each picture, pixels of the network's input; N may be 0,
            boxes without area count as not there.
        labels: (N,) int64 for each picture; None for a head without classes.
        doubtful: (D, 4) float32 xyxy for each picture, boxes of which it is open whether something
            is in them: what cells say there is not judged, unless they answer for another box.
            None is no such boxes.
        loose: (B,) bool, the pictures whose boxes say what is there and only about where: the
            sides that cells give a box are not judged there, but how good they say it is still is.
            None is none of them.
    """

    boxes: Sequence[Tensor]
    labels: Sequence[Tensor] | None = None
    doubtful: Sequence[Tensor] | None = None
    loose: Tensor | None = None


@dataclass(frozen=True)
class _Candidates:
    """Boxes of a batch that may be objects, in the order of their pictures.

    Attributes:
        pictures: (N,) int64, which of the batch.
        boxes: (N, 4) float32 xyxy.
        scores: (N,) float32 0..1.
        labels: (N,) int64.
    """

    pictures: Tensor
    boxes: Tensor
    scores: Tensor
    labels: Tensor


class LocalizationHead(
    Head[Features, DenseOutputs, BoxTargets, Sequence[tuple[int, int]], list[sv.Detections]]
):
    """Finds objects of `class_count` classes; with 0 classes, objects of any.

    Args:
        channels: stride in pixels -> channels of the backbone's maps.
        class_count: K; 0 leaves the class branch out.
        width: channels of the pyramid; a multiple of 8.
        depth: separable convolutions of each branch.
        score_threshold: 0..1, below which `decode` leaves a box out.
        iou_threshold: 0..1, above which `decode` leaves the weaker of two boxes of a class out.
        max_detections: of a picture.

    Attributes:
        sizes: the arguments that decide shapes, by name, from which a head of the same shape is
            made.

    Raises:
        ValueError: `channels` is empty, `class_count` negative, or `width` no multiple of 8.
    """

    def __init__(
        self,
        channels: Mapping[int, int],
        class_count: int,
        *,
        width: int = 128,
        depth: int = 2,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.6,
        max_detections: int = 100,
    ) -> None:
        super().__init__()
        if class_count < 0:
            raise ValueError(f"class_count must be 0 or more, got {class_count}")
        self.sizes = {
            "channels": dict(channels),
            "class_count": class_count,
            "width": width,
            "depth": depth,
        }
        self.score_threshold, self.iou_threshold = score_threshold, iou_threshold
        self.max_detections = max_detections
        self.pyramid = FeaturePyramid(channels, width=width)
        self.box_branch = BoxBranch(width, self.pyramid.strides, depth=depth)
        self.class_branch = ClassBranch(width, class_count, depth=depth) if class_count else None

    def forward(self, inputs: Features) -> DenseOutputs:
        """What every cell says."""
        maps = self.pyramid(inputs)
        cells = cells_of(maps)
        quality, distances = self.box_branch(maps)
        if self.class_branch is None:
            classes = quality.new_zeros(*quality.shape, 0)
        else:
            classes = self.class_branch(maps)
        return DenseOutputs(quality, boxes_of(cells.centres, distances), classes, cells)

    def loss(self, outputs: DenseOutputs, targets: BoxTargets) -> dict[str, Tensor]:
        """Quality focal loss of qualities and classes, complete IoU loss of the boxes.

        The IoU loss is that of Zheng et al., "Distance-IoU Loss", AAAI 2020. Without classes
        there is no loss of that name.

        Raises:
            ValueError: another number of pictures than in `outputs`, a label for no class, or
                no labels for a head with classes.
        """
        truth = self._read_targets(outputs, targets)
        found = assign(outputs.boxes.detach(), _scores_of(outputs, truth), outputs.cells, truth)
        judged = _judged(outputs, found, targets)
        total = found.quality.sum().clamp(min=1)
        quality = quality_focal_loss(outputs.quality, found.quality) * judged
        losses = {
            "quality": quality.sum() / total,
            "boxes": _box_loss(outputs, found, truth, targets.loose),
        }
        if self.class_branch is not None:
            wanted = _class_targets(outputs.classes, found, truth)
            classes = quality_focal_loss(outputs.classes, wanted) * judged[..., None]
            losses["classes"] = classes.sum() / total
        return losses

    @torch.no_grad()
    def decode(
        self,
        outputs: DenseOutputs,
        context: Sequence[tuple[int, int]],
        *,
        least: float = 0.0,
    ) -> list[sv.Detections]:
        """The boxes of each picture, best first, without doubles of a class.

        Args:
            outputs: of B pictures.
            context: (height, width) of each picture in pixels of the network's input, which may
                be larger at the right and below; boxes are cut there.
            least: score 0..1 below which boxes are not wanted, where it is above
                `score_threshold`. To leave them out here is quicker and changes no other box.

        Raises:
            ValueError: another number of pictures than in `outputs`.
        """
        if len(context) != len(outputs.quality):
            raise ValueError(
                f"image sizes must be as many as pictures, {len(outputs.quality)}, "
                f"got {len(context)}"
            )
        found = _above(outputs, max(self.score_threshold, least))
        rims = torch.tensor(context, dtype=found.boxes.dtype).reshape(-1, 2).flip(1).repeat(1, 2)
        boxes = found.boxes.clamp(min=0).minimum(rims.to(found.boxes.device)[found.pictures])
        counts = found.pictures.bincount(minlength=len(context)).tolist()
        each = (torch.split(values, counts) for values in (boxes, found.scores, found.labels))
        return [self._without_doubles(*picture) for picture in zip(*each, strict=True)]

    def class_agnostic_state(self) -> dict[str, Tensor]:
        """Names -> weights of the pyramid and the box branch, which know nothing of classes."""
        return {
            name: value
            for name, value in self.state_dict().items()
            if name.startswith(CLASS_AGNOSTIC)
        }

    def load_class_agnostic(self, state: Mapping[str, Tensor]) -> None:
        """Takes the pyramid and the box branch of another head, of any number of classes.

        Args:
            state: from `class_agnostic_state`, of any floating type; weights of a class branch
                in it are passed over.

        Raises:
            ValueError: weights are missing or of another shape; names the first.
        """
        for name, value in self.class_agnostic_state().items():
            if name not in state or state[name].shape != value.shape:
                got = tuple(state[name].shape) if name in state else "none"
                raise ValueError(
                    f"box weights must have {name} of shape {tuple(value.shape)}, got {got}; take "
                    "those made with the same backbone, width and depth"
                )
        taken = {name: value for name, value in state.items() if name.startswith(CLASS_AGNOSTIC)}
        self.load_state_dict(taken, strict=False)

    def go_on_from(self, other: LocalizationHead, classes: Mapping[int, int]) -> None:
        """Takes what another head has learned: its boxes, and of its classes those that agree.

        Args:
            other: of the same channels, width and depth, with any number of classes.
            classes: a class of this head -> the class of the other that it is; classes that are
                not in it stay as they are.

        Raises:
            ValueError: the other head is of other sizes; this one is as it was.
        """
        self.load_class_agnostic(other.class_agnostic_state())
        if self.class_branch is None or other.class_branch is None:
            return
        self.class_branch.tower.load_state_dict(other.class_branch.tower.state_dict())
        own, known = list(classes), list(classes.values())
        with torch.no_grad():
            for name, values in self.class_branch.logits.named_parameters():
                values[own] = other.class_branch.logits.get_parameter(name)[known].to(values.device)

    def _read_targets(self, outputs: DenseOutputs, targets: BoxTargets) -> PaddedBoxes:
        pictures, classes = len(outputs.quality), outputs.classes.shape[2]
        labels = targets.labels if classes else None
        if len(targets.boxes) != pictures or (labels is not None and len(labels) != pictures):
            raise ValueError(
                f"targets must have boxes and labels of {pictures} pictures, "
                f"got {len(targets.boxes)} and {len(labels) if labels is not None else 'none'}"
            )
        if classes and labels is None:
            raise ValueError(f"a head with {classes} classes must be given labels, got None")
        for each in labels or []:
            if len(each) and not 0 <= int(each.min()) <= int(each.max()) < classes:
                raise ValueError(f"labels must be in 0..{classes - 1}, got {each.tolist()}")
        return pad_boxes(targets.boxes, labels, outputs.quality.device)

    def _without_doubles(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> sv.Detections:
        most = 10 * self.max_detections
        if len(scores) > most:
            scores, best = scores.topk(most)
            boxes, labels = boxes[best], labels[best]
        if len(scores):
            real = (boxes[:, 2:] > boxes[:, :2]).all(1)
            boxes, scores, labels = boxes[real], scores[real], labels[real]
            best = batched_nms(boxes, scores, labels, self.iou_threshold)[: self.max_detections]
            boxes, scores, labels = boxes[best], scores[best], labels[best]
        return sv.Detections(
            xyxy=boxes.float().cpu().numpy().reshape(-1, 4),
            confidence=scores.float().cpu().numpy(),
            class_id=labels.cpu().numpy().astype(np.int64),
        )


def _scores(outputs: DenseOutputs) -> Tensor:
    """(B, M, max(K, 1)) scores 0..1."""
    quality = outputs.quality.sigmoid()[..., None]
    if not outputs.classes.shape[2]:
        return quality
    return (quality * outputs.classes.sigmoid()).sqrt()


def _above(outputs: DenseOutputs, threshold: float) -> _Candidates:
    """What has at least that score, 0..1.

    Classes are looked at only where the quality allows it: no score is above its root.
    """
    quality = outputs.quality.sigmoid()
    if not outputs.classes.shape[2]:
        pictures, cells = (quality >= threshold).nonzero(as_tuple=True)
        scores, labels = quality[pictures, cells], torch.zeros_like(pictures)
        return _Candidates(pictures, outputs.boxes[pictures, cells], scores, labels)
    allowed = quality.sqrt() >= threshold - _ROUNDING
    pictures, cells = allowed.nonzero(as_tuple=True)
    classes = outputs.classes[pictures, cells].sigmoid()
    every = (quality[pictures, cells][:, None] * classes).sqrt()
    rows, labels = (every >= threshold).nonzero(as_tuple=True)
    pictures, cells = pictures[rows], cells[rows]
    return _Candidates(pictures, outputs.boxes[pictures, cells], every[rows, labels], labels)


def _scores_of(outputs: DenseOutputs, truth: PaddedBoxes) -> Tensor:
    """(B, G, M): how sure each cell is of each true box's class."""
    scores = _scores(outputs).detach().transpose(1, 2)
    return scores.gather(1, truth.labels[..., None].expand(-1, -1, scores.shape[2]))


def _judged(outputs: DenseOutputs, found: Assignment, targets: BoxTargets) -> Tensor:
    """(B, M) bool: the cells of which it is known what they shall say."""
    if targets.doubtful is None:
        return torch.ones_like(found.chosen)
    doubtful = pad_boxes(targets.doubtful, None, outputs.quality.device)
    return found.chosen | ~within(outputs.cells, doubtful).any(1)


def _box_loss(
    outputs: DenseOutputs, found: Assignment, truth: PaddedBoxes, loose: Tensor | None
) -> Tensor:
    chosen = found.chosen
    if loose is not None:
        chosen = chosen & ~loose.to(chosen.device)[:, None]
    if not chosen.any():
        return outputs.boxes.sum() * 0
    wanted = truth.boxes.gather(1, found.box[..., None].expand(-1, -1, 4))
    weight = found.weight[chosen]
    loss: Tensor = complete_box_iou_loss(outputs.boxes[chosen], wanted[chosen])
    return _BOX_WEIGHT * (loss * weight).sum() / weight.sum()


def _class_targets(logits: Tensor, found: Assignment, truth: PaddedBoxes) -> Tensor:
    """(B, M, K): the quality at the class of the cell's box, 0 elsewhere."""
    wanted = torch.zeros_like(logits)
    if not truth.labels.shape[1]:
        return wanted
    labels = truth.labels.gather(1, found.box)
    return wanted.scatter(2, labels[..., None], found.quality[..., None])
