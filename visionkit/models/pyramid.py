"""The feature pyramid: a backbone's maps, made alike and told what the coarser ones see.

Top-down as in Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017, of
depthwise separable 5x5 convolutions, whose reach a small network needs (Yu et al.,
"PP-PicoDet", 2021). Group norms: the same answer for one picture and for a batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.types import Features

_GROUP = 8
_FINEST, _LEVELS = 8, 4


class FeaturePyramid(nn.Module):
    """Maps of equal width at strides that double, from the maps of any backbone.

    A level for which the backbone has no map is convolved from the finer level, or enlarged from
    the coarser one where there is no finer: so a ViT's one map of stride 16 is enough.

    Args:
        channels: stride in pixels -> channels of the backbone's maps (`Backbone.channels`).
        width: channels of every level; a multiple of 8.

    Attributes:
        strides: of the levels, ascending: 8, 16, 32, 64 for most backbones, 7, 14, 28, 56 for
            patches of 14 pixels.

    Raises:
        ValueError: `channels` is empty, or `width` is no multiple of 8.
    """

    def __init__(self, channels: Mapping[int, int], *, width: int = 128) -> None:
        super().__init__()
        if width < _GROUP or width % _GROUP:
            raise ValueError(f"width must be a multiple of {_GROUP}, got {width}")
        self.strides = _level_strides(channels)
        self.width = width
        taken = [stride for stride in self.strides if stride in channels]
        self.laterals = nn.ModuleDict(
            {str(stride): _lateral(channels[stride], width) for stride in taken}
        )
        self.extras = nn.ModuleDict(
            {
                str(stride): separable_conv(width, stride=2)
                for stride in self.strides
                if stride > min(taken) and stride not in taken
            }
        )
        self.merges = nn.ModuleDict({str(stride): separable_conv(width) for stride in self.strides})

    def forward(self, features: Features) -> dict[int, Tensor]:
        """Stride -> (B, width, h, w) float map, strides ascending.

        A level has the cells of the backbone's map of that stride; one that the backbone lacks
        has ceil(half) of the finer level's, or twice the coarser one's.

        Args:
            features: with a map for each stride of `channels`.
        """
        maps: dict[int, Tensor] = {}
        for stride in self.strides:
            name = str(stride)
            if name in self.laterals:
                maps[stride] = self.laterals[name](features.maps[stride])
            elif name in self.extras:
                maps[stride] = self.extras[name](maps[stride // 2])
        levels: dict[int, Tensor] = {}
        coarser: Tensor | None = None
        for stride in reversed(self.strides):
            coarser = self.merges[str(stride)](_merge(maps.get(stride), coarser))
            levels[stride] = coarser
        return {stride: levels[stride] for stride in self.strides}


def separable_conv(width: int, *, stride: int = 1) -> nn.Sequential:
    """Depthwise 5x5, then 1x1 convolution, group norm and hard swish; keeps the channels."""
    return nn.Sequential(
        nn.Conv2d(width, width, 5, stride=stride, padding=2, groups=width, bias=False),
        nn.Conv2d(width, width, 1, bias=False),
        nn.GroupNorm(width // _GROUP, width),
        nn.Hardswish(),
    )


def _lateral(channels: int, width: int) -> nn.Sequential:
    # Normalised, since maps of a frozen backbone may be of any scale.
    return nn.Sequential(
        nn.Conv2d(channels, width, 1, bias=False), nn.GroupNorm(width // _GROUP, width)
    )


def _merge(own: Tensor | None, coarser: Tensor | None) -> Tensor:
    if coarser is None:
        if own is None:
            raise RuntimeError("the coarsest level must have a map of its own")
        return own
    if own is None:
        return F.interpolate(coarser, scale_factor=2.0, mode="nearest")
    return own + F.interpolate(coarser, size=own.shape[-2:], mode="nearest")


def _level_strides(channels: Mapping[int, int]) -> tuple[int, ...]:
    """Four strides that double and meet a map, the finest of them 8 pixels or just below."""
    if not channels:
        raise ValueError("channels must name at least one map of the backbone, got none")
    finest = min((stride for stride in channels if stride >= _FINEST), default=max(channels))
    while finest > _FINEST:
        finest //= 2
    return tuple(finest * 2**level for level in range(_LEVELS))
