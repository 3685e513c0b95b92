"""What a frozen backbone sees in pictures, computed once and kept on disk.

A head on a frozen backbone then trains in seconds: the pictures are neither decoded nor seen
again. What is kept goes by the picture's content, the frame and the weights, so that runs,
data sets and heads share it, and nothing stale is ever taken.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from visionkit.data.framing import Framing, Placement, channels_first, read_framed
from visionkit.data.images import MAX_PIXELS, ImageError
from visionkit.data.problems import Problem
from visionkit.data.views import ViewSettings, random_view
from visionkit.models.backbone import Backbone
from visionkit.training.tensor_files import FeatureCache
from visionkit.types import Features, Image, Sample

__all__ = ["FeatureCache", "FrozenMaps", "Pooled", "maps_of", "pooled_features"]

_VERSION = 1
"""Raised when the same picture, frame and weights give other features."""

Progress = Callable[[int], None]
_Place = tuple[int, int]
"""Number of a sample, and of its view; view 0 is the plain frame."""


@dataclass(frozen=True)
class Pooled:
    """Pooled features of pictures.

    Attributes:
        features: (1 + views, N, C) float32; the first are of the plain frames.
        kept: (N,) int64, which of the samples these are.
        problems: of the samples that could not be read.
    """

    features: Tensor
    kept: Tensor
    problems: list[Problem]


def pooled_features(
    backbone: Backbone,
    samples: Sequence[Sample],
    framing: Framing,
    *,
    cache: FeatureCache | None,
    views: int = 0,
    settings: ViewSettings | None = None,
    seed: int = 0,
    batch_size: int = 8,
    progress: Progress | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Pooled:
    """`Features.pooled` of every picture, and of random views of it.

    Views follow from the seed, their number and the picture's content alone: they are the same
    whichever pictures stand beside it.

    Args:
        backbone: sees the pictures in evaluation mode, on the device it is on.
        samples: the pictures; `uri` is where each lies.
        framing: of the plain frame; views have its size.
        cache: where features are taken from and kept; None computes all of them.
        views: how many random views of each picture.
        settings: of the views; None takes the defaults.
        seed: of the views.
        batch_size: pictures that the backbone sees at once.
        progress: is called with the number of frames and views that were done.
        max_pixels: larger pictures are left out.

    Raises:
        ValueError: a sample has no content hash.
        RuntimeError: the disk is full.
    """
    sight = _Sight(
        backbone, framing, "pooled", settings or ViewSettings(), seed, max_pixels=max_pixels
    )
    found = torch.zeros(1 + views, len(samples), backbone.pooled_channels)
    missing: list[_Place] = []
    for place in ((index, view) for index in range(len(samples)) for view in range(1 + views)):
        entry = cache.get(sight.key(samples[place[0]], place[1])) if cache else None
        if entry is None:
            missing.append(place)
            continue
        found[place[1], place[0]] = entry["pooled"]
        _step(progress, 1)
    problems: dict[int, Problem] = {}
    for place, seen in _entries(sight, samples, missing, batch_size, cache):
        if isinstance(seen, Problem):
            problems.setdefault(place[0], seen)
        else:
            found[place[1], place[0]] = seen["pooled"]
        _step(progress, 1)
    kept = [index for index in range(len(samples)) if index not in problems]
    return Pooled(found[:, kept], _numbers(kept), [problems[index] for index in sorted(problems)])


class FrozenMaps(Dataset[tuple[dict[int, Tensor], Placement]]):
    """Feature maps of pictures in their plain frames; made by `maps_of`.

    An entry is a stride -> (C, h, w) float32 map, and the placement of the picture in its frame.

    Attributes:
        kept: (N,) int64, which of the samples these are.
        problems: of the samples that could not be read.
    """

    def __init__(
        self,
        sight: _Sight,
        samples: Sequence[Sample],
        cache: FeatureCache,
        problems: Mapping[int, Problem],
    ) -> None:
        self._sight, self._cache = sight, cache
        places = [index for index in range(len(samples)) if index not in problems]
        self._samples = [samples[index] for index in places]
        self.kept = _numbers(places)
        self.problems = [problems[index] for index in sorted(problems)]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[dict[int, Tensor], Placement]:
        """The maps and the placement of one picture.

        Raises:
            ImageError: they are no longer in the cache, and the picture can't be read any more.
            FileNotFoundError: likewise, and it is gone.
        """
        sample = self._samples[index]
        entry = self._cache.get(self._sight.key(sample, 0))
        if entry is None:
            images = [self._sight.read(sample, 0)]
            entry = self._cache.put(self._sight.key(sample, 0), self._sight.see(images)[0])
        maps = {stride: entry[f"map.{stride}"] for stride in self._sight.backbone.strides}
        return maps, _placement(entry["placement"])


def maps_of(
    backbone: Backbone,
    samples: Sequence[Sample],
    framing: Framing,
    *,
    cache: FeatureCache,
    batch_size: int = 8,
    progress: Progress | None = None,
    max_pixels: int = MAX_PIXELS,
) -> FrozenMaps:
    """`Features.maps` of every picture, computed at once where the cache lacks them.

    What the cache has to remove for want of room is computed again when it is asked for.

    Args:
        backbone: sees the pictures in evaluation mode, on the device it is on.
        samples: the pictures; `uri` is where each lies.
        framing: of the frame.
        cache: where maps are taken from and kept.
        batch_size: pictures that the backbone sees at once.
        progress: is called with the number of pictures that were done.
        max_pixels: larger pictures are left out.

    Raises:
        ValueError: a sample has no content hash.
        RuntimeError: the disk is full.
    """
    sight = _Sight(backbone, framing, "maps", ViewSettings(), 0, max_pixels=max_pixels)
    missing = [
        (index, 0) for index, sample in enumerate(samples) if not cache.has(sight.key(sample, 0))
    ]
    _step(progress, len(samples) - len(missing))
    problems: dict[int, Problem] = {}
    for place, seen in _entries(sight, samples, missing, batch_size, cache):
        if isinstance(seen, Problem):
            problems[place[0]] = seen
        _step(progress, 1)
    return FrozenMaps(sight, samples, cache, problems)


_Seen = tuple[Image, Placement | None]


@dataclass
class _Sight:
    """How pictures are seen: by which backbone, in which frame, and what of it is kept."""

    backbone: Backbone
    framing: Framing
    kind: str
    settings: ViewSettings
    seed: int
    max_pixels: int
    _fixed: dict[str, object] = field(init=False)

    def __post_init__(self) -> None:
        spec = self.backbone.spec
        strides = [self.backbone.pool_stride] if self.kind == "pooled" else spec["strides"]
        self._fixed = {
            "version": _VERSION,
            "kind": self.kind,
            "weights": self.backbone.weights_id,
            "backbone": [spec[name] for name in ("name", "mean", "std", "options")],
            "strides": strides,
            "pooling": self.backbone.pooling,
            "frame": [list(self.framing.size), self.framing.fit],
        }

    def key(self, sample: Sample, view: int) -> str:
        """Of everything that the features of a view of a picture depend on."""
        if not sample.content_hash:
            raise ValueError(
                f"a sample must have a content hash, got none [{sample.id}]; read the set again"
            )
        view_of = [view, self.seed, repr(self.settings)] if view else [0]
        return json.dumps({**self._fixed, "picture": sample.content_hash, "view": view_of})

    def read(self, sample: Sample, view: int) -> _Seen:
        """The frame or a view, (height, width, 3) uint8, and the placement in a frame."""
        size = self.framing.size
        if not view:
            return read_framed(sample.uri, self.framing, max_pixels=self.max_pixels)
        content = hashlib.blake2b(sample.content_hash.encode(), digest_size=8).digest()
        rng = np.random.default_rng([self.seed, view, int.from_bytes(content, "big")])
        limit = self.max_pixels
        return random_view(rng, sample.uri, size, self.settings, max_pixels=limit), None

    @torch.no_grad()
    def see(self, pictures: Sequence[_Seen]) -> list[dict[str, Tensor]]:
        """What is kept of each picture, as the backbone sees it."""
        device = next(self.backbone.parameters()).device
        batch = torch.from_numpy(channels_first([image for image, _ in pictures]))
        pixels = batch.to(device).float().div_(255)
        training = self.backbone.training
        try:
            features = self.backbone.eval()(pixels)
        finally:
            self.backbone.train(training)
        return [self._entry(features, at, where) for at, (_, where) in enumerate(pictures)]

    def _entry(self, features: Features, at: int, where: Placement | None) -> dict[str, Tensor]:
        if self.kind == "pooled":
            return {"pooled": features.pooled[at].float().cpu()}
        entry = {f"map.{stride}": part[at].float().cpu() for stride, part in features.maps.items()}
        if where is not None:
            numbers = (where.scale_x, where.scale_y, where.shift_x, where.shift_y, *where.inner)
            entry["placement"] = torch.tensor(numbers, dtype=torch.float64)
        return entry


def _entries(
    sight: _Sight,
    samples: Sequence[Sample],
    places: Sequence[_Place],
    batch_size: int,
    cache: FeatureCache | None,
) -> Iterator[tuple[_Place, dict[str, Tensor] | Problem]]:
    """What is kept of each place, computed and put into the cache, or why it can't be."""

    def read(place: _Place) -> _Seen | Problem:
        sample = samples[place[0]]
        try:
            return sight.read(sample, place[1])
        except ImageError as error:
            return Problem(sample.uri, None, f"{error.reason}; {error.way_out}; left out")
        except FileNotFoundError:
            return Problem(sample.uri, None, "the picture is gone since it was checked; left out")

    batches = [places[first : first + batch_size] for first in range(0, len(places), batch_size)]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        coming: list[Future[_Seen | Problem]] = []
        for number, batch in enumerate(batches):
            results = [waited.result() for waited in coming or _start(pool, read, batch)]
            following = batches[number + 1] if number + 1 < len(batches) else []
            coming = _start(pool, read, following)  # read while the backbone sees this batch
            good = [result for result in results if not isinstance(result, Problem)]
            entries = iter(sight.see(good) if good else [])
            for place, result in zip(batch, results, strict=True):
                if isinstance(result, Problem):
                    yield place, result
                    continue
                entry = next(entries)
                key = sight.key(samples[place[0]], place[1])
                yield place, cache.put(key, entry) if cache else entry


def _start(
    pool: ThreadPoolExecutor,
    read: Callable[[_Place], _Seen | Problem],
    places: Sequence[_Place],
) -> list[Future[_Seen | Problem]]:
    return [pool.submit(read, place) for place in places]


def _placement(numbers: Tensor) -> Placement:
    scale_x, scale_y, shift_x, shift_y, height, width = numbers.tolist()
    return Placement(scale_x, scale_y, shift_x, shift_y, (int(height), int(width)))


def _numbers(places: Sequence[int]) -> Tensor:
    return torch.tensor(places, dtype=torch.int64)


def _step(progress: Progress | None, count: int) -> None:
    if progress is not None and count:
        progress(count)
