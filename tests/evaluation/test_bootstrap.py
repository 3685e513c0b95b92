from __future__ import annotations

import math

import numpy as np
import pytest

from visionkit.evaluation.bootstrap import interval, picture_weights


def test_no_rounds_no_pictures_or_only_nan_give_no_interval() -> None:
    for figures, pictures in [(np.zeros(0), 3), (np.full(5, np.nan), 3), (np.ones(5), 0)]:
        made = interval(figures, pictures=pictures)
        assert math.isnan(made.low)
        assert math.isnan(made.high)


def test_each_round_draws_as_many_pictures_as_there_are() -> None:
    weights = picture_weights(7, rounds=50, seed=1)
    assert weights.shape == (50, 7)
    np.testing.assert_array_equal(weights.sum(axis=1), 7)
    np.testing.assert_array_equal(weights, picture_weights(7, rounds=50, seed=1))
    assert picture_weights(0, rounds=3).shape == (3, 0)


def test_the_middle_of_the_rounds() -> None:
    made = interval(np.arange(101) / 100, pictures=9, level=0.9)
    assert (made.low, made.high) == (pytest.approx(0.05), pytest.approx(0.95))


@pytest.mark.parametrize(
    ("figure", "rate", "low", "high"),
    [
        # 7 pictures without one failure: (1 - p) ** 7 = 0.025 at p = 0.4096.
        (0.0, False, 0.0, 0.4096),
        (1.0, False, 0.5904, 1.0),
        # Silent in 7 pictures: exp(-7 rate) = 0.025 at 0.5270.
        (0.0, True, 0.0, 0.5270),
        # One false alarm on every picture in every round is no limit of a rate.
        (1.0, True, 1.0, 1.0),
    ],
    ids=["never", "always", "silent", "rate of one"],
)
def test_all_or_nothing_is_bounded_by_the_number_of_pictures(
    figure: float, rate: bool, low: float, high: float
) -> None:
    made = interval(np.full(100, figure), pictures=7, rate=rate)
    assert made.low == pytest.approx(low, abs=1e-4)
    assert made.high == pytest.approx(high, abs=1e-4)
