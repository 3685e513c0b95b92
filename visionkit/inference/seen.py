"""Pictures as heads see them: one pass of the network over framed pictures."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from visionkit.data.framing import Framing, Placement, frame, read_framed
from visionkit.data.images import MAX_PIXELS
from visionkit.inference.engines.network import Network, RawOutputs
from visionkit.inference.pictures import Picture
from visionkit.inference.video.frames import Frame
from visionkit.types import Image


@dataclass(frozen=True)
class Seen:
    """What trained heads say of B pictures, before it is decoded.

    Attributes:
        outputs: of the frames.
        placements: where each picture lies in its frame.
    """

    outputs: RawOutputs
    placements: tuple[Placement, ...]


def see(
    network: Network,
    pictures: Sequence[Picture],
    framing: Framing,
    tasks: Collection[str],
    *,
    max_pixels: int = MAX_PIXELS,
) -> Seen:
    """One pass of the network over all pictures, each in its frame.

    Args:
        network: backbone and trained heads.
        pictures: at least one; paths, (H, W, 3) uint8 RGB, or frames of videos. A file is decoded
            no larger than the frame needs.
        framing: the frame.
        tasks: which heads are asked.
        max_pixels: larger files are refused.

    Raises:
        ImageError: a file is no picture that can be read.
        FileNotFoundError: there is no such file.
    """
    framed = [_framed(picture, framing, max_pixels) for picture in pictures]
    outputs = network.outputs([image for image, _ in framed], tasks)
    return Seen(outputs, tuple(placement for _, placement in framed))


def _framed(picture: Picture, framing: Framing, max_pixels: int) -> tuple[Image, Placement]:
    if isinstance(picture, Frame):
        return picture.framed(framing)
    if isinstance(picture, np.ndarray):
        return frame(picture, framing)
    return read_framed(picture, framing, max_pixels=max_pixels)
