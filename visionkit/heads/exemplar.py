"""The exemplar head: does this place of the scene show what that view shows?

Without training its embedding is the backbone's own feature, whitened as in exemplar LDA
(Hariharan, Malik and Ramanan, "Discriminative Decorrelation for Clustering and
Classification", ECCV 2012): directions in which all pictures vary count less. On top stands a
comparison that corrects a candidate's score and refines its box. It was learned from items of all
kinds and knows none of them: it comes with the starter weights. What is learned from a gallery's
own items is one linear scorer an item, as exemplar SVMs are (Malisiewicz, Gupta and Efros,
"Ensemble of Exemplar-SVMs for Object Detection and Beyond", ICCV 2011), but of all its views
together and on top of the score that the best of them gets. Both start as the identity, so that a
head without them answers exactly as correlation and geometry do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import complete_box_iou_loss

from visionkit.heads.base import Head
from visionkit.heads.comparison import GRID, Comparison, shifted_likeness

VIEW_CELLS = GRID
"""A view is compared on a grid of so many cells a side, whatever its shape."""
SCENE_CELLS = VIEW_CELLS + 2
"""The scene's grid has one cell more on each side, so that every cell can look around."""
ITEM_CELLS = 4
"""Cells a side of what an item's own scorer sees. AP50 of scorers learned from the pictures that
items were cut from and from composed scenes, on refrigerators to choose on and on FlickrLogos-27's
second subset: 0.748 and 0.648 without them, 0.769 and 0.659 with 2 cells, 0.771 and 0.675 with
4."""
SCORE_OFFSET = 2.5
"""Prior (standard deviations above the best match in a background picture) at which an
untrained head says 0.5."""
GENERAL_TRUST = 0.5
"""Part of the general comparison's change of scores that is used: composed scenes, of which it was
learned, are not photos. AP50 on FlickrLogos-27's second subset, on refrigerators to choose on and
on drawn marks with MobileNetV2's weights: 0.63, 0.77 and 0.59 at 0, 0.68, 0.80 and 0.66 at 0.5."""
GENERAL_HIDDEN = 16
"""Channels of the general comparison that is shipped."""
_LEAST_COVERED = 0.05  # lest a sliver of an item is blown up
BOX_WEIGHT = 0.5
"""Of the loss of the boxes against that of the matches."""


@dataclass(frozen=True)
class Pairs:
    """Candidates: places of scenes, each with the view that it may show.

    Attributes:
        scene: (N, C, 10, 10) float backbone features around the candidate's box.
        view: (N, C, 8, 8) float backbone features of the view.
        weights: (N, 8, 8) float 0..1, how much of a cell the item covers.
        prior: (N,) float, evidence before learning, in standard deviations.
        evidence: (N, 3) float: prior / 4, similarity, log(1 + inliers); inliers are the points
            that geometry verified.
        boxes: (N, 4) float xyxy, pixels of the scene.
        item: (N,) int64, the view's item among those that the head learned; -1 is none of them.
    """

    scene: torch.Tensor
    view: torch.Tensor
    weights: torch.Tensor
    prior: torch.Tensor
    evidence: torch.Tensor
    boxes: torch.Tensor
    item: torch.Tensor

    def to(self, device: torch.device | str) -> Pairs:
        """The same pairs on a device, as float32 but for the items."""
        moved = {name: value.to(device) for name, value in vars(self).items()}
        return Pairs(**{k: v if k == "item" else v.float() for k, v in moved.items()})


@dataclass(frozen=True)
class PairOutputs:
    """Raw answers for pairs.

    Attributes:
        logits: (N,) float.
        offsets: (N, 4) float: shift of the centre in box widths and heights, log of the
            change in width and height.
        boxes: (N, 4) float xyxy, the boxes that the offsets refine.
    """

    logits: torch.Tensor
    offsets: torch.Tensor
    boxes: torch.Tensor


@dataclass(frozen=True)
class PairTargets:
    """What is true of pairs.

    Attributes:
        matches: (N,) float: 1 the item is there, 0 it is not, -1 neither can be said.
        boxes: (N, 4) float xyxy: the true box where `matches` is 1, else anything.
        has_box: (N,) bool: whether the true box may teach the refinement.
    """

    matches: torch.Tensor
    boxes: torch.Tensor
    has_box: torch.Tensor


@dataclass(frozen=True)
class PairResults:
    """Decoded answers.

    Attributes:
        scores: (N,) float 0..1.
        boxes: (N, 4) float xyxy, pixels of the scene.
    """

    scores: torch.Tensor
    boxes: torch.Tensor


class ExemplarHead(Head[Pairs, PairOutputs, PairTargets, Pairs, PairResults]):
    """Compares scene features with view features.

    Args:
        channels: C of the backbone's map.
        embedding_size: D of an embedding; at most C. 64 finds as much as 96 and costs less (AP50
            on FlickrLogos-27's second subset: 0.540 against 0.539 with the starter weights, 0.613
            against 0.598 with MobileNetV2's).
        item_count: items that have a scorer of their own.
        general_hidden: channels of the comparison that was learned from items of all kinds.

    Attributes:
        general_trust: part of the general comparison's change of scores that is used, 0..1. While
            a gallery's own items are learned it is 1, lest they learn what was left out of it.
        item_weights: (item_count, D * 16) float, a linear scorer a row.
    """

    center: torch.Tensor
    projection: torch.Tensor

    def __init__(
        self,
        channels: int,
        *,
        embedding_size: int = 64,
        item_count: int = 0,
        general_hidden: int = GENERAL_HIDDEN,
    ) -> None:
        super().__init__()
        self._sizes = {
            "channels": channels,
            "embedding_size": embedding_size,
            "general_hidden": general_hidden,
        }
        size = min(channels, embedding_size)
        self.register_buffer("center", torch.zeros(channels))
        self.register_buffer("projection", torch.eye(size, channels))
        self.general_trust = GENERAL_TRUST
        self.general = Comparison(general_hidden).requires_grad_(False)
        self.item_weights = nn.Parameter(torch.zeros(item_count, size * ITEM_CELLS**2))

    @property
    def sizes(self) -> dict[str, int]:
        """The arguments by name, from which a head of the same shape is made."""
        return {**self._sizes, "item_count": len(self.item_weights)}

    def load_general(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes over a comparison that was learned from items of all kinds.

        Args:
            state: of a `Comparison` of `general_hidden` channels.

        Raises:
            RuntimeError: it is of another shape.
        """
        self.general.load_state_dict(state)

    def learn_items(self, count: int) -> None:
        """Makes room for scorers of so many items, which change nothing yet."""
        self.item_weights = nn.Parameter(self.item_weights.new_zeros(count, self.item_features))

    @property
    def item_features(self) -> int:
        """Numbers that an item's scorer weighs."""
        return self.item_weights.shape[1]

    @torch.no_grad()
    def temper(self, trust: float) -> None:
        """Keeps only this part, 0..1, of what was learned from the gallery's items."""
        self.item_weights.mul_(trust)

    @torch.no_grad()
    def fit_whitening(self, cells: torch.Tensor, *, shrinkage: float = 0.1) -> None:
        """Sets centre and whitening from background features.

        Args:
            cells: (N, C) float features of places that show nothing in particular, N > 1.
            shrinkage: added to each variance, in parts of the mean variance; keeps directions
                that hardly vary from being blown up.

        Raises:
            ValueError: fewer than two cells, or another number of channels.
        """
        channels = self.center.shape[0]
        if cells.ndim != 2 or cells.shape[0] < 2 or cells.shape[1] != channels:
            raise ValueError(f"cells must be (N > 1, {channels}), got {tuple(cells.shape)}")
        cells = cells.double()
        mean = cells.mean(0)
        variances, directions = torch.linalg.eigh(torch.cov((cells - mean).T))
        keep = self.projection.shape[0]
        variances, directions = variances[-keep:], directions[:, -keep:]
        scale = (variances + shrinkage * variances.mean() + 1e-12).rsqrt()
        self.center.copy_(mean)
        self.projection.copy_((directions * scale).T)

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D, h, w) embeddings, L2-normalised at every location.

        Args:
            features: (B, C, h, w) float backbone features.
        """
        return _unit(self._whitened(features))

    def likeness(self, inputs: Pairs) -> torch.Tensor:
        """(N, 10, 8, 8) what the general comparison sees of pairs."""
        return _maps(self._whitened(inputs.scene), self._whitened(inputs.view), inputs.weights)

    def item_cells(self, inputs: Pairs) -> torch.Tensor:
        """(N, D * 16) what an item's scorer sees: embeddings of the place, in 4x4 cells.

        Cells that the item does not cover count less; those it hardly covers are near 0.
        """
        place = _unit(self._whitened(inputs.scene[..., 1:-1, 1:-1]))
        weights = inputs.weights[:, None]
        seen = F.adaptive_avg_pool2d(place * weights, ITEM_CELLS)
        covered = F.adaptive_avg_pool2d(weights, ITEM_CELLS).clamp(min=_LEAST_COVERED)
        return (seen / covered).flatten(1)

    def item_change(self, cells: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """(N,) what the items' own scorers add to logits; 0 where the item has none.

        Args:
            cells: (N, D * 16) float of `item_cells`.
            item: (N,) int64, -1 is none.
        """
        change = cells.new_zeros(len(cells))
        known = item >= 0
        change[known] = (self.item_weights[item[known]] * cells[known]).sum(1)
        return change

    def forward(self, inputs: Pairs) -> PairOutputs:
        """Logits and box offsets of pairs."""
        outputs = self.without_items(inputs)
        if not len(self.item_weights):
            return outputs
        change = self.item_change(self.item_cells(inputs), inputs.item)
        return replace(outputs, logits=outputs.logits + change)

    def without_items(self, inputs: Pairs) -> PairOutputs:
        """What the head says without the items' own scorers."""
        change, offsets = self.general(self.likeness(inputs), inputs.evidence)
        logits = inputs.prior - SCORE_OFFSET + self.general_trust * change
        return PairOutputs(logits, offsets, inputs.boxes)

    def _whitened(self, features: torch.Tensor) -> torch.Tensor:
        """(B, h, w, D) of (B, C, h, w) backbone features."""
        return (features.permute(0, 2, 3, 1) - self.center) @ self.projection.T

    def loss(self, outputs: PairOutputs, targets: PairTargets) -> dict[str, torch.Tensor]:
        """See `pair_losses`."""
        return pair_losses(outputs, targets)

    def decode(self, outputs: PairOutputs, context: Pairs) -> PairResults:
        """Scores 0..1 and refined boxes."""
        return PairResults(outputs.logits.sigmoid(), refine_boxes(context.boxes, outputs.offsets))


def _maps(scene: torch.Tensor, view: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(N, 10, 8, 8) of (N, 10, 10, D) and (N, 8, 8, D) embeddings of any length."""
    return torch.cat([shifted_likeness(_unit(scene), _unit(view)), weights[:, None]], 1)


def _unit(embedded: torch.Tensor) -> torch.Tensor:
    """(B, D, h, w) unit vectors of (B, h, w, D)."""
    return F.normalize(embedded, dim=-1).permute(0, 3, 1, 2)


def pair_losses(outputs: PairOutputs, targets: PairTargets) -> dict[str, torch.Tensor]:
    """Binary cross entropy of the matches, complete IoU loss of the boxes.

    The IoU loss is that of Zheng et al., "Distance-IoU Loss", AAAI 2020.
    """
    known = targets.matches >= 0
    boxed = (targets.matches > 0) & targets.has_box
    zero = outputs.logits.sum() * 0
    match_loss, box_loss = zero, zero
    if known.any():
        match_loss = F.binary_cross_entropy_with_logits(
            outputs.logits[known], targets.matches[known]
        )
    if boxed.any():
        refined = refine_boxes(outputs.boxes[boxed], outputs.offsets[boxed])
        box_loss = complete_box_iou_loss(refined, targets.boxes[boxed], reduction="mean")
    return {"match": match_loss, "box": box_loss}


def refine_boxes(boxes: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """(N, 4) xyxy boxes moved and resized by offsets.

    Args:
        boxes: (N, 4) float xyxy.
        offsets: (N, 4) float: shift of the centre in widths and heights, log change of size.
    """
    size = boxes[:, 2:] - boxes[:, :2]
    center = boxes[:, :2] + size / 2 + offsets[:, :2] * size
    half = size * offsets[:, 2:].exp() / 2
    return torch.cat([center - half, center + half], 1)
