"""The measures: what must be found is found, and what can't be told apart is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.training.pretrain.measure import correlate, hit_rates, probe_accuracy
from visionkit.training.pretrain.pictures import LabelledPictures
from visionkit.training.pretrain.searches import Search, make_searches


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    return build_backbone("mobilenetv4_conv_small", weights="random")


def _noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_correlation_by_fft_equals_convolution() -> None:
    torch.manual_seed(0)
    scene, template = torch.randn(5, 9, 11), torch.randn(5, 3, 4)
    expected = F.conv2d(scene[None], template[None])[0, 0]
    torch.testing.assert_close(correlate(scene, template), expected, rtol=1e-4, atol=1e-4)


def test_no_searches_are_no_hits(backbone: Backbone) -> None:
    assert hit_rates(backbone, [], strides=(8, 16)) == {8: 0, 16: 0}


def test_an_unchanged_piece_is_found_and_a_strange_one_is_not(backbone: Backbone) -> None:
    scene = _noise(0, 160, 160, 3)
    box = (64.0, 32.0, 128.0, 96.0)
    same = Search(scene[32:96, 64:128].copy(), scene, box)
    assert hit_rates(backbone, [same], strides=(8,)) == {8: 1}
    far = Search(scene[96:160, 0:64].copy(), scene, box)
    assert hit_rates(backbone, [far], strides=(8,)) == {8: 0}


def test_searches_are_repeatable_and_lie_inside() -> None:
    photos = [_noise(seed, 250, 300, 3) for seed in range(3)]
    marks = [_noise(9, 40, 60, 4)]
    one, two = (make_searches(photos, marks, count=4, seed=7) for _ in range(2))
    assert set(one) == {"photo", "mark"}
    for kind, searches in one.items():
        for search, again in zip(searches, two[kind], strict=True):
            np.testing.assert_array_equal(search.template, again.template)
            left, top, right, bottom = search.box
            assert 0 <= left < right <= search.scene.shape[1]
            assert 0 <= top < bottom <= search.scene.shape[0]


def test_a_linear_layer_tells_plain_colours_apart(backbone: Backbone) -> None:
    colours = np.array([[250, 10, 10], [10, 250, 10], [10, 10, 250]], np.uint8)
    labels = np.arange(12) % 3
    images = np.broadcast_to(colours[labels][:, None, None], (12, 32, 32, 3)).copy()
    images ^= _noise(1, 12, 32, 32, 3) & 7
    names = ("red", "green", "blue")
    known = LabelledPictures(images[:6], labels[:6], names)
    asked = LabelledPictures(images[6:], labels[6:], names)
    assert probe_accuracy(backbone, known, asked, size=32) == 1
    wrong = LabelledPictures(images[6:], (labels[6:] + 1) % 3, names)
    assert probe_accuracy(backbone, known, wrong, size=32) == 0
