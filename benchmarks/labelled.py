"""The labelled sets that starter weights are probed on, read from `shared` beside the project."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image as PillowImage
from sets import SHARED
from torch import Tensor

from visionkit.data.images import read_image
from visionkit.data.picture_files import find_images
from visionkit.training.pretrain.pictures import read_labelled
from visionkit.types import Image

GROCERY = SHARED / "data" / "classification" / "grocery_store"
HYMENOPTERA = SHARED / "data" / "classification" / "hymenoptera"
TINY = SHARED / "pretrain"


@dataclass(frozen=True)
class Pictures:
    """Pictures with a class each.

    Attributes:
        images: (H, W, 3) uint8 RGB of any size.
        labels: (N,) int64.
        names: where each comes from.
    """

    images: Sequence[Image]
    labels: Tensor
    names: tuple[str, ...]


@dataclass(frozen=True)
class LabelledSet:
    """What is learned from and what is tested on.

    Attributes:
        train, test: the pictures.
        side: pixels of the square that all are brought to.
    """

    train: Pictures
    test: Pictures
    side: int

    def squares(self, part: Pictures) -> list[Image]:
        """Pictures of (side, side, 3): the shorter side scaled to `side`, cut about the centre."""
        return [square(image, self.side) for image in part.images]


@cache
def tiny_imagenet() -> LabelledSet:
    """200 classes of ImageNet at 64 px, enlarged to 128: 30,000 and 2,400 pictures."""
    return LabelledSet(
        _tiny("tiny_imagenet_train.parquet"), _tiny("tiny_imagenet_val.parquet"), side=128
    )


@cache
def grocery() -> LabelledSet:
    """81 fine classes of groceries in shops, 1,608 and 1,127 pictures, at 160 px as they lie."""
    return LabelledSet(_grocery("train"), _grocery("test"), side=160)


@cache
def hymenoptera() -> LabelledSet:
    """Ants and bees, 245 and 153 pictures, at 224 px."""
    return LabelledSet(_folders(HYMENOPTERA / "train"), _folders(HYMENOPTERA / "val"), side=224)


LABELLED: dict[str, Callable[[], LabelledSet]] = {
    "tiny_imagenet": tiny_imagenet,
    "grocery": grocery,
    "hymenoptera": hymenoptera,
}


def square(image: Image, side: int) -> Image:
    """(side, side, 3) uint8: the shorter side scaled to `side`, cut about the centre."""
    height, width = image.shape[:2]
    shorter = min(height, width)
    top, left = (height - shorter) // 2, (width - shorter) // 2
    middle = image[top : top + shorter, left : left + shorter]
    how = cv2.INTER_AREA if side < shorter else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(middle, (side, side), interpolation=how), np.uint8)


def _tiny(name: str) -> Pictures:
    read = read_labelled(TINY / name)
    names = tuple(f"{name}[{index}]" for index in range(len(read.labels)))
    return Pictures(list(read.images), torch.from_numpy(read.labels), names)


def _grocery(part: str) -> Pictures:
    """The pictures that `<part>.txt` lists as `path, fine class, coarse class`."""
    lines = (GROCERY / f"{part}.txt").read_text("utf-8").splitlines()
    rows = [line.split(",") for line in lines if line.strip()]
    with zipfile.ZipFile(GROCERY / f"{part}.zip") as archive:
        images = [_decode(archive.read(row[0].strip())) for row in rows]
    names = tuple(f"grocery_store/{row[0].strip()}" for row in rows)
    return Pictures(images, torch.tensor([int(row[1]) for row in rows]), names)


def _folders(root: Path) -> Pictures:
    classes = sorted(path.name for path in root.iterdir() if path.is_dir())
    paths = find_images(root)
    labels = torch.tensor([classes.index(path.parent.name) for path in paths])
    names = tuple(path.relative_to(root.parent.parent).as_posix() for path in paths)
    return Pictures([read_image(path) for path in paths], labels, names)


def _decode(data: bytes) -> Image:
    with PillowImage.open(io.BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGB"))
