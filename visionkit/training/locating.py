"""What a localizer that is being trained finds in pictures as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import supervision as sv
import torch
from numpy.typing import NDArray

from visionkit.data.images import ImageError
from visionkit.data.problems import Problem
from visionkit.training.boxed import FramedPicture, FramedPictures
from visionkit.training.localization_module import Localizer
from visionkit.types import BoxArray


@dataclass(frozen=True, eq=False)
class Located:
    """A picture and what was found in it.

    Attributes:
        index: number of the picture.
        picture: in its frame.
        found: best first, in pixels of the frame.
    """

    index: int
    picture: FramedPicture
    found: sv.Detections

    @property
    def boxes(self) -> BoxArray:
        """(N, 4) float32 xyxy pixels of the frame."""
        return cast(BoxArray, self.found.xyxy)

    @property
    def scores(self) -> NDArray[np.float32]:
        """(N,) 0..1."""
        return cast(NDArray[np.float32], self.found.confidence)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) numbers of the classes."""
        return cast(NDArray[np.int64], self.found.class_id)


def located(
    model: Localizer,
    pictures: FramedPictures,
    *,
    batch_size: int,
    report: Callable[[Problem], None],
) -> Iterator[Located]:
    """The pictures one after the other, those that can be read.

    Args:
        model: in evaluation mode.
        pictures: to look at.
        batch_size: how many at once.
        report: is told of a picture that can't be read.
    """
    batch: list[tuple[int, FramedPicture]] = []
    for index in range(len(pictures)):
        try:
            batch.append((index, pictures[index]))
        except (ImageError, FileNotFoundError) as error:
            report(Problem(pictures.samples[index].uri, None, f"{error}"))
        if len(batch) == batch_size:
            yield from _seen(model, batch)
            batch = []
    if batch:
        yield from _seen(model, batch)


@torch.no_grad()
def _seen(model: Localizer, batch: list[tuple[int, FramedPicture]]) -> Iterator[Located]:
    frames = np.stack([picture.image for _, picture in batch])
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).to(next(model.parameters()).device)
    decoded = model.head.decode(model(images), [each.placement.inner for _, each in batch])
    for (index, picture), found in zip(batch, decoded, strict=True):
        yield Located(index, picture, found)
