"""The stated rate of false finds on real photos; skipped where the shared data is not there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from visionkit.data.images import read_image
from visionkit.data.picture_files import find_images
from visionkit.inference.predictor import Predictor
from visionkit.matching.calibration import logit
from visionkit.matching.finder import FinderSettings
from visionkit.matching.gallery import View, make_view
from visionkit.matching.pyramid import PyramidSettings
from visionkit.types import Image

RATE = 0.1
ITEMS, BACKGROUNDS = 8, 24


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> list[Image]:
    paths = find_images(shared_data.parent / "pretrain" / "photos_imagenet_sample")
    return [read_image(paths[index]) for index in np.random.default_rng(0).permutation(220)]


@pytest.fixture(scope="module")
def predictor(photos: list[Image]) -> Predictor:
    """Things in photos, calibrated on other photos."""
    backgrounds = photos[ITEMS : ITEMS + BACKGROUNDS]
    settings = FinderSettings(
        pyramid=PyramidSettings(max_upscale=1.0), use_geometry=False, false_alarm_rate=RATE
    )  # a third of the time
    made = Predictor.create(background=backgrounds, settings=settings, device="cpu")
    made.finder.add([centre(f"item {n}", photo) for n, photo in enumerate(photos[:ITEMS])])
    return made


def centre(item: str, photo: Image) -> View:
    """A view of what is in the middle of a photo."""
    height, width = photo.shape[:2]
    return make_view(item, photo, box=(width / 4, height / 4, 3 * width / 4, 3 * height / 4))


def tiled(photos: Sequence[Image]) -> Image:
    """(540, 540, 3) uint8: the middles of nine photos."""
    middles = [
        photo[(photo.shape[0] - 180) // 2 :, (photo.shape[1] - 180) // 2 :][:180, :180]
        for photo in photos
    ]
    return np.concatenate([np.concatenate(middles[n : n + 3], 1) for n in (0, 3, 6)])


def best_odds(predictor: Predictor, scenes: Sequence[Image]) -> float:
    """Mean over scenes and items of the log odds of an item's best find."""
    odds = []
    for scene in scenes:
        found = predictor.finder.find(scene, rivals=True)
        _, first = np.unique(found.class_id, return_index=True)  # the best first
        odds += logit(found.confidence[first]).tolist()
    return float(np.mean(odds))


def test_as_many_pictures_have_a_false_find_as_stated(
    predictor: Predictor, photos: list[Image]
) -> None:
    others = photos[ITEMS + BACKGROUNDS :][:80]
    false = sum(len(predictor.find(photo)) > 0 for photo in others)
    measured = stats.binomtest(false, len(others)).proportion_ci(0.99)
    assert measured.low <= RATE <= measured.high, (false, measured)


def test_larger_pictures_fit_no_better(predictor: Predictor, photos: list[Image]) -> None:
    wide = [photo for photo in photos[ITEMS + BACKGROUNDS :] if min(photo.shape[:2]) >= 180]
    scenes = [tiled(wide[start : start + 9]) for start in range(0, 12 * 9, 9)]
    parts = wide[: 12 * 9 : 3]
    difference = best_odds(predictor, scenes) - best_odds(predictor, parts)
    assert difference == pytest.approx(0, abs=0.5)
