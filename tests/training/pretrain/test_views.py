"""Pairs of views: where a point of one lies in the other must be true."""

from __future__ import annotations

import numpy as np
import pytest

from visionkit.training.pretrain.views import (
    Cutout,
    Pair,
    alone,
    cutout_pair,
    photo_cutout,
    photo_pair,
    relight,
)
from visionkit.types import Image


def _ramp(height: int, width: int) -> Image:
    """A photo whose red grows with x and green with y: a colour tells the place."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width)[None]
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    return image


def _errors(pair: Pair, size: int) -> list[float]:
    """Difference in colour between shared points and their places in the other view."""
    errors = []
    for y in range(4, size - 4, 7):
        for x in range(4, size - 4, 7):
            place = pair.matrix @ (x, y, 1)
            u, v = place[:2] / place[2]
            if pair.shared[y, x] and 2 < u < size - 3 and 2 < v < size - 3:
                first = pair.first[y, x, :2].astype(float)
                errors.append(float(np.abs(first - pair.second[round(v), round(u), :2]).max()))
    return errors


@pytest.fixture
def same_light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visionkit.training.pretrain.views.relight", lambda rng, image: image)


@pytest.mark.usefixtures("same_light")
def test_points_of_a_photo_lie_where_the_matrix_says() -> None:
    found = 0
    for seed in range(8):
        pair = photo_pair(np.random.default_rng(seed), _ramp(200, 260), size=96)
        errors = _errors(pair, 96)
        found += len(errors)
        assert not errors or np.mean(errors) < 6
    assert found > 100


@pytest.mark.usefixtures("same_light")
def test_points_of_a_cutout_lie_where_the_matrix_says() -> None:
    cutout: Cutout = np.dstack([_ramp(100, 100), np.full((100, 100), 255, np.uint8)])
    black = np.zeros((80, 80, 3), np.uint8)
    found = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        pair = cutout_pair(rng, cutout, (black, black), size=96)
        errors = _errors(pair, 96)
        found += len(errors)
        assert not errors or np.median(errors) < 8
        assert pair.shared.any()
        assert not pair.first[~pair.shared].any(axis=-1).mean() > 0.1
    assert found > 100


def test_alone_keeps_what_is_shared_and_covers_the_rest() -> None:
    colour = np.array([1, 2, 3], np.uint8)
    first = np.full((20, 20, 3), 90, np.uint8)
    shared = np.zeros((20, 20), np.bool_)
    shared[4:9, 6:16] = True
    shared[5, 7] = False  # a hole in the middle is kept in the picture
    pair = alone(np.random.default_rng(0), Pair(first, first, np.eye(3), shared), colour)
    assert (pair.first[4:9, 6:16] == 90).all()
    assert (pair.first.reshape(-1, 3) == colour).all(axis=1).sum() == 20 * 20 - 5 * 10
    np.testing.assert_array_equal(pair.shared, shared)
    every = np.ones((20, 20), np.bool_)
    part = alone(np.random.default_rng(0), Pair(first, first, np.eye(3), every), colour)
    assert 0 < part.shared.sum() < 400
    assert ((part.first == 90).all(axis=-1) == part.shared).all()


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (300, 5)], ids=["a pixel", "flat", "thin"])
def test_photos_of_any_shape_give_views(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    pair = photo_pair(rng, np.full((*shape, 3), 90, np.uint8), size=48)
    assert pair.first.shape == pair.second.shape == (48, 48, 3)
    assert photo_cutout(rng, np.full((*shape, 3), 90, np.uint8), size=32).shape == (32, 32, 4)


def test_the_same_seed_gives_the_same_views() -> None:
    photo = np.random.default_rng(5).integers(0, 256, (120, 90, 3), dtype=np.uint8)
    one, two = (photo_pair(np.random.default_rng(3), photo, size=64) for _ in range(2))
    np.testing.assert_array_equal(one.first, two.first)
    np.testing.assert_array_equal(one.second, two.second)


def test_light_changes_values_and_neither_shape_nor_type() -> None:
    photo = _ramp(40, 50)
    changed = [relight(np.random.default_rng(seed), photo) for seed in range(10)]
    assert all(image.shape == photo.shape and image.dtype == np.uint8 for image in changed)
    assert len({image.tobytes() for image in changed}) == 10
