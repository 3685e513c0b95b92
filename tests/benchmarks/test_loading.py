"""The two ways of loading that benchmarks/loading.py compares are of one strength."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from loading import normalised, theirs

REPEATS = 300


def batches(path: Path) -> list[Tensor]:
    """Ours and theirs: (300, 3, 224, 224), small for speed: (300, 3, 28, 28)."""
    found = [load([path] * REPEATS, 0) for load in (normalised, theirs)]
    return [torch.nn.functional.avg_pool2d(batch, 8) for batch in found]


@pytest.fixture
def ramps(tmp_path: Path) -> Path:
    """A grey picture that grows lighter to the right: contrast within says how much is shown."""
    ramp = np.tile(np.linspace(30, 220, 320), (240, 1)).round().astype(np.uint8)
    PillowImage.fromarray(ramp).convert("RGB").save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    coarse = np.random.default_rng(0).integers(60, 200, (3, 4, 3), np.uint8)
    image = cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_LINEAR)
    PillowImage.fromarray(image).save(tmp_path / "b.png")
    return tmp_path / "b.png"


def test_both_show_as_much_and_mirror_as_often(ramps: Path) -> None:
    slopes = [(batch[..., -1] - batch[..., 0]).mean((1, 2)) for batch in batches(ramps)]
    mirrored = [float((slope < 0).float().mean()) for slope in slopes]
    assert mirrored == pytest.approx([0.5, 0.5], abs=0.12)  # four standard deviations
    shown = [slope.abs() for slope in slopes]
    means = [float(each.mean()) for each in shown]
    spreads = [float(each.std()) for each in shown]
    assert means[0] == pytest.approx(means[1], rel=0.1)
    assert spreads[0] == pytest.approx(spreads[1], rel=0.2)


def test_both_change_light_and_colour_as_much(colours: Path) -> None:
    mine, other = batches(colours)
    assert mine.shape == other.shape == (REPEATS, 3, 28, 28)
    light = [batch.mean((1, 2, 3)).std() for batch in (mine, other)]
    assert float(light[0]) == pytest.approx(float(light[1]), rel=0.2)
    tints = [(batch - batch.mean(1, keepdim=True)).mean((2, 3)) for batch in (mine, other)]
    for channel in range(3):
        spread = [float(tint[:, channel].std()) for tint in tints]
        assert spread[0] == pytest.approx(spread[1], rel=0.3)
