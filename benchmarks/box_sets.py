"""The real sets with boxes of known classes, read from `shared/data` beside the project."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sets import SHARED

from visionkit.data.formats import read
from visionkit.data.table import to_samples
from visionkit.evaluation import Truth
from visionkit.types import Sample

_ROOT = SHARED / "data" / "localization"


@dataclass(frozen=True)
class BoxSet:
    """Pictures with boxes.

    Attributes:
        class_names: in alphabetical order.
        train: what is learned from.
        test: what is measured on, and nothing else.
    """

    class_names: tuple[str, ...]
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]

    def truths(self) -> list[Truth]:
        """The true boxes of the test pictures, in their pixels."""
        number = {name: index for index, name in enumerate(self.class_names)}
        return [
            Truth(
                np.array([entry.box for entry in sample.objects], np.float32).reshape(-1, 4),
                np.array([number[entry.label] for entry in sample.objects], np.int64),
            )
            for sample in self.test
        ]

    def held_out(self, every: int = 4) -> BoxSet:
        """A set to choose a recipe on: every nth training picture is tested on instead."""
        kept = [sample for index, sample in enumerate(self.train) if index % every]
        return BoxSet(self.class_names, tuple(kept), self.train[::every])


def bccd() -> BoxSet:
    """Blood cells; Pascal VOC, its ImageSets divide it: train and val are learned from."""
    samples = to_samples(read(_ROOT / "bccd", "voc").table)
    return _set(
        [sample for sample in samples if sample.split in ("train", "val")],
        [sample for sample in samples if sample.split == "test"],
    )


def raccoon() -> BoxSet:
    """Raccoons; two CSV files divide it."""
    folder = _ROOT / "raccoon"
    parts = [
        to_samples(read(folder / f"{name}_labels.csv", "csv", image_root=folder / "images").table)
        for name in ("train", "test")
    ]
    return _set(*parts)


def tomato() -> BoxSet:
    """Tomatoes on a belt; YOLO, with folders train and valid."""
    samples = to_samples(read(_ROOT / "tomato_yolo", "yolo").table)
    return _set(
        [sample for sample in samples if sample.split == "train"],
        [sample for sample in samples if sample.split != "train"],
    )


BOX_SETS: dict[str, Callable[[], BoxSet]] = {"bccd": bccd, "raccoon": raccoon, "tomato": tomato}


def write_yolo(given: BoxSet, folder: Path) -> Path:
    """Path of a data.yaml of the training pictures, for a peer that reads YOLO's form only."""
    number = {name: index for index, name in enumerate(given.class_names)}
    images, labels = folder / "images" / "train", folder / "labels" / "train"
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for index, sample in enumerate(given.train):
        name = f"{index:05d}"
        source = Path(sample.uri)
        (images / f"{name}{source.suffix.lower()}").write_bytes(source.read_bytes())
        lines = []
        for entry in sample.objects:
            x_min, y_min, x_max, y_max = entry.box
            values = (
                (x_min + x_max) / 2 / sample.width,
                (y_min + y_max) / 2 / sample.height,
                (x_max - x_min) / sample.width,
                (y_max - y_min) / sample.height,
            )
            lines.append(" ".join([str(number[entry.label]), *(f"{each:.6f}" for each in values)]))
        (labels / f"{name}.txt").write_text("\n".join(lines) + "\n", "utf-8")
    names = "\n".join(f"  {index}: {name}" for index, name in enumerate(given.class_names))
    described = folder / "data.yaml"
    described.write_text(
        f"path: {folder.resolve()}\ntrain: images/train\nval: images/train\nnames:\n{names}\n",
        "utf-8",
    )
    return described


def _set(train: list[Sample], test: list[Sample]) -> BoxSet:
    names = sorted({entry.label for sample in (*train, *test) for entry in sample.objects})
    return BoxSet(tuple(names), tuple(train), tuple(test))
