"""The pictures that pretraining learns from, decoded once and kept in memory."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image as PillowImage

from visionkit.data.images import find_images, read_image
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


def read_photos(sources: Sequence[str], *, longest_side: int) -> list[Image]:
    """All pictures of the folders, files or globs, (H, W, 3) uint8 RGB, none larger than asked.

    Args:
        sources: as `find_images` takes them; in this order, each sorted by name.
        longest_side: in pixels; larger pictures are scaled down.

    Raises:
        FileNotFoundError: a source is missing or holds no picture.
        ImageError: a picture can't be read.
    """
    paths = [path for source in sources for path in find_images(source)]
    return [_shrink(read_image(path), longest_side) for path in paths]


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
