from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.worlds import photo, small_backbone
from visionkit.matching.pyramid import PyramidSettings, scene_pyramid, to_input


@pytest.mark.parametrize(
    ("size", "settings", "expected"),
    [
        # (height, width) of the picture -> (height, width) of each scale, worked out by hand.
        ((100, 160), PyramidSettings(8, 2.0, 1600, 80), [(200, 320), (100, 160), (50, 80)]),
        ((100, 160), PyramidSettings(8, 1.0, 1600, 80), [(100, 160), (50, 80)]),
        ((100, 160), PyramidSettings(8, 1.0, 1600, 81), [(100, 160)]),
        ((100, 160), PyramidSettings(8, 2.0, 240, 80), [(150, 240), (75, 120)]),
        ((240, 120), PyramidSettings(8, 1.0, 240, 120), [(240, 120), (120, 60)]),
        ((1, 1), PyramidSettings(8, 2.0, 1600, 120), [(16, 16)]),
        ((5, 7), PyramidSettings(8, 2.0, 1600, 120), [(16, 16)]),
        ((1, 400), PyramidSettings(8, 2.0, 400, 200), [(16, 400), (16, 200)]),
        ((400, 1), PyramidSettings(8, 2.0, 400, 200), [(400, 16), (200, 16)]),
    ],
    ids=[
        "enlarged and halved",
        "as it is",
        "too small to halve",
        "largest side",
        "upright",
        "one pixel",
        "smaller than the stride",
        "a line",
        "a column",
    ],
)
def test_scales(
    size: tuple[int, int], settings: PyramidSettings, expected: list[tuple[int, int]]
) -> None:
    pyramid = scene_pyramid(photo(1, 480, 480)[: size[0], : size[1]], small_backbone(), settings)
    assert pyramid.image_size == size
    assert pyramid.stride == 8
    shapes = [tuple(level.features.shape[1:]) for level in pyramid.levels]
    assert shapes == [(math.ceil(h / 8), math.ceil(w / 8)) for h, w in expected]
    assert pyramid.cells == sum(math.ceil(h / 8) * math.ceil(w / 8) for h, w in expected)
    for level, (height, width) in zip(pyramid.levels, expected, strict=True):
        assert level.scale_y == pytest.approx(height / size[0])
        assert level.scale_x == pytest.approx(width / size[1])
        assert torch.isfinite(level.features).all()
        assert not level.features.requires_grad


def test_a_long_strip_is_seen_in_bounded_memory() -> None:
    settings = PyramidSettings(8, 2.0, 1600, 120)
    strip = np.zeros((1, 4000, 3), np.uint8)
    largest = scene_pyramid(strip, small_backbone(), settings).levels[0]
    assert tuple(largest.features.shape[1:]) == (2, 200)


def test_a_level_is_what_the_backbone_sees() -> None:
    image = photo(2)
    settings = PyramidSettings(8, 1.0, 1600, 120)
    level = scene_pyramid(image, small_backbone(), settings).levels[0]
    pixels = torch.from_numpy(image.transpose(2, 0, 1)[None] / np.float32(255))
    expected = small_backbone()(pixels).maps[8][0]
    torch.testing.assert_close(level.features, expected)


def test_input_is_rgb_from_0_to_1() -> None:
    image = np.array([[[255, 0, 51], [0, 255, 102]]], np.uint8)
    expected = [[[[1.0, 0.0]], [[0.0, 1.0]], [[0.2, 0.4]]]]
    torch.testing.assert_close(to_input(image, torch.device("cpu")), torch.tensor(expected))
