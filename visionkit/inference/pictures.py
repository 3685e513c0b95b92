"""What a predictor may be given as a picture."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from visionkit.data.images import read_image, read_rgba
from visionkit.data.picture_files import find_images
from visionkit.inference.video.frames import Frame
from visionkit.matching.gallery import View, make_view
from visionkit.types import Image

Picture = str | Path | Image | Frame
"""A path, a (H, W, 3) uint8 RGB array, or a frame of a video."""


def batches(pictures: Iterable[Picture], size: int) -> Iterator[list[Picture]]:
    """Lists of at most `size` pictures, each taken when it is its turn."""
    left = iter(pictures)
    while batch := list(itertools.islice(left, max(size, 1))):
        yield batch


def each_of(picture: Picture) -> list[Path | Image]:
    """The pictures that are meant: all of a folder or glob.

    Raises:
        FileNotFoundError: there is none.
        ValueError: an array is no picture.
    """
    if isinstance(picture, np.ndarray | Frame):
        return [pixels_of(picture)]
    return list(find_images(picture))


def view_of(item: str, picture: Path | Image, box: Sequence[float] | None) -> View:
    """A view of an item; xyxy `box` in pixels says where it is, None that it is all of it.

    Raises:
        ValueError: the picture can't be read, or the box holds no pixel of it.
    """
    if isinstance(picture, np.ndarray):
        return make_view(item, picture, box=box)
    image, alpha = read_rgba(picture)
    return make_view(item, image, alpha=alpha, box=box, source=picture.as_posix())


def pixels_of(picture: Picture) -> Image:
    """(H, W, 3) uint8 RGB, all pixels of a picture.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the picture can't be read, or an array is none.
    """
    if isinstance(picture, Frame):
        return picture.image
    return checked(picture) if isinstance(picture, np.ndarray) else read_image(picture)


def checked(picture: Image) -> Image:
    """The array, if it is a picture.

    Raises:
        ValueError: it is not (H, W, 3) uint8 with pixels in it.
    """
    is_rgb = picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8
    if not is_rgb or not picture.size:
        raise ValueError(
            f"a picture must be (H, W, 3) uint8 RGB with pixels in it, got {picture.shape} "
            f"{picture.dtype}"
        )
    return picture
