"""Whether any test picture was learned from, by a hash of pixels: equal files, however named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
from labelled import LABELLED, tiny_imagenet
from marks import HELD_OUT_EVERY, held_out
from sets import PHOTOS, SETS, SHARED

from visionkit.data.images import read_image
from visionkit.data.picture_files import find_images
from visionkit.training.pretrain.pictures import read_photos
from visionkit.types import Image

_DATA = SHARED / "data"
LEARNED_FROM = (
    "classification/grocery_store/train.zip",
    "classification/hymenoptera/train",
    "localization/bccd/JPEGImages",
    "localization/raccoon/images",
    "localization/tomato_yolo/train",
    "exemplar/fridge/positive",
)
"""The photos that the shipped weights were learned from, beside those of `PHOTOS`."""
LEFT_OUT = ("localization/bccd/ImageSets/Main/test.txt", "localization/raccoon/test_labels.csv")


def overlaps() -> Iterator[tuple[str, int, int]]:
    """Name of a test set, its pictures, and how many of them pretraining learned from."""
    learned = {_digest(image) for image in _learned()}
    for name, pictures in _tested():
        found = [_digest(image) in learned for image in pictures]
        yield name, len(found), sum(found)


def _learned() -> Iterator[Image]:
    yield from tiny_imagenet().train.images
    for index, path in enumerate(find_images(PHOTOS)):
        if index % HELD_OUT_EVERY:
            yield read_image(path)
    sources = [str(_DATA / name) for name in LEARNED_FROM]
    left_out = [str(_DATA / name) for name in LEFT_OUT]
    yield from read_photos(sources, longest_side=100_000, left_out=left_out)


def _tested() -> Iterator[tuple[str, Iterable[Image]]]:
    for name, labelled in LABELLED.items():
        yield name, labelled().test.images
    yield "marks, photos below", held_out()
    for name, items in SETS.items():
        given = items()
        paths = {scene.path for scene in given.scenes} | {*given.empty}
        paths |= {path for path, _ in given.presence}
        yield name, (read_image(path) for path in sorted(paths))


def _digest(image: Image) -> bytes:
    pixels = np.ascontiguousarray(image)
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
