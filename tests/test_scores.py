"""Scores in words: what differs reads different, and only 1 reads as 1."""

from __future__ import annotations

import math

import numpy as np
import pytest

from visionkit.scores import score_text


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (math.nan, "–"),
        (math.inf, "–"),
        (0.0, "0.00"),
        (0.834, "0.83"),
        (0.9, "0.90"),
        (0.98996, "0.99"),
        (0.99, "0.9900"),
        (0.9973, "0.9973"),
        (0.99899, "0.9990"),
        (0.99945, "0.99945"),
        (0.99998, "0.999980"),
        (1 - 1e-9, "0.999999"),
        (1.0, "1.00"),
    ],
)
def test_two_digits_stand_after_the_nines(score: float, text: str) -> None:
    assert score_text(score) == text


def test_only_one_reads_as_one() -> None:
    below = np.nextafter(np.float32(1), np.float32(0))
    for score in (*np.linspace(0, 0.999, 500), *(1 - np.logspace(-16, -2, 200)), below):
        assert (float(score_text(score)) == 1) == (score == 1)


@pytest.mark.parametrize(
    ("score", "beside", "text"),
    [
        (0.8341, 0.8341, "0.83"),
        (0.8341, 0.5, "0.83"),
        (0.8341, 0.8339, "0.8341"),
        (0.8339, 0.8341, "0.8339"),
        (0.8341, 0.834100001, "0.834100"),
        (0.9973, 0.9974, "0.9973"),
        (0.99731, 0.99734, "0.99731"),
        (0.83, math.inf, "0.83"),
    ],
    ids=[
        "the same", "far", "a little more", "a little less", "a hair", "high", "high and close",
        "a threshold that nothing reaches",
    ],
)  # fmt: skip
def test_what_it_is_compared_with_reads_different(score: float, beside: float, text: str) -> None:
    assert score_text(score, beside=beside) == text
