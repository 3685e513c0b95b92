"""Endless batches for pretraining, made in a process beside the network's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from visionkit.training.pretrain.pictures import LabelledPictures
from visionkit.training.pretrain.views import (
    Cutout,
    Pair,
    alone,
    cutout_pair,
    photo_cutout,
    photo_pair,
    pick,
    relight,
)
from visionkit.types import Image


@dataclass
class PretrainBatch:
    """One step's pictures; all uint8, so that little travels between the processes.

    Attributes:
        labelled: (B, 3, S, S) uint8. labels: (B,) int64.
        first, second: (P, 3, V, V) uint8 views.
        matrices: (P, 3, 3) float32 from pixels of `first` to pixels of `second`.
        shared: (P, V, V) bool, see `Pair`.
    """

    labelled: Tensor
    labels: Tensor
    first: Tensor
    second: Tensor
    matrices: Tensor
    shared: Tensor


class PretrainStream(IterableDataset[PretrainBatch]):
    """Batches without end, another sequence for each seed and worker.

    Args:
        labelled: small pictures with classes.
        photos: pictures of any size for the pairs.
        marks: cutouts that are laid on photos.
        batch_size: labelled pictures a step. pairs: pairs of views a step.
        labelled_size, view_size: pixels of the square pictures that come out.
        cutout_part: part of the pairs that show a cutout on two photos, half of them marks.
        alone_part: part of the pairs whose first view is cut to a rectangle, see `alone`.
        colour: RGB in 0..255 around it.
        seed: of everything random.
    """

    def __init__(
        self,
        labelled: LabelledPictures,
        photos: Sequence[Image],
        marks: Sequence[Cutout],
        *,
        batch_size: int,
        pairs: int,
        labelled_size: int,
        view_size: int,
        cutout_part: float,
        alone_part: float,
        colour: tuple[int, int, int],
        seed: int,
    ) -> None:
        super().__init__()
        self.labelled, self.photos, self.marks = labelled, photos, marks
        self.batch_size, self.pairs = batch_size, pairs
        self.labelled_size, self.view_size = labelled_size, view_size
        self.cutout_part, self.alone_part, self.seed = cutout_part, alone_part, seed
        self.colour = np.array(colour, np.uint8)

    def __iter__(self) -> Iterator[PretrainBatch]:
        """Batches without end."""
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, 0 if worker is None else worker.id])
        while True:
            yield self.batch(rng)

    def batch(self, rng: np.random.Generator) -> PretrainBatch:
        """One batch."""
        chosen = rng.integers(len(self.labelled.images), size=self.batch_size)
        pictures = [
            labelled_view(rng, self.labelled.images[index], size=self.labelled_size)
            for index in chosen
        ]
        pairs = [self._pair(rng) for _ in range(self.pairs)]
        return PretrainBatch(
            labelled=to_tensor(pictures),
            labels=torch.from_numpy(self.labelled.labels[chosen]),
            first=to_tensor([pair.first for pair in pairs]),
            second=to_tensor([pair.second for pair in pairs]),
            matrices=torch.from_numpy(np.stack([pair.matrix for pair in pairs])).float(),
            shared=torch.from_numpy(np.stack([pair.shared for pair in pairs])),
        )

    def _pair(self, rng: np.random.Generator) -> Pair:
        pair = self._whole_pair(rng)
        return alone(rng, pair, self.colour) if rng.random() < self.alone_part else pair

    def _whole_pair(self, rng: np.random.Generator) -> Pair:
        if rng.random() >= self.cutout_part:
            return photo_pair(rng, pick(rng, self.photos), size=self.view_size)
        if rng.random() < 0.5:
            cutout = self.marks[int(rng.integers(len(self.marks)))]
        else:
            cutout = photo_cutout(rng, pick(rng, self.photos))
        backgrounds = (pick(rng, self.photos), pick(rng, self.photos))
        return cutout_pair(rng, cutout, backgrounds, size=self.view_size)


def labelled_view(rng: np.random.Generator, image: Image, *, size: int) -> Image:
    """A random part of a small picture, mirrored or not, in another light, (S, S, 3) uint8."""
    side = image.shape[0]
    cut = round(side * rng.uniform(0.6, 1.0))
    x, y = rng.integers(0, side - cut + 1, size=2)
    part = image[y : y + cut, x : x + cut]
    part = np.asarray(cv2.resize(part, (size, size), interpolation=cv2.INTER_CUBIC))
    if rng.random() < 0.5:
        part = np.ascontiguousarray(part[:, ::-1])
    return relight(rng, part)


def to_tensor(images: Sequence[Image]) -> Tensor:
    """(N, 3, H, W) uint8 of N pictures (H, W, 3)."""
    return torch.from_numpy(np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2)))
