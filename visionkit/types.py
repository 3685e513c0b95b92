"""The values that flow between visionkit's parts.

Results are not here: every part that finds something gives and takes
`supervision.Detections`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # the review page reads tables without a network
    import torch

Split = Literal["", "train", "val", "test"]

Image = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB, upright."""

BoxArray = NDArray[np.float32]
"""(N, 4) float32 xyxy, pixels of the original upright image; N may be 0."""


Entry = TypeVar("Entry", covariant=True)


class Numbered(Protocol[Entry]):
    """Things by number from 0, which may be made when they are asked for."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, index: int, /) -> Entry:
        """The thing of that number; the same one every time."""


@dataclass(frozen=True)
class ObjectBox:
    """One labelled box of a picture and who said so.

    Attributes:
        label: name of the class or item.
        box: x_min, y_min, x_max, y_max in pixels of the upright picture.
        source: "human" or "human:<name>", or the name and version of the model that proposed it.
        created: ISO 8601 time, or "" where it is not known.
    """

    label: str
    box: tuple[float, float, float, float]
    source: str = "human"
    created: str = ""


@dataclass(frozen=True)
class Sample:
    """One picture of a data set: a row of the table.

    Attributes:
        id: unique within the table.
        uri: path of the picture, as a POSIX string.
        width, height: pixels, after the EXIF turn.
        content_hash: hash of the decoded pixels; equal for copies.
        split: "train", "val", "test", or "" where none was assigned.
        labels: labels of the whole picture; empty for pictures with boxes only.
        objects: labelled boxes; empty is a normal value (a background picture).
    """

    id: str
    uri: str
    width: int
    height: int
    content_hash: str
    split: Split = ""
    labels: tuple[str, ...] = ()
    objects: tuple[ObjectBox, ...] = field(default=())


@dataclass(frozen=True)
class Features:
    """What one backbone pass gives.

    Attributes:
        maps: stride in pixels -> (B, C, h, w) float32 feature map.
        pooled: (B, C) float32, the mean of the last map.
    """

    maps: dict[int, torch.Tensor]
    pooled: torch.Tensor
