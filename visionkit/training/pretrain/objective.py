"""What the student is asked to do: match points between views, and see what the teacher sees."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def match_loss(
    first: Tensor,
    second: Tensor,
    matrices: Tensor,
    shared: Tensor,
    *,
    stride: int,
    temperature: float,
    anchors: int = 32,
    distractors: int = 16,
) -> Tensor:
    """How badly points of the first views are told apart by their features; InfoNCE.

    Each of some cells of a first view has to resemble the feature at its place in the second
    view more than it resembles the places of all other cells and further random cells of all
    second views (van den Oord et al. 2018, eq. 4; for dense maps Wang et al. 2021). Features
    are centred over the batch and L2-normalised, just as the exemplar head compares them.

    Args:
        first: (P, C, h, w) maps of the first views.
        second: those of the second views, of the same shape.
        matrices: (P, 3, 3) from pixels of the first to pixels of the second views.
        shared: (P, H, W) bool, pixels of the first views that the second ones may show.
        stride: of the maps, in pixels; the centre of cell i is taken at pixel i * stride.
        temperature: of the softmax.
        anchors: cells taken of a pair, at most.
        distractors: further random cells taken of each second view.

    Returns:
        () mean over the anchors; 0 if no cell of any pair is in both views.
    """
    pairs, _, height, width = first.shape
    centre = torch.cat([first, second]).detach().mean(dim=(0, 2, 3), keepdim=True)
    first, second = first - centre, second - centre
    cells = _cell_centres(height, width, stride, first.device)  # (n, 2) pixels
    places = _apply(matrices, cells)  # (P, n, 2) pixels of the second view
    limits = torch.tensor([(width - 1) * stride, (height - 1) * stride], device=first.device)
    seen = ((places >= 0) & (places <= limits)).all(dim=-1)
    seen &= shared[:, cells[:, 1].long(), cells[:, 0].long()]
    count = min(anchors, height * width)
    chosen = (torch.rand(seen.shape, device=first.device) + seen).topk(count, dim=1).indices
    valid = seen.gather(1, chosen).flatten()  # (P * count,)
    places = places.gather(1, chosen[..., None].expand(-1, -1, 2))
    query = first.flatten(2).gather(2, chosen[:, None].expand(-1, first.shape[1], -1))
    target = _sample(second, places / stride)
    others = torch.randint(height * width, (pairs, distractors), device=first.device)
    negative = second.flatten(2).gather(2, others[:, None].expand(-1, second.shape[1], -1))
    queries = F.normalize(query.transpose(1, 2).flatten(0, 1), dim=-1)
    bank = torch.cat([target, negative], dim=2).transpose(1, 2).flatten(0, 1)
    logits = queries @ F.normalize(bank, dim=-1).T / temperature
    bank_places = torch.cat([places, cells[others]], dim=1)  # (P, count + distractors, 2)
    hidden, answer = _neighbours(places, bank_places, radius=1.5 * stride)
    in_bank = torch.cat(
        [seen.gather(1, chosen), seen.new_ones(pairs, distractors)], dim=1
    ).flatten()
    logits = logits.masked_fill(hidden | ~in_bank, float("-inf"))[valid]
    if len(logits) == 0:
        return first.sum() * 0
    return F.cross_entropy(logits, answer[valid])


class DenseDistillation(nn.Module):
    """Asks the student's map, after a 1x1 convolution, for the teacher's standardised map.

    The convolution is thrown away afterwards: the student's own map only has to hold what
    the teacher's holds.
    """

    def __init__(self, student_channels: int, teacher_channels: int) -> None:
        super().__init__()
        self.adapt = nn.Conv2d(student_channels, teacher_channels, 1)
        self.standardise = nn.BatchNorm2d(teacher_channels, affine=False)

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Loss () and mean cosine () of a (B, C, h, w) and a (B, D, h, w) map."""
        wanted = self.standardise(teacher)
        got = self.adapt(student)
        cosine = F.cosine_similarity(got, wanted, dim=1).mean()
        return F.smooth_l1_loss(got, wanted) + (1 - cosine), cosine


def logits_loss(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Kullback-Leibler divergence () from the teacher's to the student's softened classes.

    Hinton, Vinyals, Dean 2015. Both are (B, K).
    """
    return (
        F.kl_div(
            F.log_softmax(student / temperature, dim=1),
            F.log_softmax(teacher / temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        * temperature**2
    )


def _cell_centres(height: int, width: int, stride: int, device: torch.device) -> Tensor:
    rows, columns = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return torch.stack([columns.flatten(), rows.flatten()], dim=1).float() * stride


def _apply(matrices: Tensor, points: Tensor) -> Tensor:
    """(P, 3, 3) homographies of (n, 2) points: (P, n, 2); far away where they don't map."""
    homogeneous = F.pad(points, (0, 1), value=1.0)
    mapped = homogeneous @ matrices.transpose(1, 2)
    depth = mapped[..., 2:]
    return torch.where(depth > 1e-6, mapped[..., :2] / depth.clamp(min=1e-6), -1e6)


def _sample(maps: Tensor, places: Tensor) -> Tensor:
    """(P, C, h, w) at (P, k, 2) cell coordinates, between cells linearly: (P, C, k)."""
    size = torch.tensor([maps.shape[3] - 1, maps.shape[2] - 1], device=maps.device)
    grid = places / size.clamp(min=1) * 2 - 1
    return F.grid_sample(maps, grid[:, :, None], align_corners=True)[..., 0]


def _neighbours(places: Tensor, bank: Tensor, *, radius: float) -> tuple[Tensor, Tensor]:
    """Which bank entries are too near to count as wrong, and each row's own entry.

    Args:
        places: (P, k, 2) right places.
        bank: (P, m, 2) with the same k places first.
        radius: in pixels.

    Returns:
        (P * k, P * m) bool, and (P * k,) int64 column of the right answer.
    """
    pairs, count, _ = places.shape
    entries = bank.shape[1]
    near = torch.cdist(places, bank) < radius  # (P, k, m)
    own = torch.arange(count, device=places.device)
    near[:, own, own] = False
    hidden = torch.zeros(pairs, count, pairs, entries, dtype=torch.bool, device=places.device)
    index = torch.arange(pairs, device=places.device)
    hidden[index, :, index] = near
    answer = (index[:, None] * entries + own).flatten()
    return hidden.flatten(2).flatten(0, 1), answer
