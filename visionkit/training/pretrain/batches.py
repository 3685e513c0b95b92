"""Endless batches for pretraining, drawn on the device that learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from visionkit.training.pretrain import warp
from visionkit.training.pretrain.bank import Bank
from visionkit.training.pretrain.light import expose
from visionkit.training.pretrain.views import Pairs, PairSettings, make_pairs, shown_views
from visionkit.types import Image


@dataclass(frozen=True)
class PretrainBatch:
    """One step's pictures, on the device of the bank.

    Attributes:
        chosen: (B,) int64, which labelled pictures these are.
        labelled: (B, 3, s, s) float in 0..1, random parts of them in random light.
        shown: (V, 3, S, S) float in 0..1, views for the teacher, in their own light.
        relit: the same in another light, for the student.
        pairs: see `Pairs`; None where none are asked for.
    """

    chosen: Tensor
    labelled: Tensor
    shown: Tensor
    relit: Tensor
    pairs: Pairs | None


class PretrainStream(IterableDataset[PretrainBatch]):
    """Batches without end, another sequence for each seed.

    Args:
        bank: what is drawn from.
        batch_size: labelled pictures a step. pairs: pairs of views a step.
        shown: views a step that the teacher is asked about. shown_size: their pixels.
        item_part: part of them with an item laid on.
        mixed_part: part of them with another one shining through.
        labelled_size: pixels of the labelled pictures that come out; may be changed between
            two batches.
        settings: of the pairs.
        seed: of everything random.
    """

    def __init__(
        self,
        bank: Bank,
        *,
        batch_size: int,
        pairs: int,
        shown: int,
        shown_size: int,
        item_part: float,
        mixed_part: float,
        labelled_size: int,
        settings: PairSettings,
        seed: int,
    ) -> None:
        super().__init__()
        self.bank, self.settings = bank, settings
        self.batch_size, self.pairs, self.labelled_size = batch_size, pairs, labelled_size
        self.shown, self.shown_size, self.item_part = shown, shown_size, item_part
        self.mixed_part = mixed_part
        self.seed = seed

    def __iter__(self) -> Iterator[PretrainBatch]:
        """Batches without end."""
        bank, device = self.bank, self.bank.photos.device
        generator = torch.Generator(device).manual_seed(self.seed)
        while True:
            chosen = torch.randint(
                len(bank.labelled), (self.batch_size,), generator=generator, device=device
            )
            shown = shown_views(bank, self.shown, self.shown_size, self.item_part, generator)
            shown = mixed(shown, self.mixed_part, generator)
            yield PretrainBatch(
                chosen,
                labelled_views(bank.labelled[chosen], self.labelled_size, generator),
                shown,
                expose(shown, generator),
                make_pairs(bank, self.pairs, self.settings, generator) if self.pairs else None,
            )


def labelled_views(pictures: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """(B, 3, size, size) float in 0..1: random parts of small pictures, mirrored or not, relit.

    Nothing worse is done to them: a small network that sees each picture some twenty times learns
    less from noise and blur than it loses.

    Args:
        pictures: (B, 3, s, s) uint8.
        size: of what comes out, in pixels, a multiple of 8.
        generator: on their device.
    """
    count, side, device = len(pictures), pictures.shape[-1], pictures.device
    area = warp.uniform((count, 1), 0.5, 1.0, generator, device).sqrt()
    aspect = torch.exp(warp.uniform((count, 1), -0.25, 0.25, generator, device))
    part = torch.cat([area * aspect, area / aspect], dim=1).clamp(max=1)
    corner = (1 - part) * torch.rand((count, 2), generator=generator, device=device)
    centre = side * (corner + part / 2) - 0.5
    mirror = torch.where(torch.rand(count, generator=generator, device=device) < 0.5, -1.0, 1.0)
    scales = size / (side * part) * torch.stack([mirror, torch.ones_like(mirror)], dim=1)
    angles = 0.08 * warp.normal((count,), generator, device)
    half = torch.full((count, 2), (size - 1) / 2, device=device)
    matrices = warp.shift(half) @ warp.turn_and_scale(angles, scales) @ warp.shift(-centre)
    views = warp.look(pictures.float() / 255, matrices, size, outside="reflection")
    return expose(views, generator)


def mixed(views: Tensor, part: float, generator: torch.Generator) -> Tensor:
    """(B, 3, H, W): a part of the views, each with up to a half of its neighbour's light in it.

    The teacher is asked about what comes out, so that a few thousand photos give endless pictures
    (Beyer et al., "Knowledge distillation: A good teacher is patient and consistent", CVPR 2022).
    """
    count, device = len(views), views.device
    weights = warp.uniform((count, 1, 1, 1), 0.0, 0.5, generator, device)
    chosen = torch.rand((count, 1, 1, 1), generator=generator, device=device) < part
    return torch.lerp(views, views.roll(1, 0), weights * chosen)


def to_tensor(images: Sequence[Image]) -> Tensor:
    """(N, 3, H, W) uint8 of N pictures (H, W, 3)."""
    return torch.from_numpy(np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2)))
