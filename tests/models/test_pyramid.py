from __future__ import annotations

import pytest
import torch

from visionkit.models.build_backbone import build_backbone
from visionkit.models.pyramid import FeaturePyramid, separable_conv
from visionkit.types import Features


def features_of(sizes: dict[int, tuple[int, int, int]], batch: int = 2) -> Features:
    generator = torch.Generator().manual_seed(0)
    maps = {
        stride: torch.randn(batch, *size, generator=generator) for stride, size in sizes.items()
    }
    return Features(maps, torch.zeros(batch, 1))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # A picture of 100 x 70 pixels: ceil(side / stride) cells at every level.
        (
            {8: (4, 13, 9), 16: (6, 7, 5), 32: (10, 4, 3)},
            {8: (13, 9), 16: (7, 5), 32: (4, 3), 64: (2, 2)},
        ),
        # Without the coarse map.
        ({8: (4, 13, 9), 16: (6, 7, 5)}, {8: (13, 9), 16: (7, 5), 32: (4, 3), 64: (2, 2)}),
        # A ViT: one map, the finer level is twice as fine.
        ({16: (6, 7, 5)}, {8: (14, 10), 16: (7, 5), 32: (4, 3), 64: (2, 2)}),
        ({14: (6, 8, 5)}, {7: (16, 10), 14: (8, 5), 28: (4, 3), 56: (2, 2)}),
        # A map that is finer than any level is left aside.
        (
            {4: (3, 25, 18), 8: (4, 13, 9), 16: (6, 7, 5)},
            {8: (13, 9), 16: (7, 5), 32: (4, 3), 64: (2, 2)},
        ),
        # One pixel.
        ({8: (4, 1, 1), 16: (6, 1, 1)}, {8: (1, 1), 16: (1, 1), 32: (1, 1), 64: (1, 1)}),
    ],
    ids=["three maps", "no map of 32", "patches of 16", "patches of 14", "stride 4", "one pixel"],
)
def test_levels_of_any_backbone(
    given: dict[int, tuple[int, int, int]], expected: dict[int, tuple[int, int]]
) -> None:
    pyramid = FeaturePyramid({stride: size[0] for stride, size in given.items()}, width=16)
    levels = pyramid(features_of(given))
    assert pyramid.strides == tuple(expected)
    assert list(levels) == list(expected)
    assert {stride: tuple(level.shape) for stride, level in levels.items()} == {
        stride: (2, 16, *size) for stride, size in expected.items()
    }


def test_no_pictures() -> None:
    pyramid = FeaturePyramid({8: 4, 16: 6}, width=16)
    levels = pyramid(features_of({8: (4, 6, 6), 16: (6, 3, 3)}, batch=0))
    assert levels[8].shape == (0, 16, 6, 6)


def test_batched_equals_one_by_one_in_training_too() -> None:
    pyramid = FeaturePyramid({8: 4, 16: 6}, width=16).train()
    features = features_of({8: (4, 5, 7), 16: (6, 3, 4)}, batch=3)
    together = pyramid(features)
    for index in range(3):
        one = {stride: level[index : index + 1] for stride, level in features.maps.items()}
        for stride, level in pyramid(Features(one, features.pooled[:1])).items():
            torch.testing.assert_close(level, together[stride][index : index + 1])


def test_every_level_sees_every_map_that_is_as_coarse_or_coarser() -> None:
    pyramid = FeaturePyramid({8: 4, 16: 6, 32: 5}, width=16)
    features = features_of({8: (4, 8, 8), 16: (6, 4, 4), 32: (5, 2, 2)}, batch=1)
    for level_map in features.maps.values():
        level_map.requires_grad_()
    for stride, level in pyramid(features).items():
        gradients = torch.autograd.grad(
            level.square().sum(), list(features.maps.values()), retain_graph=True, allow_unused=True
        )
        seen = {s for s, g in zip(features.maps, gradients, strict=True) if g is not None}
        # Level 64 is convolved from the map of 32, and those below add what they lie on.
        assert seen == {s for s in features.maps if s >= min(stride, 32)}


@pytest.mark.parametrize("size", [1, 4, 5])
def test_half_the_cells_rounded_up(size: int) -> None:
    halved = separable_conv(8, stride=2)(torch.randn(1, 8, size, size))
    assert halved.shape == (1, 8, -(-size // 2), -(-size // 2))


def test_a_level_takes_the_coarser_cell_that_it_lies_in() -> None:
    pyramid = FeaturePyramid({8: 2, 16: 2}, width=8)
    for name in ("8", "16", "32", "64"):
        pyramid.merges[name] = torch.nn.Identity()
    for name in ("8", "16"):
        pyramid.laterals[name] = torch.nn.Identity()
    for name in ("32", "64"):
        pyramid.extras[name] = torch.nn.Conv2d(1, 1, 1, stride=2, bias=False)
        torch.nn.init.zeros_(pyramid.extras[name].get_parameter("weight"))
    fine, coarse = torch.zeros(1, 1, 3, 3), torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    levels = pyramid(Features({8: fine, 16: coarse}, torch.zeros(1, 1)))
    assert levels[8][0, 0].tolist() == [[1, 1, 2], [1, 1, 2], [3, 3, 4]]


def test_on_the_starter_backbone_it_is_small() -> None:
    backbone = build_backbone(weights="random", strides=(8, 16, 32))
    pyramid = FeaturePyramid(backbone.channels)
    assert sum(parameter.numel() for parameter in pyramid.parameters()) < 300_000
    levels = pyramid(backbone(torch.rand(1, 3, 65, 33)))
    assert {s: tuple(level.shape[-2:]) for s, level in levels.items()} == {
        8: (9, 5),
        16: (5, 3),
        32: (3, 2),
        64: (2, 1),
    }


@pytest.mark.parametrize(
    ("channels", "width", "words"),
    [({}, 16, "at least one map"), ({8: 4}, 12, "multiple of 8"), ({8: 4}, 0, "multiple of 8")],
)
def test_what_can_not_be_built(channels: dict[int, int], width: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FeaturePyramid(channels, width=width)
