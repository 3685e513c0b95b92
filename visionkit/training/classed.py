"""Pictures with classes: what they show as numbers, random views in each epoch, batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from visionkit.data.framing import Framing, read_framed
from visionkit.data.images import MAX_PIXELS, ImageError
from visionkit.data.problems import Problem
from visionkit.data.views import ViewSettings, random_view
from visionkit.types import Image, Sample


@dataclass(frozen=True, eq=False)
class Classed:
    """Pictures with their classes.

    Attributes:
        samples: N pictures.
        targets: (N,) int64 classes, or (N, K) float32 0 or 1 where there may be several.
        problems: of pictures that were left out.
    """

    samples: tuple[Sample, ...]
    targets: Tensor
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def part(self, numbers: Sequence[int] | Tensor) -> Classed:
        """The pictures of these numbers, without the problems."""
        chosen = torch.as_tensor(numbers, dtype=torch.int64)
        return Classed(tuple(self.samples[n] for n in chosen.tolist()), self.targets[chosen])


def classed(samples: Sequence[Sample], class_names: Sequence[str], *, multi_label: bool) -> Classed:
    """The pictures whose classes are known; the others are reported.

    Args:
        samples: pictures with labels.
        class_names: the class of a label is its place here; other labels are reported.
        multi_label: whether a picture may show several classes, or none.
    """
    number = {name: index for index, name in enumerate(class_names)}
    kept: list[Sample] = []
    found: list[list[int]] = []
    problems: list[Problem] = []
    for sample in samples:
        known = sorted({number[label] for label in sample.labels if label in number})
        used = multi_label or len(known) == 1
        problems += _doubts(sample, known, set(number), used=used)
        if used:
            kept.append(sample)
            found.append(known)
    if not multi_label:
        targets = torch.tensor([classes[0] for classes in found], dtype=torch.int64)
        return Classed(tuple(kept), targets, tuple(problems))
    shares = torch.zeros(len(kept), len(number))
    for row, classes in enumerate(found):
        shares[row, classes] = 1
    return Classed(tuple(kept), shares, tuple(problems))


def _doubts(
    sample: Sample, known: Sequence[int], names: set[str], *, used: bool
) -> Iterator[Problem]:
    """What is wrong with the labels of a picture."""
    for label in sample.labels:
        if label not in names:
            reason = f"the label {label!r} is none of the classes that are learned; left out"
            yield Problem(sample.uri, None, reason, "warning" if used else "error")
    if not used:
        reason = f"a picture must have one class, got {len(known)}; left out"
        hint = "; for several classes a picture set task.multi_label=true"
        yield Problem(sample.uri, None, reason + (hint if known else ""))


@dataclass(frozen=True, eq=False)
class ClassBatch:
    """Pictures that are seen together.

    Attributes:
        images: (B, 3, H, W) uint8 RGB, channels last in memory; B may be 0.
        numbers: (B,) int64, which pictures these are.
        targets: of these pictures, as of `Classed`.
        problems: pictures that could not be read; they are not among these.
    """

    images: Tensor
    numbers: Tensor
    targets: Tensor
    problems: tuple[Problem, ...]

    def to(self, device: torch.device) -> ClassBatch:
        """The batch on a device; Lightning calls this."""
        images, targets = self.images.to(device), self.targets.to(device)
        return ClassBatch(images, self.numbers, targets, self.problems)


class ClassedViews(Dataset[tuple[int, Image | Problem]]):
    """Pictures by number: plain frames, or random views that are others in each epoch.

    Entry n is of the picture n modulo N, in the epoch n // N.

    Args:
        pictures: N of them.
        framing: of the frames; views have its size.
        views: how they differ; None gives plain frames.
        seed: of the views.
        max_pixels: larger pictures are not read.
    """

    def __init__(
        self,
        pictures: Classed,
        framing: Framing,
        *,
        views: ViewSettings | None = None,
        seed: int = 0,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.pictures, self._framing, self._views = pictures, framing, views
        self._seed, self._max_pixels = seed, max_pixels

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, entry: int) -> tuple[int, Image | Problem]:
        """The number of the picture, and its pixels or why there are none."""
        epoch, number = divmod(entry, len(self.pictures))
        uri, limit = self.pictures.samples[number].uri, self._max_pixels
        try:
            if self._views is None:
                return number, read_framed(uri, self._framing, max_pixels=limit)[0]
            rng = np.random.default_rng([self._seed, epoch, number])
            size = self._framing.size
            return number, random_view(rng, uri, size, self._views, max_pixels=limit)
        except ImageError as error:
            return number, Problem(uri, None, f"{error.reason}; {error.way_out}; left out")
        except FileNotFoundError:
            return number, Problem(uri, None, "the picture is gone; left out")

    def collate(self, entries: Sequence[tuple[int, Image | Problem]]) -> ClassBatch:
        """The batch of these entries."""
        images = [found for _, found in entries if not isinstance(found, Problem)]
        numbers = [number for number, found in entries if not isinstance(found, Problem)]
        height, width = self._framing.size
        stacked = np.stack(images) if images else np.zeros((0, height, width, 3), np.uint8)
        chosen = torch.tensor(numbers, dtype=torch.int64)
        return ClassBatch(
            torch.from_numpy(stacked).permute(0, 3, 1, 2),
            chosen,
            self.pictures.targets[chosen],
            tuple(found for _, found in entries if isinstance(found, Problem)),
        )


class Drawn(Sampler[int]):
    """Entries of `ClassedViews` in an order of each epoch's own.

    So a resumed training sees what an uninterrupted one would have seen.

    Args:
        count: N pictures, each shown once an epoch.
        seed: another seed gives other orders.
        weights: (N,) float64 how often each is drawn instead, with replacement; None is once.
    """

    def __init__(
        self, count: int, seed: int, *, weights: np.ndarray[tuple[int], np.dtype[np.float64]] | None
    ) -> None:
        self._count, self._seed, self._epoch = count, seed, 0
        self._weights = None if weights is None else weights / weights.sum()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self._seed, self._epoch])
        if self._weights is None:
            order = rng.permutation(self._count)
        else:
            order = rng.choice(self._count, self._count, p=self._weights)
        return iter((order + self._epoch * self._count).tolist())

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self._epoch = epoch
