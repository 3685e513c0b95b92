"""The simulated eight-bit backbone of benchmarks/int8.py."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from int8 import Grid, folded, quantised, rounded_weight

from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.types import Image


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return build_backbone(strides=(8, 16), pool_stride=16).freeze()


def _picture(seed: int, side: int = 96) -> Image:
    """Coarse and fine blotches."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.random((6, 6, 3)), (side, side), interpolation=cv2.INTER_CUBIC)
    mixed = 200 * coarse + 55 * rng.random((side, side, 3))
    return np.asarray(mixed.clip(0, 255), np.uint8)


def _pixels(image: Image) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def test_a_weight_goes_to_the_nearest_127th_of_its_channels_largest() -> None:
    weight = torch.tensor([[1.27, 0.014, -0.016], [-12.7, 0.04, 0.06], [0.0, 0.0, 0.0]])
    wanted = torch.tensor([[1.27, 0.01, -0.02], [-12.7, 0.0, 0.1], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(rounded_weight(weight), wanted)


@pytest.mark.parametrize(
    ("low", "high", "value", "wanted"),
    [
        (0.0, 2.55, 1.234, 1.23),  # to the nearest step of 0.01
        (0.0, 2.55, 3.0, 2.55),  # what lies above ends at the highest
        (0.0, 2.55, -0.4, 0.0),  # and what lies below at the lowest
        (-1.0, 1.55, -0.504, -0.50),
        (-1.003, 1.547, 0.0, 0.0),  # zero stays zero wherever the range begins
        (0.0, 0.0, 0.0, 0.0),  # nothing but zeros was seen
    ],
)
def test_an_activation_goes_to_the_nearest_step_of_its_range(
    low: float, high: float, value: float, wanted: float
) -> None:
    rounded = Grid.over(low, high).rounded(torch.tensor([value]))
    torch.testing.assert_close(rounded, torch.tensor([wanted]))


def test_batch_norms_are_folded_without_changing_the_maps(backbone: Backbone) -> None:
    pixels = _pixels(_picture(0))
    result = folded(backbone)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in result.network.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in backbone.network.modules())
    for stride, wanted in backbone(pixels).maps.items():
        torch.testing.assert_close(result(pixels).maps[stride], wanted, atol=1e-4, rtol=0)


def test_a_batch_norm_that_comes_first_is_refused() -> None:
    densenet = build_backbone("densenet121", weights="random")
    with pytest.raises(ValueError, match="directly follow a convolution"):
        folded(densenet)


def test_maps_of_eight_bits_are_near_those_of_floats_and_on_256_values(backbone: Backbone) -> None:
    rounded = quantised(backbone, [_picture(seed) for seed in range(3)])
    assert rounded.frozen
    assert not rounded.training
    pixels = _pixels(_picture(7))
    plain, eight = backbone(pixels).maps[16], rounded(pixels).maps[16]
    likeness = torch.cosine_similarity(plain.flatten(), eight.flatten(), dim=0)
    assert 0.99 < float(likeness) < 0.99999
    assert len(eight.unique()) <= 256 < len(plain.unique())


def test_weights_have_at_most_255_values_in_each_channel(backbone: Backbone) -> None:
    rounded = quantised(backbone, [_picture(0)])
    convolutions = [m for m in rounded.network.modules() if isinstance(m, nn.Conv2d)]
    for convolution in convolutions:
        for channel in convolution.weight.flatten(1):
            numbers = channel / channel.abs().max().clamp(min=1e-12) * 127
            assert float((numbers - numbers.round()).abs().max()) < 1e-3
    assert convolutions


def test_ranges_stay_as_they_were_fixed(backbone: Backbone) -> None:
    dark = np.asarray(_picture(1) // 8, np.uint8)
    rounded = quantised(backbone, [dark])
    pixels = _pixels(dark)
    before = rounded(pixels).maps[16]
    rounded(_pixels(_picture(2)))  # far brighter
    torch.testing.assert_close(rounded(pixels).maps[16], before, atol=0, rtol=0)
    other = quantised(backbone, [dark, _picture(2), _picture(3)])
    assert not torch.equal(other(pixels).maps[16], before)


def test_one_picture_at_least_is_asked_for(backbone: Backbone) -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        quantised(backbone, [])
