"""The two branches of the localization head: what each cell says of boxes, and of classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from visionkit.models.pyramid import separable_conv

_RARE = -math.log(99)  # logit of 0.01: few cells show an object (RetinaNet, section 4.1)
_START_SIDE = 4.0  # cells; side of every box before learning
_MAX_LOG = 5.0  # of a distance in cells: 148 cells, more than any picture has


class BoxBranch(nn.Module):
    """Quality and distances of every cell, by one network for all levels.

    Args:
        width: channels of the maps.
        strides: of the levels.
        depth: separable convolutions.
    """

    def __init__(self, width: int, strides: Sequence[int], *, depth: int) -> None:
        super().__init__()
        self.tower = nn.Sequential(*(separable_conv(width) for _ in range(depth)))
        self.quality = _last(width, 1, start=_RARE)
        self.distances = _last(width, 4, start=math.log(_START_SIDE / 2))
        # One factor a level, as in FCOS: the levels need not agree on the size in cells.
        self.scales = nn.Parameter(torch.ones(len(strides)))

    def forward(self, maps: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
        """(B, M) float32 quality logits and (B, M, 4) float32 distances in pixels, above 0."""
        qualities, distances = [], []
        for (stride, level), scale in zip(maps.items(), self.scales, strict=True):
            seen = self.tower(level)
            qualities.append(_flat(self.quality(seen))[..., 0])
            # float32: half precision knows sides of 500 pixels to half a pixel only
            log_distances = _flat(self.distances(seen)) * scale.float()
            distances.append(stride * log_distances.clamp(-_MAX_LOG, _MAX_LOG).exp())
        return torch.cat(qualities, 1), torch.cat(distances, 1)


class ClassBranch(nn.Module):
    """Class logits of every cell, by one network for all levels.

    Args:
        width: channels of the maps.
        class_count: at least 1.
        depth: separable convolutions.
    """

    def __init__(self, width: int, class_count: int, *, depth: int) -> None:
        super().__init__()
        self.tower = nn.Sequential(*(separable_conv(width) for _ in range(depth)))
        self.logits = _last(width, class_count, start=_RARE)

    def forward(self, maps: Mapping[int, Tensor]) -> Tensor:
        """(B, M, K) float32 logits."""
        return torch.cat([_flat(self.logits(self.tower(level))) for level in maps.values()], 1)


def _last(width: int, channels: int, *, start: float) -> nn.Conv2d:
    """A 1x1 convolution that says about `start` of everything before it has learned."""
    conv = nn.Conv2d(width, channels, 1, bias=True)
    nn.init.normal_(conv.weight, std=0.01)
    with torch.no_grad():
        conv.get_parameter("bias").fill_(start)
    return conv


def _flat(level: Tensor) -> Tensor:
    """(B, h * w, C) float32 of (B, C, h, w)."""
    return level.flatten(2).transpose(1, 2).float()
