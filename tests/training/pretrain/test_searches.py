"""What a measurement searches for is made of any photo, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from visionkit.training.pretrain.searches import photo_cutout, random_outline, relight
from visionkit.types import Image


def _ramp(height: int, width: int) -> Image:
    """A photo whose red grows with x and green with y."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width)[None]
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    return image


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (300, 5)], ids=["a pixel", "flat", "thin"])
def test_photos_of_any_shape_give_pieces(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    assert photo_cutout(rng, np.full((*shape, 3), 90, np.uint8), size=32).shape == (32, 32, 4)


def test_the_same_seed_gives_the_same_piece() -> None:
    photo = np.random.default_rng(5).integers(0, 256, (120, 90, 3), dtype=np.uint8)
    one, two = (photo_cutout(np.random.default_rng(3), photo, size=64) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_outlines_are_filled_and_leave_a_rim() -> None:
    shares = [
        (random_outline(np.random.default_rng(seed), size=64) == 255).mean() for seed in range(30)
    ]
    assert min(shares) > 0.05
    assert max(shares) <= 1
    assert np.std(shares) > 0.05


def test_light_changes_values_and_neither_shape_nor_type() -> None:
    photo = _ramp(40, 50)
    changed = [relight(np.random.default_rng(seed), photo) for seed in range(10)]
    assert all(image.shape == photo.shape and image.dtype == np.uint8 for image in changed)
    assert len({image.tobytes() for image in changed}) == 10
