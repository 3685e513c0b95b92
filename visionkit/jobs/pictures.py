"""Scenes whose items are known, and backgrounds: pictures that are decoded when asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

import cv2
import numpy as np

from visionkit.data.demo import stock_backgrounds
from visionkit.data.images import MAX_PIXELS, content_hash, read_image
from visionkit.files import write_bytes
from visionkit.matching.gallery import View
from visionkit.training.pairs import LabelledScene, SceneSource
from visionkit.types import Image, ObjectBox, Sample

_REFERENCE = 24
"""Background pictures that views are calibrated on and that travel with the bundle, as features;
more hardly change the thresholds and make the bundle larger."""
NONE_LABEL = "none"
"""Label of pictures, and name of class folders, that show none of the items."""


class Scenes(Sequence[LabelledScene]):
    """Pictures whose items are known, decoded when they are asked for.

    Args:
        samples: one a picture; `uri` is where it lies.
        shown: uri -> indices of the gallery's views that were cut from that picture. They are
            not used on it, lest they match themselves.
        max_pixels: larger pictures are refused.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        shown: Mapping[str, frozenset[int]] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.samples = tuple(samples)
        self._shown = dict(shown or {})
        self._max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, index: int) -> LabelledScene: ...

    @overload
    def __getitem__(self, index: slice) -> Scenes: ...

    def __getitem__(self, index: int | slice) -> LabelledScene | Scenes:
        """A picture with its boxes, or a part of the scenes.

        Raises:
            ImageError: the picture was damaged since it was checked.
            FileNotFoundError: it is gone.
        """
        if isinstance(index, slice):
            return self._with(self.samples[index])
        sample = self.samples[index]
        boxes = np.array([entry.box for entry in sample.objects], np.float32).reshape(-1, 4)
        items = tuple(entry.label for entry in sample.objects)
        return LabelledScene(self.image(index), boxes, items, self.shown_views(index))

    def image(self, index: int) -> Image:
        """(H, W, 3) uint8 RGB: the picture of a scene; raises like reading a scene."""
        return read_image(self.samples[index].uri, max_pixels=self._max_pixels)

    def shown_views(self, index: int) -> frozenset[int]:
        """Indices of the gallery's views that were cut from this picture."""
        return self._shown.get(_place(self.samples[index].uri), frozenset())

    @property
    def names(self) -> list[str]:
        """What each picture is called: unique, and stable when the folder moves."""
        return [sample.id for sample in self.samples]

    @property
    def item_counts(self) -> dict[str, int]:
        """Item -> its boxes, and pictures labelled with it as a whole; sorted by name."""
        counts: dict[str, int] = {}
        for sample in self.samples:
            for label in (*(entry.label for entry in sample.objects), *sample.labels):
                counts[label] = counts.get(label, 0) + 1
        return dict(sorted(counts.items()))

    def part(self, split: str) -> Scenes:
        """The scenes of one split: "train", "val", "test", or "" for those in none."""
        return self._with([sample for sample in self.samples if sample.split == split])

    def boxed(self) -> Scenes:
        """The scenes in which every box is known: not those that only have labels."""
        return self._with([sample for sample in self.samples if has_boxes(sample)])

    def and_then(self, others: Scenes) -> Scenes:
        """These scenes and others; pictures of one name get a number behind it."""
        names = {sample.id for sample in self.samples}
        added = []
        for sample in others.samples:
            name, count = sample.id, 1
            while name in names:
                count += 1
                name = f"{sample.id} ({count})"
            names.add(name)
            added.append(replace(sample, id=name))
        merged = self._with([*self.samples, *added])
        merged._shown |= others._shown
        return merged

    def hiding(self, views: Sequence[View]) -> Scenes:
        """These scenes with the gallery's views hidden on the pictures they were cut from.

        So they are on copies of those pictures, where both are among the scenes.
        """
        content = {_place(sample.uri): sample.content_hash for sample in self.samples}
        copies: dict[str, list[str]] = {}
        for place, key in content.items():
            copies.setdefault(key, []).append(place)
        shown: dict[str, set[int]] = {}
        for index, view in enumerate(views):
            if view.source:
                place = _place(view.source)
                for each in copies[content[place]] if place in content else (place,):
                    shown.setdefault(each, set()).add(index)
        merged = dict(self._shown)
        for place, indices in shown.items():
            merged[place] = merged.get(place, frozenset()) | frozenset(indices)
        return Scenes(self.samples, shown=merged, max_pixels=self._max_pixels)

    def _with(self, samples: Sequence[Sample]) -> Scenes:
        return Scenes(samples, shown=self._shown, max_pixels=self._max_pixels)


class Pictures(Sequence[Image]):
    """(H, W, 3) uint8 RGB pictures without any item, decoded when they are asked for."""

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes

    def __len__(self) -> int:
        return len(self.scenes)

    @overload
    def __getitem__(self, index: int) -> Image: ...

    @overload
    def __getitem__(self, index: slice) -> Pictures: ...

    def __getitem__(self, index: int | slice) -> Image | Pictures:
        """A picture, or a part of them; raises like `Scenes`."""
        if isinstance(index, slice):
            return Pictures(self.scenes[index])
        return self.scenes.image(index)


def reference_pictures(backgrounds: Sequence[Image]) -> list[Image]:
    """The pictures that views are calibrated on: the first of one's own, then visionkit's photos.

    Args:
        backgrounds: (H, W, 3) uint8 RGB without any item.

    Raises:
        ImageError: a picture was damaged since it was checked.
        FileNotFoundError: one is gone.
    """
    chosen = list(backgrounds[:_REFERENCE])
    if len(chosen) == _REFERENCE:
        return chosen
    known = {image.tobytes() for image in chosen}
    others = [image for image in stock_backgrounds() if image.tobytes() not in known]
    return chosen + others[: _REFERENCE - len(chosen)]


def write_scenes(scenes: SceneSource, folder: Path) -> Scenes:
    """Composed scenes as pictures on disk, to be looked at and measured like any others.

    Args:
        scenes: each is made once.
        folder: for the pictures, which are named by number; made if missing.

    Raises:
        RuntimeError: the disk is full.
    """
    samples, shown = [], {}
    for index in range(len(scenes)):
        scene = scenes[index]
        path = folder / f"{index:04d}.png"
        encoded = cv2.imencode(".png", cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR))[1]
        write_bytes(path, encoded.tobytes())
        uri = _place(str(path))
        height, width = scene.image.shape[:2]
        objects = tuple(
            ObjectBox(item, (x_min, y_min, x_max, y_max), "composed")
            for item, (x_min, y_min, x_max, y_max) in zip(
                scene.items, scene.boxes.tolist(), strict=True
            )
        )
        key = content_hash(scene.image)
        samples.append(Sample(path.name, uri, width, height, key, "test", objects=objects))
        shown[uri] = scene.shown_views
    return Scenes(samples, shown=shown)


def has_boxes(sample: Sample) -> bool:
    """Whether all boxes of a picture are known: it has some, or shows no item at all."""
    return bool(sample.objects) or set(sample.labels) <= {NONE_LABEL}


def is_empty(sample: Sample) -> bool:
    """Whether a picture is known to show no item."""
    return has_boxes(sample) and not sample.objects


def _place(uri: str) -> str:
    return Path(os.path.abspath(uri)).as_posix()
