"""Boxes of objects of known classes in pictures of any size, large ones also tile by tile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

import numpy as np
import supervision as sv
import torch
from torchvision.ops import batched_nms

from visionkit.data.framing import Framing, Placement, frame
from visionkit.heads.localization import LocalizationHead
from visionkit.inference.engines.network import Network
from visionkit.types import Image

_RIM = 1.0  # pixels of the frame; a box that comes so near to a tile's rim is cut there


@dataclass(frozen=True)
class Tiles:
    """How large pictures are also seen in parts, for small objects.

    Attributes:
        scale: pixels of the frame for one of the picture, at most: 1 sees tiles as they are, 0.5
            at half size. A picture that is framed at this scale or a larger one has no tiles.
        overlap: of two neighbours, as a share of a tile's sides, 0..0.9. Objects that are no
            larger are whole in one of them.
        most: tiles of a picture; where more were needed, they are larger.

    Raises:
        ValueError: a setting is out of its range.
    """

    scale: float = 1.0
    overlap: float = 0.25
    most: int = 64

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"scale of tiles must be above 0, got {self.scale}")
        if not 0 <= self.overlap <= 0.9:
            raise ValueError(f"overlap of tiles must lie in 0..0.9, got {self.overlap}")
        if self.most < 1:
            raise ValueError(f"most tiles of a picture must be at least 1, got {self.most}")


@torch.no_grad()
def locate(
    network: Network,
    head: LocalizationHead,
    images: Sequence[Image],
    framing: Framing,
    *,
    tiles: Tiles | None = None,
    batch_size: int = 8,
) -> list[sv.Detections]:
    """The objects in each picture, best first, in pixels of the picture.

    Args:
        network: with this head, in evaluation mode.
        head: decodes what the network says; its own `score_threshold`, `iou_threshold` and
            `max_detections` count, the last one for a picture as for each of its tiles.
        images: (H, W, 3) uint8 RGB of any size.
        framing: as the head was trained with.
        tiles: how large pictures are also seen in parts; None sees each picture whole only.
        batch_size: frames that the network sees at once.
    """
    found: list[list[sv.Detections]] = [[] for _ in images]
    views = _views(images, framing, tiles)
    while batch := list(islice(views, batch_size)):
        frames, placements = zip(*(frame(view.image, framing) for view in batch), strict=True)
        outputs = network.outputs(frames, ("localization",)).localization
        if outputs is None:
            raise RuntimeError("the network must have a localization head, got none")
        decoded = head.decode(outputs, [placement.inner for placement in placements])
        for view, placement, seen in zip(batch, placements, decoded, strict=True):
            found[view.picture].append(view.in_picture(seen, placement))
    return [_merged(head, parts) for parts in found]


@dataclass(frozen=True, eq=False)
class _View:
    """A picture, or a tile of it.

    Attributes:
        picture: number of the picture.
        image: (h, w, 3) uint8 RGB, what is seen of it.
        corner: x, y of its upper left corner in the picture.
        cut: whether the picture goes on to the left, above, to the right and below.
    """

    picture: int
    image: Image
    corner: tuple[int, int]
    cut: tuple[bool, bool, bool, bool]

    def in_picture(self, seen: sv.Detections, placement: Placement) -> sv.Detections:
        """Boxes of the view's frame in pixels of the picture, without those that its rim cuts."""
        height, width = placement.inner
        rims = np.array([0, 0, width, height], np.float32)
        whole = ~((np.abs(seen.xyxy - rims) <= _RIM) & np.array(self.cut)).any(1)
        kept = cast(sv.Detections, seen[whole])
        high, wide = self.image.shape[:2]
        boxes = placement.back(kept.xyxy.astype(np.float32))
        boxes = boxes.clip(0, np.array([wide, high] * 2, np.float32))
        kept.xyxy = boxes + np.array(self.corner * 2, np.float32)
        return kept


def _views(images: Sequence[Image], framing: Framing, tiles: Tiles | None) -> Iterator[_View]:
    for picture, image in enumerate(images):
        yield _View(picture, image, (0, 0), (False,) * 4)
        height, width = image.shape[:2]
        if tiles is None or framing.scale(height, width) >= tiles.scale:
            continue
        side_y, side_x = _tile_sides((height, width), framing, tiles)
        if (side_y, side_x) == (height, width):
            continue  # so few tiles are allowed that they would be the picture again
        for top in _starts(height, side_y, tiles.overlap):
            for left in _starts(width, side_x, tiles.overlap):
                part = image[top : top + side_y, left : left + side_x]
                cut = (left > 0, top > 0, left + side_x < width, top + side_y < height)
                yield _View(picture, part, (left, top), cut)


def _tile_sides(size: tuple[int, int], framing: Framing, tiles: Tiles) -> tuple[int, int]:
    """Height and width of tiles in pixels of the picture, so large that they are not too many."""
    scale = tiles.scale
    while True:
        sides = [
            min(max(1, round(side / scale)), whole)
            for side, whole in zip(framing.size, size, strict=True)
        ]
        count = math.prod(
            len(_starts(whole, side, tiles.overlap))
            for whole, side in zip(size, sides, strict=True)
        )
        if count <= tiles.most:
            return sides[0], sides[1]
        scale /= 1.1


def _starts(length: int, side: int, overlap: float) -> list[int]:
    """Where tiles begin that cover `length` evenly and overlap by at least that share."""
    if side >= length:
        return [0]
    step = max(1.0, side * (1 - overlap))
    count = math.ceil((length - side) / step) + 1
    return [round(start) for start in np.linspace(0, length - side, count)]


def _merged(head: LocalizationHead, parts: Sequence[sv.Detections]) -> sv.Detections:
    """The boxes of a picture and of its tiles without doubles, best first."""
    if len(parts) == 1:
        return parts[0]
    boxes = torch.from_numpy(np.concatenate([part.xyxy for part in parts]))
    scores = torch.from_numpy(np.concatenate([part.confidence for part in parts]))
    labels = torch.from_numpy(np.concatenate([part.class_id for part in parts]))
    best = batched_nms(boxes, scores, labels, head.iou_threshold)
    return sv.Detections(
        xyxy=boxes[best].numpy(), confidence=scores[best].numpy(), class_id=labels[best].numpy()
    )
