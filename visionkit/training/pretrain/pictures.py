"""The pictures that pretraining learns from, decoded once and kept in memory."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image as PillowImage

from visionkit.data.images import read_image
from visionkit.data.picture_files import find_images
from visionkit.types import Image


@dataclass(frozen=True)
class LabelledPictures:
    """Small pictures of one size with a class each.

    Attributes:
        images: (N, H, W, 3) uint8 RGB.
        labels: (N,) int64, positions in `wnids`.
        wnids: WordNet id of each class.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    wnids: tuple[str, ...]

    def first(self, count: int) -> LabelledPictures:
        """The first so many."""
        return LabelledPictures(self.images[:count], self.labels[:count], self.wnids)


def read_labelled(path: str | Path, *, limit: int | None = None) -> LabelledPictures:
    """The pictures of a Parquet file with columns `image` (JPEG bytes) and `label`.

    Args:
        path: the file; its schema metadata hold "visionkit.class_wnids", a JSON list.
        limit: at most so many rows, from the start.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the class list is missing, or the pictures differ in size.
    """
    table = pq.read_table(path, columns=["image", "label"])
    table = table if limit is None else table.slice(0, limit)
    wnids = (table.schema.metadata or {}).get(b"visionkit.class_wnids")
    if wnids is None:
        raise ValueError(f"{path} must name its classes under visionkit.class_wnids, got no names")
    images = [_decode(data.as_py()) for data in table["image"]]
    if len({image.shape for image in images}) > 1:
        raise ValueError(f"the pictures of {path} must be of one size; scale them before")
    return LabelledPictures(
        images=np.stack(images),
        labels=table["label"].to_numpy().astype(np.int64),
        wnids=tuple(json.loads(wnids)),
    )


def read_photos(
    sources: Sequence[str], *, longest_side: int, left_out: Sequence[str] = ()
) -> list[Image]:
    """All pictures of the sources, (H, W, 3) uint8 RGB, none larger than asked.

    Args:
        sources: folders, files or globs as `find_images` takes them, or zip files; in this
            order, each sorted by name.
        longest_side: in pixels; larger pictures are scaled down.
        left_out: text files; a picture whose name, with or without its ending, is the first
            word of a line there (words end at a blank or comma) is left out: test splits are
            published so.

    Raises:
        FileNotFoundError: a source is missing or holds no picture.
        ImageError: a picture can't be read.
    """
    names = {word for path in left_out for word in _first_words(Path(path))}
    images = []
    for source in sources:
        read = _read_zip if source.endswith(".zip") else _read_files
        images += [_shrink(image, longest_side) for path, image in read(source, names)]
    return images


def _read_files(source: str, left_out: Collection[str]) -> Iterator[tuple[str, Image]]:
    for path in find_images(source):
        if path.name not in left_out and path.stem not in left_out:
            yield str(path), read_image(path)


def _read_zip(source: str, left_out: Collection[str]) -> Iterator[tuple[str, Image]]:
    with zipfile.ZipFile(source) as archive:
        for name in sorted(archive.namelist()):
            path = Path(name)
            if path.suffix.lower() in (".jpg", ".jpeg", ".png") and not (
                path.name in left_out or path.stem in left_out
            ):
                yield name, _decode(archive.read(name))


def _first_words(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.replace(",", " ").split()
        if words:
            yield words[0]


def _decode(data: bytes) -> Image:
    with PillowImage.open(io.BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGB"))


def _shrink(image: Image, longest_side: int) -> Image:
    height, width = image.shape[:2]
    scale = longest_side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
