"""Pictures with boxes, framed and changed anew in each epoch, and the batches of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from visionkit.data.augment import AugmentSettings, augment
from visionkit.data.framing import Framing, Placement, read_framed
from visionkit.data.images import MAX_PIXELS, ImageError
from visionkit.data.mosaic import mosaic
from visionkit.data.problems import Problem
from visionkit.training.lightning_parts import Shuffled
from visionkit.types import BoxArray, Image, Sample

MEMORY = 1 << 30
"""Bytes of framed pictures that stay in memory: 2,600 of 320 x 416 pixels."""
OPEN = ""
"""Label of a box in which nothing is judged: nobody knows whether something is there."""
_TRIES = 20
_SMALL = 32.0  # pixels
_GRID = 32  # pixels; the largest stride of most backbones


@dataclass(frozen=True, eq=False)
class FramedPicture:
    """A picture as the network sees it, with its boxes.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) float32 xyxy pixels of the frame; N may be 0.
        labels: (N,) int64 indices into the class names; K, their number, where it is open whether
            there is something.
        placement: where the picture lies in the frame.
    """

    image: Image
    boxes: BoxArray
    labels: NDArray[np.int64]
    placement: Placement


@dataclass(frozen=True)
class Turn:
    """Which picture is shown when, and how.

    Attributes:
        epoch, index: the same ones always give the same picture.
        calm: whether it is shown without being put together with others.
    """

    epoch: int
    index: int
    calm: bool = False


@dataclass(frozen=True, eq=False)
class BoxBatch:
    """Pictures that are learned from together.

    Attributes:
        images: (B, 3, H, W) uint8 RGB, channels last in memory.
        boxes: (N, 4) float32 xyxy pixels of the frame for each; N may be 0.
        labels: (N,) int64 for each; as of `FramedPicture`.
        inner: height and width of the part that is picture, for each.
        guessed: (B,) bool, whether a model said where the boxes are, not a person.
        given: (K,) int64, boxes a class before the pictures were changed.
        lost: (K,) int64, those of them of which too little was left.
        problems: pictures that could not be read; others stand in for them.
    """

    images: Tensor
    boxes: tuple[Tensor, ...]
    labels: tuple[Tensor, ...]
    inner: tuple[tuple[int, int], ...]
    guessed: Tensor
    given: Tensor
    lost: Tensor
    problems: tuple[Problem, ...] = ()

    def to(self, device: torch.device) -> BoxBatch:
        """The batch with its pictures on a device; what is true of them goes there with the loss.

        Lightning calls this.
        """
        if device.type == "cpu":
            return self
        moved = {name: getattr(self, name).to(device) for name in ("images", "given", "lost")}
        return BoxBatch(**{**vars(self), **moved})


@dataclass(frozen=True, eq=False)
class ShownPicture:
    """One picture of a batch; fields as of `BoxBatch`."""

    image: Image
    boxes: BoxArray
    labels: NDArray[np.int64]
    inner: tuple[int, int]
    guessed: bool
    given: NDArray[np.int64]
    lost: NDArray[np.int64]
    problems: tuple[Problem, ...] = field(default=())


class FramedPictures:
    """Samples as framed pictures by number; so many as fit stay in memory.

    Boxes are cut at the picture's rim; boxes without area there are left out.

    Args:
        samples: with boxes, or without: background pictures.
        class_names: a label is an index into them; boxes of other labels are left out, but for
            those that are `OPEN`.
        framing: how they are brought to one size.
        max_pixels: larger pictures are not read.
        memory: bytes of pictures that are kept.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        class_names: Sequence[str],
        framing: Framing,
        *,
        max_pixels: int = MAX_PIXELS,
        memory: int = MEMORY,
    ) -> None:
        self.samples, self.framing = tuple(samples), framing
        self.class_count = len(class_names)
        self._number = {name: index for index, name in enumerate((*class_names, OPEN))}
        self._max_pixels = max_pixels
        picture = 3 * framing.size[0] * framing.size[1]
        self._room = max(0, memory // picture)
        self._kept: dict[int, FramedPicture] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> FramedPicture:
        """The picture.

        Raises:
            ImageError: it can't be read.
            FileNotFoundError: it is gone.
        """
        if not 0 <= index < len(self.samples):
            raise IndexError(f"picture must be in 0..{len(self.samples) - 1}, got {index}")
        found = self._kept.get(index)
        if found is None:
            found = self._read(self.samples[index])
            if len(self._kept) < self._room:
                self._kept[index] = found
        return found

    def _read(self, sample: Sample) -> FramedPicture:
        image, placement = read_framed(sample.uri, self.framing, max_pixels=self._max_pixels)
        known = [entry for entry in sample.objects if entry.label in self._number]
        boxes = np.array([entry.box for entry in known], np.float32).reshape(-1, 4)
        labels = np.array([self._number[entry.label] for entry in known], np.int64)
        height, width = placement.inner
        boxes = placement.into(boxes).clip(0, np.array([width, height] * 2, np.float32))
        whole = (boxes[:, 2:] > boxes[:, :2]).all(1)
        return FramedPicture(image, boxes[whole], labels[whole], placement)


class TrainingPictures(Dataset[ShownPicture]):
    """Pictures changed at random; the same turn and seed always give the same one.

    Args:
        pictures: what is learned from; at least one.
        settings: how they are changed; None shows them as they are.
        mosaic: share of the pictures that are put together of four, 0..1.
        seed: of everything random.
        further: how many of the last ones have boxes that were guessed. They are put together with
            one another alone, so of both kinds as many are shown as `Turns` says.
    """

    def __init__(
        self,
        pictures: FramedPictures,
        settings: AugmentSettings | None,
        *,
        mosaic: float = 0.0,
        seed: int = 0,
        further: int = 0,
    ) -> None:
        self._pictures, self._settings = pictures, settings
        self._mosaic, self._seed = mosaic, seed
        self._own = len(pictures) - further

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, turn: Turn) -> ShownPicture:
        """The picture of that turn; where it can't be read, the next one of its kind that can.

        Raises:
            ValueError: none of the pictures that were tried could be read.
        """
        rng = np.random.default_rng([self._seed, turn.epoch, turn.index])
        together = rng.random() < self._mosaic and not turn.calm
        guessed = turn.index >= self._own
        alike = range(self._own, len(self._pictures)) if guessed else range(self._own)
        problems: list[Problem] = []
        numbers = [turn.index]
        if together:
            numbers += rng.integers(alike.start, alike.stop, size=3).tolist()
        found = [self._readable(number, alike, problems) for number in numbers]
        if together:
            shown = _joined(rng, found, self._pictures, self._settings)
        else:
            shown = found[0].image, found[0].boxes, found[0].labels
        given = np.concatenate([each.labels for each in found])
        image, boxes, labels = _changed(rng, *shown, self._settings)
        count = self._pictures.class_count
        counts = np.bincount(given, minlength=count)[:count]  # those that are open don't count
        inner = self._pictures.framing.size if self._settings else found[0].placement.inner
        lost = counts - np.bincount(labels, minlength=count)[:count]
        return ShownPicture(image, boxes, labels, inner, guessed, counts, lost, tuple(problems))

    def _readable(self, number: int, alike: range, problems: list[Problem]) -> FramedPicture:
        for step in range(min(_TRIES, len(alike))):
            index = alike[(number - alike.start + step) % len(alike)]
            try:
                return self._pictures[index]
            except (ImageError, FileNotFoundError) as error:
                problems.append(Problem(self._pictures.samples[index].uri, None, f"{error}"))
        raise ValueError(
            f"pictures to learn from must be readable, got {len(problems)} in a row that are not, "
            f"the first: {problems[0]}; check the disk, or read the set again"
        )


class Turns(Sampler[Turn]):
    """Each picture once an epoch, in an order of the epoch's own.

    Args:
        count: of pictures.
        seed: another seed gives other orders.
        further: pictures behind them of which no more than `count` are shown in an epoch, others
            in each.

    Attributes:
        further: as given.
        calm: whether what comes next is shown without mosaics.
    """

    def __init__(self, count: int, seed: int, *, further: int = 0) -> None:
        self._order, self._further = Shuffled(count, seed), Shuffled(further, seed)
        self.further, self._seed, self.calm = further, seed, False

    def __len__(self) -> int:
        return len(self._order) + min(len(self._order), len(self._further))

    def __iter__(self) -> Iterator[Turn]:
        for index in self._mixed() if len(self._further) else self._order:
            yield Turn(self._order.epoch, index, self.calm)

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self._order.set_epoch(epoch)
        self._further.set_epoch(epoch)

    def _mixed(self) -> Iterator[int]:
        count = len(self._order)
        further = (count + index for index in islice(self._further, count))
        shown = np.array([*self._order, *further])
        rng = np.random.default_rng([self._seed, self._order.epoch, count])
        return iter(rng.permutation(shown).tolist())


def frame_size(samples: Sequence[Sample], longest: int) -> tuple[int, int]:
    """Height and width of a frame that wastes little: of the middle aspect of the pictures.

    Args:
        samples: at least one.
        longest: side in pixels; a multiple of 32.

    Raises:
        ValueError: there are no pictures, or the side is no multiple of 32.
    """
    if not samples:
        raise ValueError("a frame must be for at least one picture, got none")
    if longest < _GRID or longest % _GRID:
        raise ValueError(f"longest side of a frame must be a multiple of {_GRID}, got {longest}")
    aspect = float(np.median([sample.width / sample.height for sample in samples]))
    shorter = max(_GRID, round(longest * min(aspect, 1 / aspect) / _GRID) * _GRID)
    return (shorter, longest) if aspect >= 1 else (longest, shorter)


def fitting_side(samples: Sequence[Sample], *, least: int = 416, most: int = 640) -> int:
    """The longest side of a frame in which three of four objects are no longer small.

    Small is below 32 pixels, as COCO says it: the square root of a box's area. Larger frames take
    longer, so none is larger than it must be.

    Args:
        samples: pictures with their boxes; none says nothing, and gives `least`.
        least: bound in pixels, a multiple of 32.
        most: likewise.
    """
    sides = [
        math.sqrt((x_max - x_min) * (y_max - y_min)) / max(sample.width, sample.height)
        for sample in samples
        for x_min, y_min, x_max, y_max in (entry.box for entry in sample.objects)
    ]
    if not sides:
        return least
    wanted = _SMALL / max(float(np.quantile(sides, 0.25)), 1e-6)
    return min(max(math.ceil(wanted / _GRID) * _GRID, least), most)


def join(shown: Sequence[ShownPicture]) -> BoxBatch:
    """The pictures as a batch; at least one."""
    images = torch.from_numpy(np.stack([each.image for each in shown]))
    return BoxBatch(
        images=images.permute(0, 3, 1, 2),
        boxes=tuple(torch.from_numpy(each.boxes) for each in shown),
        labels=tuple(torch.from_numpy(each.labels) for each in shown),
        inner=tuple(each.inner for each in shown),
        guessed=torch.tensor([each.guessed for each in shown]),
        given=torch.from_numpy(np.sum([each.given for each in shown], axis=0)),
        lost=torch.from_numpy(np.sum([each.lost for each in shown], axis=0)),
        problems=tuple(problem for each in shown for problem in each.problems),
    )


def _joined(
    rng: np.random.Generator,
    found: Sequence[FramedPicture],
    pictures: FramedPictures,
    settings: AugmentSettings | None,
) -> tuple[Image, BoxArray, NDArray[np.int64]]:
    """Four pictures as one; of each only what is picture, not what fills its frame."""
    inner = []
    for each in found:
        height, width = each.placement.inner
        inner.append((each.image[:height, :width], each.boxes))
    least = settings.min_visible if settings else 0.3
    put = mosaic(rng, inner, pictures.framing.size, min_visible=least)
    labels = [found[place].labels[kept] for place, kept in zip(put.picture, put.kept, strict=True)]
    return put.image, put.boxes, np.array(labels, np.int64)


def _changed(
    rng: np.random.Generator,
    image: Image,
    boxes: BoxArray,
    labels: NDArray[np.int64],
    settings: AugmentSettings | None,
) -> tuple[Image, BoxArray, NDArray[np.int64]]:
    if settings is None:
        return image, boxes, labels
    changed = augment(rng, image, boxes, settings)
    return changed.image, changed.boxes, labels[changed.kept]
