"""Each property says what it is named for, and stays where another one changes."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import simplejpeg

from tests.worlds import photo
from visionkit.monitoring.properties import PROPERTIES, picture_properties
from visionkit.types import Image


def of(image: Image) -> dict[str, float]:
    return dict(zip(PROPERTIES, picture_properties(image).tolist(), strict=True))


def squeezed(image: Image) -> Image:
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(image, quality=10))


def tinted(image: Image) -> Image:
    return np.clip(image.astype(np.int16) + (30, 0, -30), 0, 255).astype(np.uint8)


CHANGES: list[tuple[str, Callable[[Image], Image], float]] = [
    ("brightness", lambda image: (image * 0.7).astype(np.uint8), -1),
    ("contrast", lambda image: (image // 2 + 64).astype(np.uint8), -1),
    ("sharpness", lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), np.uint8), -1),
    ("saturation", lambda image: np.repeat(image[..., :1], 3, axis=2), -1),
    ("red_green", tinted, 1),
    ("blue_yellow", tinted, 1),
    ("blocks", squeezed, 1),
    ("size", lambda image: np.repeat(image, 2, axis=0), 1),
    ("aspect", lambda image: np.repeat(image, 2, axis=1), 1),
]


@pytest.mark.parametrize(("name", "change", "sign"), CHANGES, ids=[name for name, _, _ in CHANGES])
def test_a_change_shows_in_its_property(
    name: str, change: Callable[[Image], Image], sign: float
) -> None:
    for seed in range(3):
        image = photo(seed, 160, 224)
        before, after = of(image)[name], of(np.ascontiguousarray(change(image)))[name]
        assert sign * (after - before) > 0.05 * max(abs(before), 0.1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (8, 8), (700, 600)])
@pytest.mark.parametrize("level", [0, 255])
def test_flat_and_tiny_pictures_have_finite_properties(shape: tuple[int, int], level: int) -> None:
    values = picture_properties(np.full((*shape, 3), level, np.uint8))
    assert values.shape == (len(PROPERTIES),)
    assert np.isfinite(values).all()
    assert values[2] == pytest.approx(level / 255, abs=1e-3)
