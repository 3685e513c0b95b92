"""Marks drawn from nothing: whole, cut to their ink, repeatable, and different from each other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from visionkit.data import lettering, shapes
from visionkit.data.drawn import draw_mark


def mark(seed: int, size: int = 48) -> NDArray[np.uint8]:
    return draw_mark(np.random.default_rng(seed), size)


def area(shape: shapes.Shape) -> float:
    """By the shoelace formula, outline by outline."""
    return sum(
        abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))) / 2
        for x, y in (p.T for p in shape)
    )


def test_a_mark_too_small_to_see_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 pixels, got 15"):
        draw_mark(np.random.default_rng(0), 15)


@pytest.mark.parametrize("size", [16, 63, 256])
def test_a_mark_is_rgba_of_the_size_asked_for(size: int) -> None:
    drawn = mark(1, size)
    assert drawn.dtype == np.uint8
    assert drawn.shape[2] == 4
    assert max(drawn.shape[:2]) == size


def test_marks_are_cut_to_their_ink() -> None:
    for seed in range(40):
        alpha = mark(seed)[..., 3]
        rims = (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1])
        assert all(rim.max() > 0 for rim in rims), seed
        assert (alpha > 127).mean() > 0.02, seed


def test_marks_have_more_than_one_look_at_each_place() -> None:
    """None is a filled outline of one colour, which could be told from nothing."""
    for seed in range(60):
        drawn = mark(seed).astype(float)
        opaque = drawn[drawn[..., 3] > 250][:, :3]
        filled = (drawn[..., 3] > 127).mean() > 0.93
        assert not filled or opaque.std(0).max() > 10, seed


def test_the_same_seed_gives_the_same_mark() -> None:
    assert np.array_equal(mark(7), mark(7))


def test_every_seed_gives_another_mark() -> None:
    looks = []
    for seed in range(60):
        drawn = mark(seed).astype(float)
        alpha = drawn[..., 3:] / 255
        looks.append(cv2.resize(128 + (drawn[..., :3] - 128) * alpha, (24, 24)))
    for first in range(len(looks)):
        for second in range(first):
            assert np.abs(looks[first] - looks[second]).mean() > 5, (first, second)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (shapes.circle(), np.pi),
        (shapes.box(0.5, 0.25), 0.5),
        (shapes.polygon(4), 2.0),
        (shapes.cross(0.5), 3.0),
        (shapes.scaled(shapes.box(1, 1), 0.5), 1.0),
        (shapes.box(1, 1, 1.0), np.pi),
        (shapes.repeated(shapes.box(1, 1), 3, reach=0.7, size=0.1), 0.12),
    ],
    ids=["circle", "box", "square", "cross", "half the size", "rounded to a circle", "three boxes"],
)
def test_shapes_have_the_area_they_should(shape: shapes.Shape, expected: float) -> None:
    assert area(shape) == pytest.approx(expected, rel=0.01)


def test_turning_is_clockwise_as_seen() -> None:
    right = [np.array([[1.0, 0.0]])]
    assert shapes.turned(right, np.pi / 2)[0] == pytest.approx(np.array([[0.0, 1.0]]), abs=1e-9)


def test_a_smooth_blob_goes_through_its_radii() -> None:
    radii = np.array([0.5, 0.9, 0.6, 0.8, 0.7, 0.55])
    outline = shapes.blob(radii, mirrored=False)[0]
    found = np.linalg.norm(outline, axis=1)[:: len(outline) // 6]
    assert found == pytest.approx(radii, abs=1e-6)


def test_a_fitted_shape_fills_the_square() -> None:
    shape = shapes.fitted(shapes.moved(shapes.box(3, 1), 5, 5))
    points = np.concatenate(shape)
    assert points.min(0) == pytest.approx([-1, -1 / 3])
    assert points.max(0) == pytest.approx([1, 1 / 3])


def test_random_shapes_stay_near_the_square() -> None:
    for seed in range(300):
        points = np.concatenate(shapes.random_shape(np.random.default_rng(seed)))
        assert np.isfinite(points).all(), seed
        assert np.abs(points).max() < 1.45, seed  # a turned square's corner reaches 1.41
        assert np.ptp(points, axis=0).max() > 0.5, seed


@pytest.mark.parametrize("font", lettering.FONTS, ids=lambda name: name or "Pillow's own")
def test_every_font_sets_text_cut_to_its_ink(font: str) -> None:
    mask = lettering.text_mask("Ab", font)
    assert mask.dtype == np.uint8
    assert mask[0].any()
    assert mask[-1].any()
    assert mask[:, 0].any()
    assert mask[:, -1].any()


def test_spaced_text_is_wider() -> None:
    font = lettering.FONTS[0]
    plain, wide = (lettering.text_mask("oooo", font, spacing=gap).shape[1] for gap in (0, 0.5))
    assert wide - plain == pytest.approx(3 * 72, abs=2)  # three gaps of half an em of 144 pixels


@pytest.mark.parametrize("above", [True, False])
def test_arched_text_lies_on_its_half_of_the_circle(above: bool) -> None:
    mask = lettering.arched_mask("OO", lettering.FONTS[0], size=200, radius=0.7, above=above)
    rows, columns = np.nonzero(mask > 127)
    assert ((rows < 100) if above else (rows > 100)).all()
    distances = np.hypot(rows - 99.5, columns - 99.5) / 100
    assert distances.mean() == pytest.approx(0.7, abs=0.03)
    assert columns.mean() == pytest.approx(99.5, abs=2)


def test_words_are_repeatable_and_many() -> None:
    words = [lettering.random_text(np.random.default_rng(seed))[0] for seed in range(100)]
    assert words == [lettering.random_text(np.random.default_rng(seed))[0] for seed in range(100)]
    assert len(set(words)) > 90
