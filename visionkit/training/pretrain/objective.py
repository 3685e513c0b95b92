"""What the student is asked to do: match points between views, and see what the teacher sees."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.training.pretrain.views import Pairs
from visionkit.training.pretrain.warp import apply


def match_loss(
    first: Tensor,
    second: Tensor,
    pairs: Pairs,
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
        pairs: where points of the first views lie in the second ones.
        stride: of the maps, in pixels; the centre of cell i is taken at pixel i * stride.
        temperature: of the softmax.
        anchors: cells taken of a pair, at most.
        distractors: further random cells taken of each second view.

    Returns:
        () mean over the anchors; 0 if no cell of any pair is in both views.
    """
    count, _, height, width = first.shape
    centre = torch.cat([first, second]).detach().mean(dim=(0, 2, 3), keepdim=True)
    first, second = first - centre, second - centre
    cells = _cell_centres(height, width, stride, first.device)  # (n, 2) pixels
    places = pairs.bend.undone(apply(pairs.matrices, cells))  # (P, n, 2) pixels
    limits = torch.tensor([(width - 1) * stride, (height - 1) * stride], device=first.device)
    seen = ((places >= 0) & (places <= limits)).all(dim=-1)
    seen &= pairs.shared[:, cells[:, 1].long(), cells[:, 0].long()]
    seen &= ~_covered(pairs.covered, places)
    taken = min(anchors, height * width)
    chosen = (torch.rand(seen.shape, device=first.device) + seen).topk(taken, dim=1).indices
    valid = seen.gather(1, chosen).flatten()  # (P * taken,)
    places = places.gather(1, chosen[..., None].expand(-1, -1, 2))
    query = first.flatten(2).gather(2, chosen[:, None].expand(-1, first.shape[1], -1))
    target = _sample(second, places / stride)
    others = torch.randint(height * width, (count, distractors), device=first.device)
    negative = second.flatten(2).gather(2, others[:, None].expand(-1, second.shape[1], -1))
    queries = F.normalize(query.transpose(1, 2).flatten(0, 1), dim=-1)
    bank = torch.cat([target, negative], dim=2).transpose(1, 2).flatten(0, 1)
    logits = queries @ F.normalize(bank, dim=-1).T / temperature
    bank_places = torch.cat([places, cells[others]], dim=1)  # (P, count + distractors, 2)
    hidden, answer = _neighbours(places, bank_places, radius=1.5 * stride)
    in_bank = torch.cat(
        [seen.gather(1, chosen), seen.new_ones(count, distractors)], dim=1
    ).flatten()
    logits = logits.masked_fill(hidden | ~in_bank, float("-inf"))[valid]
    if len(logits) == 0:
        return first.sum() * 0
    return F.cross_entropy(logits, answer[valid])


class DenseDistillation(nn.Module):
    """Asks the student's map, after a 1x1 convolution, for the teacher's whitened map.

    The convolution is thrown away afterwards: the student's own map only has to hold what
    the teacher's holds. Whitened, directions in which all pictures vary count no more than
    those that tell them apart, just as in the exemplar head's comparison.

    Args:
        student_channels, teacher_channels: of the maps.
        shrinkage: added to each variance, in parts of the mean variance; large values leave
            the map nearly as it is.
    """

    centre: Tensor
    whitening: Tensor

    def __init__(
        self, student_channels: int, teacher_channels: int, *, shrinkage: float = 0.1
    ) -> None:
        super().__init__()
        self.adapt = nn.Conv2d(student_channels, teacher_channels, 1)
        self.shrinkage = shrinkage
        self.register_buffer("centre", torch.zeros(teacher_channels))
        self.register_buffer("whitening", torch.eye(teacher_channels))

    @torch.no_grad()
    def fit(self, maps: Tensor) -> None:
        """Sets centre and whitening from (B, D, h, w) maps of many pictures."""
        cells = maps.movedim(1, -1).flatten(0, 2).double()
        mean = cells.mean(0)
        variances, directions = torch.linalg.eigh(torch.cov((cells - mean).T))
        scale = (variances.clamp(min=0) + self.shrinkage * variances.mean() + 1e-12).rsqrt()
        self.centre.copy_(mean)
        self.whitening.copy_((directions * scale) @ directions.T)

    def wanted(self, teacher: Tensor) -> Tensor:
        """(B, D, h, w): the teacher's map, centred and whitened."""
        return torch.einsum("dc,bchw->bdhw", self.whitening, teacher - self.centre[:, None, None])

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Loss () and mean cosine () of a (B, C, h, w) and a (B, D, h, w) map."""
        wanted = self.wanted(teacher)
        got = self.adapt(student)
        cosine = F.cosine_similarity(got, wanted, dim=1).mean()
        return F.smooth_l1_loss(got, wanted) + (1 - cosine), cosine


class PooledDistillation(nn.Module):
    """Asks the student's pooled features, after a linear layer, for the teacher's."""

    def __init__(self, student_channels: int, teacher_channels: int) -> None:
        super().__init__()
        self.adapt = nn.Linear(student_channels, teacher_channels)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """1 - mean cosine () of (B, C) and standardised (B, D) features."""
        return 1 - F.cosine_similarity(self.adapt(student), teacher, dim=1).mean()


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


def _covered(covered: Tensor, places: Tensor) -> Tensor:
    """(P, n) bool: what (P, H, W) says at (P, n, 2) pixels, or at the nearest border."""
    _, height, width = covered.shape
    column = places[..., 0].round().long().clamp(0, width - 1)
    row = places[..., 1].round().long().clamp(0, height - 1)
    return covered.flatten(1).gather(1, row * width + column)


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
