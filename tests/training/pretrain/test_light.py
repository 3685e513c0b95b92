"""Light and compression in batches: what they change and what they leave."""

from __future__ import annotations

import pytest
import scipy.fft
import torch

from visionkit.training.pretrain import light


def test_light_changes_values_within_their_range_and_keeps_the_shape() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(20, 3, 32, 40, generator=generator)
    before = images.clone()
    changed = light.relight(images, generator)
    assert changed.shape == images.shape
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    assert (changed - before).abs().flatten(1).mean(1).min() > 1e-3
    torch.testing.assert_close(images, before)  # what was given is left alone


def test_blocks_are_transformed_as_by_scipy() -> None:
    block = torch.rand(8, 8)
    transform = light._cosines(torch.device("cpu"))
    expected = torch.from_numpy(scipy.fft.dctn(block.numpy(), norm="ortho"))
    torch.testing.assert_close(transform @ block @ transform.T, expected, rtol=1e-4, atol=1e-4)


def test_compression_keeps_plain_pictures_and_coarsens_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    plain = torch.full((2, 3, 16, 16), 0.5)
    assert (light._compressed(plain, generator) - plain).abs().max() < 0.1
    noise = 0.5 + 0.02 * torch.randn(2, 3, 16, 16, generator=generator)
    assert light._compressed(noise, generator).std() < 0.7 * noise.std()


def test_pictures_of_odd_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 8, got 20 x 16"):
        light._compressed(torch.rand(1, 3, 20, 16), torch.Generator())
