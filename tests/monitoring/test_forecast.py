"""The next value of a series: by the method that foresaw its past best, with room for chance."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from visionkit.monitoring import forecast
from visionkit.monitoring.forecast import SEASONAL_NAIVE, next_value


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where statsforecast is not installed."""
    monkeypatch.setattr(forecast, "has_ladder", lambda: False)


def week(count: int, *, noise: float = 0.0) -> NDArray[np.float64]:
    """A series that repeats every seven values."""
    rng = np.random.default_rng(0)
    return np.tile([5.0, 9, 9, 9, 12, 30, 28], 9)[:count] + rng.normal(0, noise, count)


@pytest.mark.usefixtures("alone")
def test_a_week_is_foreseen_by_the_week_before() -> None:
    found = next_value(week(40))
    assert found is not None
    assert (found.value, found.method) == (week(41)[40], SEASONAL_NAIVE)
    assert found.low == found.value == found.high
    assert found.errors == {SEASONAL_NAIVE: 0.0}


@pytest.mark.usefixtures("alone")
def test_the_width_is_that_of_the_errors_on_the_past() -> None:
    values = week(41, noise=1.0)
    found = next_value(values[:40], chance=0.02)
    assert found is not None
    # 40 values: the last ten are foreseen, each by the one seven before.
    off = values[30:40] - values[23:33]
    width = stats.t(10).ppf(0.99) * np.sqrt((off**2).mean())
    assert found.value == values[33]
    assert (found.low, found.high) == pytest.approx((values[33] - width, values[33] + width))
    assert found.low < values[40] < found.high
    assert not found.low < values[40] + 20 < found.high


@pytest.mark.usefixtures("alone")
def test_an_error_as_large_as_one_of_the_past_is_not_far_off() -> None:
    values = np.zeros(40)
    values[35] = 9.0  # foreseen wrongly itself, and by it the value after
    found = next_value(values, season=1, chance=0.05)
    assert found is not None
    # Two errors of 9 in ten: Student's t has 2.23 times 4.02, which is 8.97.
    assert found.high == 9.0


@pytest.mark.usefixtures("alone")
def test_counts_are_never_foreseen_below_zero_and_have_the_least_width() -> None:
    found = next_value(np.zeros(24), least=0.5)
    assert found is not None
    assert (found.low, found.value, found.high) == (0.0, 0.0, 0.5)


@pytest.mark.parametrize("count", [0, 1, 23])
def test_a_short_series_foresees_nothing(count: int) -> None:
    assert next_value(week(count)) is None


@pytest.mark.parametrize("season", [1, 2, 3, 4])
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_the_shortest_past_that_foresees_is_none_that_no_method_learns_from(
    season: int, value: float
) -> None:
    rng = np.random.default_rng(0)
    for count in range(2 * season + 10, 2 * season + 22):
        assert next_value(rng.poisson(3, count).astype(np.float64), season=season) is not None
        found = next_value(np.full(count, value), season=season, least=0.5)
        assert found is not None
        assert (found.low, found.high) == pytest.approx((max(value - 0.5, 0), value + 0.5))


def test_a_season_that_is_too_long_for_other_methods_is_foreseen_by_the_one_before() -> None:
    quarters_of_an_hour = np.tile(np.arange(672.0), 3)[:1400]
    found = next_value(quarters_of_an_hour, season=672)
    assert found is not None
    assert (found.value, found.method) == (1400 - 2 * 672, SEASONAL_NAIVE)


def test_hopeless_input_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        next_value(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="season"):
        next_value(week(40), season=0)


def test_a_higher_step_of_the_ladder_is_taken_where_it_foresaw_better() -> None:
    pytest.importorskip("statsforecast")
    rising = 3.0 * np.arange(40) + week(40, noise=0.3)
    found = next_value(rising)
    assert found is not None
    assert found.method != SEASONAL_NAIVE  # it lags a week behind: 21
    assert found.errors[found.method] < 5 < found.errors[SEASONAL_NAIVE]
    assert found.value == pytest.approx(3.0 * 40 + week(41)[40], abs=3)


def test_what_was_better_by_luck_alone_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two methods: the last value, and one that is right in a few steps and a little worse else."""
    values = np.tile([1.0, 2.0], 20)

    def ladder(lucky: int) -> dict[str, forecast.Method]:
        def foresee(past: NDArray[np.float64]) -> float:
            coming = 3 - past[-1]
            right = len(past) >= len(values) - lucky
            return float(coming if right else past[-1] - 0.01 * (coming - past[-1]))

        return {SEASONAL_NAIVE: lambda _: lambda past: float(past[-1]), "lucky": lambda _: foresee}

    # Gains of ten steps: one 1 and nine -0.01 have the mean 0.091 and the standard error 0.101.
    for lucky, method in ((1, SEASONAL_NAIVE), (3, "lucky")):
        monkeypatch.setattr(forecast, "methods", lambda season, lucky=lucky: ladder(lucky))
        found = next_value(values, season=1)
        assert found is not None
        assert found.method == method


def test_what_repeats_to_the_last_bit_stays_with_the_plainest_method() -> None:
    pytest.importorskip("statsforecast")
    found = next_value(week(40))
    assert found is not None
    assert found.method == SEASONAL_NAIVE
