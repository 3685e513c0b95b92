from __future__ import annotations

import colorsys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from visionkit.data.images import ImageError
from visionkit.data.views import ViewSettings, random_view

OFF = ViewSettings(area=(1.0, 1.0), aspect=0, flip=0, light=0, colour=0, blur=0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = rng(seed).integers(40, 216, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def places(height: int, width: int) -> np.ndarray:
    """A picture whose red says the column and whose green says the row, as shares of 255."""
    rows, columns = np.mgrid[:height, :width]
    red, green = columns * 255 / (width - 1), rows * 255 / (height - 1)
    return np.stack([red, green, np.zeros_like(red)], 2).round().astype(np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3), (97, 64), (640, 480)])
def test_every_picture_gives_a_view_of_the_size_asked_for(size: tuple[int, int]) -> None:
    for seed in range(20):
        view = random_view(rng(seed), photo(*size), (32, 48), ViewSettings(blur=1.0))
        assert view.shape == (32, 48, 3)
        assert view.dtype == np.uint8


def test_nothing_switched_on_is_the_picture() -> None:
    image = photo(40, 60)
    np.testing.assert_array_equal(random_view(rng(), image, (40, 60), OFF), image)


def test_the_same_state_gives_the_same_view_and_another_another() -> None:
    image, settings = photo(120, 90), ViewSettings(blur=2.0)
    first, again = (random_view(rng(3), image, (24, 24), settings) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (random_view(rng(4), image, (24, 24), settings) != first).any()


def test_the_source_is_not_changed() -> None:
    image = photo(50, 50)
    before = image.copy()
    random_view(rng(), image, (50, 50), replace(OFF, light=0.9, colour=0.9))
    np.testing.assert_array_equal(image, before)


def test_views_show_as_much_as_is_asked_for_and_reach_every_corner() -> None:
    settings = replace(OFF, area=(0.2, 0.5), aspect=0.3)
    shares, corners = [], []
    for seed in range(400):
        view = random_view(rng(seed), places(200, 200), (20, 20), settings).astype(float) / 255
        left, right = view[10, 0, 0], view[10, -1, 0]
        top, bottom = view[0, 10, 1], view[-1, 10, 1]
        shares.append((right - left) * (bottom - top) * (20 / 19) ** 2)
        corners.append((left, right, top, bottom))
    assert min(shares) > 0.19
    assert max(shares) < 0.53
    assert abs(np.mean(shares) - 0.35) < 0.02  # evenly between least and most
    least, most = np.min(corners, 0), np.max(corners, 0)
    assert least[0] < 0.05
    assert least[2] < 0.05
    assert most[1] > 0.95
    assert most[3] > 0.95


def test_flip_mirrors_its_share_of_views() -> None:
    flipped = 0
    for seed in range(200):
        view = random_view(rng(seed), places(30, 30), (30, 30), replace(OFF, flip=0.25))
        flipped += int(view[0, 0, 0] > view[0, -1, 0])
    assert 25 < flipped < 75  # binomial: 50, four standard deviations of 6.1


def test_light_changes_brightness_and_contrast_only() -> None:
    grey = np.repeat(np.arange(60, 180, 2, dtype=np.uint8)[None, :, None], 60, 0).repeat(3, 2)
    means, slopes = [], []
    for seed in range(100):
        view = random_view(rng(seed), grey, (60, 60), replace(OFF, light=0.3))
        assert np.ptp(view.astype(int), axis=2).max() <= 1  # grey stays grey
        means.append(view.mean() / grey.mean())
        slopes.append((float(view[0, 40, 0]) - view[0, 20, 0]) / 40)
    assert 0.69 < min(means) < 0.78
    assert 1.22 < max(means) < 1.31
    assert 0.48 < min(slopes) < 0.7  # both factors at their least: 0.7 * 0.7
    assert 1.4 < max(slopes) < 1.72


def test_colour_keeps_luma_and_turns_hue_by_no_more_than_asked() -> None:
    plain = np.full((8, 8, 3), (150, 100, 90), np.uint8)
    luma = plain[0, 0] @ [0.299, 0.587, 0.114]
    hue = colorsys.rgb_to_yiq(*plain[0, 0] / 255)[1:]
    turns, strengths = [], []
    for seed in range(200):
        view = random_view(rng(seed), plain, (8, 8), replace(OFF, colour=0.4))[0, 0]
        assert abs(view @ [0.299, 0.587, 0.114] - luma) < 1.5
        shifted = colorsys.rgb_to_yiq(*view / 255)[1:]
        strengths.append(np.hypot(*shifted) / np.hypot(*hue))
        turn = np.degrees(np.arctan2(shifted[1], shifted[0]) - np.arctan2(hue[1], hue[0]))
        turns.append((turn + 180) % 360 - 180)
    assert 0.55 < min(strengths) < 0.7
    assert 1.3 < max(strengths) < 1.45
    assert 30 < max(turns) < 38.5  # 0.4 of a quarter turn is 36 degrees; colours are rounded
    assert -38.5 < min(turns) < -30


def test_blur_smooths_half_of_the_views() -> None:
    noise = rng(5).integers(0, 256, (64, 64, 3), np.uint8)
    spreads = [
        random_view(rng(seed), noise, (64, 64), replace(OFF, blur=3.0)).std() for seed in range(100)
    ]
    sharp = sum(spread > 0.99 * noise.std() for spread in spreads)
    assert 30 < sharp < 70
    assert min(spreads) < 0.2 * noise.std()


def test_a_setting_that_is_off_moves_no_other() -> None:
    image = places(100, 100)
    crop = replace(OFF, area=(0.3, 0.6))
    plain = random_view(rng(9), image, (20, 20), crop)
    lit = random_view(rng(9), image, (20, 20), replace(crop, blur=0.3, flip=1e-9))
    assert np.abs(plain.astype(int) - lit).max() <= 3


@pytest.mark.parametrize("size", [(900, 1200), (1201, 797), (150, 130)])
def test_a_file_gives_the_view_that_its_picture_gives(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    image = photo(*size)
    PillowImage.fromarray(image).save(tmp_path / "a.jpg", quality=95)
    for seed in range(8):
        settings = ViewSettings(light=0.2, colour=0.2)
        from_file = random_view(rng(seed), tmp_path / "a.jpg", (64, 64), settings)
        from_array = random_view(rng(seed), image, (64, 64), settings)
        assert np.abs(from_file.astype(int) - from_array).mean() < 5


def test_bad_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    with pytest.raises(ImageError, match=r"a\.jpg must be a picture"):
        random_view(rng(), tmp_path / "a.jpg", (8, 8), ViewSettings())
    PillowImage.fromarray(photo(50, 50)).save(tmp_path / "b.png")
    with pytest.raises(ImageError, match="more than the limit"):
        random_view(rng(), tmp_path / "b.png", (8, 8), ViewSettings(), max_pixels=100)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"area": (0.0, 1.0)}, "area"),
        ({"area": (0.6, 0.5)}, "area"),
        ({"light": 1.5}, "light"),
        ({"flip": float("nan")}, "flip"),
    ],
)
def test_settings_out_of_range_are_named(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(ViewSettings(), **change)  # type: ignore[arg-type]
