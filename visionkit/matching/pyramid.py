"""A picture seen by the backbone at several scales."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch

from visionkit.models.backbone import Backbone
from visionkit.types import Image

Look = Callable[[Image], torch.Tensor]
"""(C, ceil(H / stride), ceil(W / stride)) float32 map of a (H, W, 3) uint8 RGB picture of any size,
without gradients."""


@dataclass(frozen=True)
class PyramidSettings:
    """Which scales a scene is seen at.

    Attributes:
        stride: of the backbone's map that is searched, in pixels.
        max_upscale: how much larger than itself a scene is seen at most. The smallest
            templates are 90 px on their longer side, so 1.5 finds items from about 45 px. 2 finds
            hardly more (AP50 on FlickrLogos-27's second subset: 0.595 against 0.587) and takes
            1.6 times as long.
        max_side: longest side of the largest scale, in pixels; bounds time and memory.
        min_side: scales whose longest side is under this are left out, in pixels.
    """

    stride: int = 16
    max_upscale: float = 1.5
    max_side: int = 1600
    min_side: int = 120


@dataclass(frozen=True)
class Level:
    """One scale of a scene.

    Attributes:
        features: (C, h, w) float32 map, not normalised.
        scale_x, scale_y: pixels of this scale a pixel of the scene.
    """

    features: torch.Tensor
    scale_x: float
    scale_y: float


@dataclass(frozen=True)
class ScenePyramid:
    """All scales of one scene, the most detailed first.

    Attributes:
        levels: at least one.
        image_size: (height, width) of the scene in pixels.
        stride: pixels of a level a cell of its map.
    """

    levels: tuple[Level, ...]
    image_size: tuple[int, int]
    stride: int

    @property
    def cells(self) -> int:
        """How many places of all scales are searched."""
        return sum(level.features[0].numel() for level in self.levels)


def scene_pyramid(image: Image, backbone: Backbone, settings: PyramidSettings) -> ScenePyramid:
    """The scene's feature maps at scales that halve, one backbone pass a scale.

    Args:
        image: (H, W, 3) uint8 RGB.
        backbone: gives the map of `settings.stride`.
        settings: which scales.

    Returns:
        Maps on the backbone's device, computed without gradients.
    """
    return looked_at(image, partial(_look, backbone, settings.stride), settings)


def looked_at(image: Image, look: Look, settings: PyramidSettings) -> ScenePyramid:
    """As `scene_pyramid`, by whatever engine gives the map of `settings.stride`."""
    height, width = image.shape[:2]
    longest = max(height, width)
    side = min(longest * settings.max_upscale, settings.max_side)
    sides = [side]
    while sides[-1] / 2 >= settings.min_side:
        sides.append(sides[-1] / 2)
    levels = tuple(_level(image, side / longest, look, settings.stride) for side in sides)
    return ScenePyramid(levels, (height, width), settings.stride)


def to_input(image: Image, device: torch.device) -> torch.Tensor:
    """(1, 3, H, W) float32 in 0..1 on `device`, from a (H, W, 3) uint8 RGB picture.

    The channels lie last in memory, as in the picture: convolutions on a CPU are then up to
    twice as fast if the network's weights lie so too.
    """
    return torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float() / 255


def _look(backbone: Backbone, stride: int, image: Image) -> torch.Tensor:
    device = next(backbone.parameters()).device
    with torch.no_grad():
        features: torch.Tensor = backbone(to_input(image, device)).maps[stride][0]
    return features


def _level(image: Image, scale: float, look: Look, stride: int) -> Level:
    height, width = image.shape[:2]
    # A strip of 4000x1 px must not vanish: no side under two cells.
    new_height = max(2 * stride, round(height * scale))
    new_width = max(2 * stride, round(width * scale))
    shrinks = new_height * new_width < height * width
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = np.asarray(cv2.resize(image, (new_width, new_height), interpolation=kind), np.uint8)
    return Level(look(resized), new_width / width, new_height / height)
