"""Pictures as heads see them: one pass of the backbone over framed pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from visionkit.data.framing import Framing, Placement, frame, read_framed
from visionkit.data.images import MAX_PIXELS
from visionkit.inference.pictures import Picture
from visionkit.inference.video.frames import Frame
from visionkit.models.backbone import Backbone
from visionkit.types import Features, Image


@dataclass(frozen=True)
class Seen:
    """What the backbone saw of B pictures.

    Attributes:
        features: of the frames, on the backbone's device, without gradients.
        placements: where each picture lies in its frame.
    """

    features: Features
    placements: tuple[Placement, ...]


def see(
    backbone: Backbone,
    pictures: Sequence[Picture],
    framing: Framing,
    *,
    max_pixels: int = MAX_PIXELS,
) -> Seen:
    """One pass of the backbone over all pictures, each in its frame.

    Args:
        backbone: in evaluation mode.
        pictures: at least one; paths, (H, W, 3) uint8 RGB, or frames of videos. A file is decoded
            no larger than the frame needs.
        framing: the frame.
        max_pixels: larger files are refused.

    Raises:
        ImageError: a file is no picture that can be read.
        FileNotFoundError: there is no such file.
    """
    framed = [_framed(picture, framing, max_pixels) for picture in pictures]
    device = next(backbone.parameters()).device
    pixels = torch.from_numpy(np.stack([image for image, _ in framed])).to(device)
    with torch.no_grad():
        # The channels lie last in memory, as in pictures: see `to_input` of matching/pyramid.py.
        features = backbone(pixels.permute(0, 3, 1, 2).float() / 255)
    return Seen(features, tuple(placement for _, placement in framed))


def _framed(picture: Picture, framing: Framing, max_pixels: int) -> tuple[Image, Placement]:
    if isinstance(picture, Frame):
        return picture.framed(framing)
    if isinstance(picture, np.ndarray):
        return frame(picture, framing)
    return read_framed(picture, framing, max_pixels=max_pixels)
