from __future__ import annotations

import numpy as np
import pytest
import torch

from visionkit.training.mixing import MixSettings, mix

# Picture n is n all over and of class n, so that what a mixture is made of can be read off.
IMAGES = torch.arange(6.0)[:, None, None, None].expand(6, 3, 8, 10)
SHARES = torch.eye(6)


def mixed(settings: MixSettings, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return mix(IMAGES, SHARES, settings, np.random.default_rng(seed))


def test_nothing_is_mixed_by_default() -> None:
    images, shares = mixed(MixSettings(), 0)
    assert images is IMAGES
    assert shares is SHARES


@pytest.mark.parametrize("seed", range(5))
def test_mixup_lays_pictures_over_one_another_as_their_truth(seed: int) -> None:
    images, shares = mixed(MixSettings(mixup=1.0, strength=1.0), seed)
    torch.testing.assert_close(images[:, 0, 3, 3], shares @ torch.arange(6.0))
    torch.testing.assert_close(shares.sum(1), torch.ones(6))
    assert float(images.flatten(1).std(1).max()) < 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_counts_the_pixels(seed: int) -> None:
    images, shares = mixed(MixSettings(cutmix=1.0, strength=1.0), seed)
    for n in range(6):
        values = images[n, 0].flatten().tolist()
        for k in range(6):
            assert values.count(float(k)) / 80 == pytest.approx(float(shares[n, k]), abs=1e-5)


def test_both_by_their_share() -> None:
    settings = MixSettings(mixup=0.3, cutmix=0.2)
    kinds = {"mixup": 0, "cutmix": 0, "none": 0}
    for seed in range(400):
        images, _ = mixed(settings, seed)
        if images is IMAGES:
            kinds["none"] += 1
        else:
            flat = all(float(image.std()) < 1e-6 for image in images)
            whole = bool((images == images.round()).all())
            kinds["cutmix" if whole and not flat else "mixup"] += 1
    assert kinds["none"] == pytest.approx(200, abs=40)
    assert kinds["mixup"] > kinds["cutmix"] > 30


def test_an_empty_batch() -> None:
    images, shares = mix(
        torch.zeros(0, 3, 8, 8),
        torch.zeros(0, 4),
        MixSettings(mixup=0.5, cutmix=0.5),
        np.random.default_rng(0),
    )
    assert (len(images), len(shares)) == (0, 0)


@pytest.mark.parametrize(
    "options", [{"mixup": 0.6, "cutmix": 0.6}, {"mixup": -0.1}, {"strength": 0.0}]
)
def test_settings_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        MixSettings(**options)
