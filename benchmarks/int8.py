"""A backbone as an engine computes it that calculates with eight-bit integers.

Simulated in float32: weights and activations are rounded to the values that eight bits can mean
and multiplied and summed as floats. An engine sums such products exactly, in 32 bits, so the two
differ by rounding in the sums alone, now and then by one step of an activation.

torch.ao.quantization computes in eight bits indeed, but it and the tensors it works on are
deprecated. Given the same ranges its oneDNN kernels name as many pictures of Hymenoptera rightly
as this simulation does, 126 of 153, from pooled features with a median cosine of 0.998 to these.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from sets import PHOTOS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import fuse_conv_bn_eval
from torch.utils.hooks import RemovableHandle

from visionkit.data.images import read_image
from visionkit.data.picture_files import find_images
from visionkit.matching.pyramid import to_input
from visionkit.models.backbone import Backbone
from visionkit.types import Image

CALIBRATION_EVERY = 25
LARGEST_WEIGHT, LARGEST_ACTIVATION = 127, 255
TYPICAL = 0.75
"""Share of the pictures whose extremes a range holds.

Chosen by the mean cosine to the float map on 40 photos that nothing is tested or calibrated on:
at stride 32 0.949, with 0.5 0.938, with 0.9 0.043, with 1 0.028; at stride 16 all give 0.9996 or
0.9997. Starter 0.4.0 is to blame: the largest activation before its last block's last layer is
under 16 in 33 of the 40 calibration photos and a thousand to a million in the other seven, and a
range that holds those has one value left for all others.
"""
_TINY = 1e-12  # instead of a step of zero
_WEIGHTED = (nn.Conv2d, nn.Linear)


def calibration_photos() -> list[Image]:
    """40 photos, none among the held-out ones (every tenth) that scenes are composed of."""
    return [read_image(path) for path in find_images(PHOTOS)[1::CALIBRATION_EVERY]]


def quantised(backbone: Backbone, pictures: Iterable[Image]) -> Backbone:
    """A frozen copy with folded batch norms, whose weights and activations have eight bits.

    Weights: symmetric, a scale for each output channel. Activations: affine, one range a place,
    fixed here once and for all; the places are the input of every convolution and linear layer
    and the output of every block that holds some, so that shortcuts are rounded too. Biases
    are left alone: engines keep them in 32 bits.

    Args:
        backbone: in float32, with batch norms that each directly follow a convolution.
        pictures: (H, W, 3) uint8 RGB, of the sizes and kind that will be seen; at least one.

    Raises:
        ValueError: there is no picture, or a batch norm can't be folded.
    """
    result = folded(backbone)
    pictures = list(pictures)
    if not pictures:
        raise ValueError("ranges must be fixed on at least one picture, got none")
    seen: dict[str, _Extremes] = {}
    hooks = _pass_through(result.network, lambda name: seen.setdefault(name, _Extremes()).see)
    device = next(result.parameters()).device
    with torch.no_grad():
        for picture in pictures:
            result(to_input(picture, device))
    for hook in hooks:
        hook.remove()
    for module in result.network.modules():
        if isinstance(module, _WEIGHTED):
            module.weight.data = rounded_weight(module.weight.data)
    _pass_through(result.network, lambda name: seen[name].grid().rounded)
    return result


def folded(backbone: Backbone) -> Backbone:
    """A frozen copy that computes the same, its batch norms part of their convolutions.

    Raises:
        ValueError: a batch norm doesn't directly follow a convolution.
    """
    result = copy.deepcopy(backbone).eval()
    for path, module in list(result.network.named_modules()):
        before, layer = "", None
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm):
                if not isinstance(layer, nn.Conv2d):
                    raise ValueError(
                        "a batch norm must directly follow a convolution to be folded into it, "
                        f"got {name} of {path or 'the network'} after {before or 'nothing'}"
                    )
                setattr(module, before, fuse_conv_bn_eval(layer, child))
                setattr(module, name, getattr(child, "act", nn.Identity()))  # timm's holds one
            if not isinstance(child, nn.Identity):
                before, layer = name, child
    return result.freeze().eval()


def rounded_weight(weight: Tensor) -> Tensor:
    """The nearest values that -127..127 can mean, the largest of each output channel kept.

    Args:
        weight: (out, ...) float32.
    """
    steps = weight.flatten(1).abs().amax(1).clamp(min=_TINY) / LARGEST_WEIGHT
    zeros = torch.zeros_like(steps, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(
        weight, steps, zeros, 0, -LARGEST_WEIGHT, LARGEST_WEIGHT
    )


@dataclass(frozen=True)
class Grid:
    """The values that an activation of eight bits can have; zero, the padding, is one of them.

    Attributes:
        step: from one value to the next.
        zero: the number, 0..255, that means 0.
    """

    step: float
    zero: int

    @classmethod
    def over(cls, low: float, high: float) -> Grid:
        """From `low` to `high`, which lie on both sides of zero or on it."""
        step = max(high - low, _TINY) / LARGEST_ACTIVATION
        return cls(step, round(-low / step))

    def rounded(self, values: Tensor) -> Tensor:
        """The nearest values of the grid, any shape, float32."""
        return torch.fake_quantize_per_tensor_affine(
            values, self.step, self.zero, 0, LARGEST_ACTIVATION
        )


@dataclass
class _Extremes:
    """The least and the greatest value of every picture at one place."""

    lows: list[float] = field(default_factory=list)
    highs: list[float] = field(default_factory=list)

    def see(self, values: Tensor) -> Tensor:
        """The values as they are, remembered."""
        self.lows.append(min(0.0, float(values.min())))
        self.highs.append(max(0.0, float(values.max())))
        return values

    def grid(self) -> Grid:
        """Over what the typical picture shows here."""
        low, high = np.quantile(self.lows, 1 - TYPICAL), np.quantile(self.highs, TYPICAL)
        return Grid.over(float(low), float(high))


def _pass_through(
    network: nn.Module, at: Callable[[str], Callable[[Tensor], Tensor]]
) -> list[RemovableHandle]:
    """Sends every activation that is stored in eight bits through the function of its place."""
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, _WEIGHTED):
            hooks.append(module.register_forward_pre_hook(partial(_before, at(name))))
        elif name and not isinstance(module, nn.Sequential) and _holds_weights(module):
            hooks.append(module.register_forward_hook(partial(_after, at(name))))
    return hooks


def _holds_weights(module: nn.Module) -> bool:
    return any(isinstance(inner, _WEIGHTED) for inner in module.modules())


def _before(change: Callable[[Tensor], Tensor], _: nn.Module, inputs: tuple[Any, ...]) -> Any:
    return (change(inputs[0]), *inputs[1:])


def _after(change: Callable[[Tensor], Tensor], _: nn.Module, inputs: Any, output: Tensor) -> Any:
    return change(output)
