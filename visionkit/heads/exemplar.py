"""The exemplar head: does this place of the scene show what that view shows?

Without training its embedding is the backbone's own feature, whitened as in exemplar LDA
(Hariharan, Malik and Ramanan, "Discriminative Decorrelation for Clustering and
Classification", ECCV 2012): directions in which all pictures vary count less. On top it
learns three things, each of which starts as the identity, so that an untrained head answers
exactly as correlation and geometry do: an adapter of the embedding, a correction of a
candidate's score, and a refinement of its box.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import complete_box_iou_loss

from visionkit.heads.base import Head

VIEW_CELLS = 8
"""A view is compared on a grid of so many cells a side, whatever its shape."""
SCENE_CELLS = VIEW_CELLS + 2
"""The scene's grid has one cell more on each side, so that every cell can look around."""
EVIDENCE = 6
"""Numbers beside the features that describe a candidate; see `Pairs.evidence`."""
_MAX_OFFSET = 0.5
_SCORE_OFFSET = 2.5
"""Prior (standard deviations above the best match in a background picture) at which an
untrained head says 0.5."""


@dataclass(frozen=True)
class Pairs:
    """Candidates: places of scenes, each with the view that it may show.

    Attributes:
        scene: (N, C, 10, 10) float backbone features around the candidate's box.
        view: (N, C, 8, 8) float backbone features of the view.
        weights: (N, 8, 8) float 0..1, how much of a cell the item covers.
        prior: (N,) float, evidence before learning, in standard deviations.
        evidence: (N, 6) float: prior / 4, similarity, the template's mean similarity to
            backgrounds, log2 of the scale, log2 of the aspect ratio, log(1 + inliers).
        boxes: (N, 4) float xyxy, pixels of the scene.
    """

    scene: torch.Tensor
    view: torch.Tensor
    weights: torch.Tensor
    prior: torch.Tensor
    evidence: torch.Tensor
    boxes: torch.Tensor

    def to(self, device: torch.device | str) -> Pairs:
        """The same pairs on a device, as float32."""
        return Pairs(*(value.to(device).float() for value in vars(self).values()))


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
        adapter_size: rank of the learned change of the embedding.
        hidden: channels of the network that looks at the similarities of a pair.

    Attributes:
        sizes: the arguments by name, from which a head of the same shape is made.
    """

    center: torch.Tensor
    projection: torch.Tensor

    def __init__(
        self, channels: int, *, embedding_size: int = 64, adapter_size: int = 16, hidden: int = 24
    ) -> None:
        super().__init__()
        self.sizes = {
            "channels": channels,
            "embedding_size": embedding_size,
            "adapter_size": adapter_size,
            "hidden": hidden,
        }
        size = min(channels, embedding_size)
        self.register_buffer("center", torch.zeros(channels))
        self.register_buffer("projection", torch.eye(size, channels))
        self.adapter = nn.Sequential(
            nn.Linear(size, adapter_size, bias=False), nn.Linear(adapter_size, size, bias=False)
        )
        self.look = nn.Sequential(
            nn.Conv2d(10, hidden, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.GELU(),
        )
        self.judge = nn.Sequential(
            nn.Linear(2 * hidden + EVIDENCE, 32), nn.GELU(), nn.Linear(32, 5)
        )
        self.gain = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(torch.tensor(-_SCORE_OFFSET))
        self.reset_to_identity()

    def reset_to_identity(self) -> None:
        """Forgets what was learned; the whitening stays."""
        last_adapter, last_judge = self.adapter[-1], self.judge[-1]
        nn.init.zeros_(last_adapter.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last_judge.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last_judge.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.gain.fill_(1.0)
            self.bias.fill_(-_SCORE_OFFSET)

    @torch.no_grad()
    def temper(self, trust: float) -> None:
        """Keeps only this part, 0..1, of the learned change of scores; boxes stay as learned."""
        last = self.judge[-1]
        last.weight[0] *= trust  # type: ignore[index,operator]
        last.bias[0] *= trust  # type: ignore[index,operator]

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

    def embed(self, features: torch.Tensor, *, adapted: bool = False) -> torch.Tensor:
        """(B, D, h, w) embeddings, L2-normalised at every location.

        Args:
            features: (B, C, h, w) float backbone features.
            adapted: whether with the learned adapter. The dense search goes without: a view
                that is added after training is then found as one that was there before.
        """
        centred = features.permute(0, 2, 3, 1) - self.center
        embedded = centred @ self.projection.T
        if adapted:
            embedded = embedded + self.adapter(embedded)
        return F.normalize(embedded, dim=-1).permute(0, 3, 1, 2)

    def forward(self, inputs: Pairs) -> PairOutputs:
        """Logits and box offsets of pairs."""
        scene = self.embed(inputs.scene, adapted=True)
        view = self.embed(inputs.view, adapted=True)
        # (N, 9, 8, 8): each cell of the view against the 3x3 scene cells around its place,
        # so that the network sees where a better fit lies.
        shifts = [
            (scene[:, :, dy : dy + VIEW_CELLS, dx : dx + VIEW_CELLS] * view).sum(1)
            for dy in range(3)
            for dx in range(3)
        ]
        looked = self.look(torch.stack([*shifts, inputs.weights], 1))
        pooled = torch.cat([looked.mean((2, 3)), looked.amax((2, 3)), inputs.evidence], 1)
        judged = self.judge(pooled)
        logits = self.gain * inputs.prior + self.bias + judged[:, 0]
        return PairOutputs(logits, judged[:, 1:].clamp(-_MAX_OFFSET, _MAX_OFFSET), inputs.boxes)

    def loss(self, outputs: PairOutputs, targets: PairTargets) -> dict[str, torch.Tensor]:
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

    def decode(self, outputs: PairOutputs, context: Pairs) -> PairResults:
        """Scores 0..1 and refined boxes."""
        return PairResults(outputs.logits.sigmoid(), refine_boxes(context.boxes, outputs.offsets))


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
