"""Augmentation: boxes follow the picture, and the licence trap is told in words."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from visionkit.data.augment import AugmentSettings, augment

NOTHING = AugmentSettings(
    flip=0, scale=0, shift=0, roll=0, perspective=0, light=0, colour=0, blur=0, noise=0, jpeg=100
)


def picture(rows: int = 90, columns: int = 120) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (rows, columns, 3), np.uint8)


def boxes(*rows: tuple[float, float, float, float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, 4)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("given", [None, boxes()], ids=["none given", "empty"])
def test_pictures_without_boxes_stay_without(given: NDArray[np.float32] | None) -> None:
    result = augment(rng(), picture(), given)
    assert result.boxes.shape == (0, 4)
    assert result.boxes.dtype == np.float32
    assert result.kept.shape == (0,)
    assert result.image.shape == (90, 120, 3)
    assert result.image.dtype == np.uint8


def test_with_all_switched_off_nothing_changes() -> None:
    given = boxes((10, 20, 50, 60), (0, 0, 120, 90))
    result = augment(rng(), picture(), given, NOTHING)
    assert np.array_equal(result.image, picture())
    assert result.boxes == pytest.approx(given, abs=1e-3)
    assert result.kept.tolist() == [0, 1]


def test_mirrored_pictures_have_mirrored_boxes() -> None:
    settings = AugmentSettings(**{**vars(NOTHING), "flip": 1.0})
    result = augment(rng(), picture(), boxes((10, 20, 50, 60)), settings)
    assert np.array_equal(result.image, picture()[:, ::-1])
    assert result.boxes == pytest.approx(boxes((70, 20, 110, 60)), abs=1e-3)


def test_pictures_mirrored_top_to_bottom_have_mirrored_boxes() -> None:
    settings = AugmentSettings(**{**vars(NOTHING), "flip_vertical": 1.0})
    result = augment(rng(), picture(), boxes((10, 20, 50, 60)), settings)
    assert np.array_equal(result.image, picture()[::-1])
    assert result.boxes == pytest.approx(boxes((10, 30, 50, 70)), abs=1e-3)


def test_boxes_follow_what_they_are_around() -> None:
    """A bright block on black is found again in the changed picture."""
    settings = AugmentSettings(**{**vars(NOTHING), "scale": 0.3, "shift": 0.1})
    moved = 0
    for seed in range(12):
        image = np.zeros((100, 140, 3), np.uint8)
        image[40:60, 50:90] = 255
        result = augment(rng(seed), image, boxes((50, 40, 90, 60)), settings)
        rows, columns = np.nonzero(result.image.min(2) > 190)
        expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert result.boxes[0] == pytest.approx(expected, abs=1.6), seed
        moved += not np.allclose(result.boxes[0], (50, 40, 90, 60), atol=1)
    assert moved > 6


def test_boxes_that_leave_the_picture_are_dropped_and_named() -> None:
    settings = AugmentSettings(**{**vars(NOTHING), "shift": 0.5, "min_visible": 0.9})
    given = boxes((0, 0, 12, 12), (60, 40, 70, 50), (108, 78, 120, 90))
    dropped = 0
    for seed in range(12):
        result = augment(rng(seed), picture(), given, settings)
        assert len(result.boxes) == len(result.kept)
        assert set(result.kept.tolist()) <= {0, 1, 2}
        assert (result.boxes[:, :2] >= 0).all()
        assert (result.boxes[:, 2:] <= (120, 90)).all()
        dropped += 3 - len(result.kept)
    assert dropped > 0


def test_the_same_state_gives_the_same_picture() -> None:
    first, again, other = (augment(rng(seed), picture()).image for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((2, 5), np.float32), r"boxes must be \(N, 4\) xyxy, got \(2, 5\)"),
        (boxes((0, 0, 5, 5), (9, 9, 9, 20)), r"got \[9.0, 9.0, 9.0, 20.0\] \[box 1\]"),
    ],
)
def test_wrong_boxes_are_refused(given: NDArray[np.float32], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        augment(rng(), picture(), given)


@pytest.mark.parametrize(
    ("name", "value"),
    [("flip", 1.5), ("flip_vertical", -1), ("scale", -0.1), ("jpeg", 0), ("perspective", 0.6)],
)
def test_wrong_settings_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} of the augmentation"):
        AugmentSettings(**{name: value})  # type: ignore[arg-type]


def test_missing_albumentations_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with pytest.raises(ImportError, match=r"pip install albumentations==2\.0\.8"):
        augment(rng(), picture(), settings=AugmentSettings(roll=1.25))


def test_the_agpl_successor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    successor = ModuleType("albumentations")
    successor.__version__ = "2.5.1"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "albumentations", successor)
    with pytest.raises(ImportError, match=r"must be 2\.0\.8.*got 2\.5\.1.*AGPL"):
        augment(rng(), picture(), settings=AugmentSettings(roll=1.75))
