"""What the next value of a series should be, by the method that foresaw its own past best.

The ladder: the value of one season ago; exponential smoothing and ARIMA whose form the data choose
(AutoETS and AutoARIMA of statsforecast; Hyndman and Khandakar, "Automatic Time Series Forecasting:
The forecast Package for R", JSS 2008). Each has to foresee the last part of the past, value by
value, from what came before. A step up the ladder is taken only where its mean error was smaller by
more than the standard error of the difference (the one-standard-error rule of Breiman et al.,
"Classification and Regression Trees", 1984, section 3.4.3): what is better by luck alone stays out.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from visionkit.evaluation.outcomes import FloatArray

LEAST_TESTED = 10
"""Values of the past that are foreseen to choose a method, at least."""
_TESTED = 4  # a quarter of a long past is foreseen
_MOST_TESTED = 40
_LONGEST = 200  # values that are learned from: what lies far back says little, and takes long
_LEAST_LEARNED = 10  # values: of fewer AutoETS says that it can't
_LONGEST_SEASON = 200  # values: longer ones take AutoARIMA minutes, and AutoETS fails on some
SEASONAL_NAIVE = "seasonal naive"

Next = Callable[[FloatArray], float]
"""(N,) values in their order -> the next one."""
Method = Callable[[FloatArray], Next]
"""(N,) values to learn from -> what foresees the value after these or after more of them."""


@dataclass(frozen=True)
class Forecast:
    """The next value of a series.

    Attributes:
        value: as foreseen.
        low, high: between which it lies, but for the chance that was asked for.
        method: the name of what foresaw it.
        errors: method -> mean absolute error on the part of the past that was foreseen.
    """

    value: float
    low: float
    high: float
    method: str
    errors: Mapping[str, float]


def has_ladder() -> bool:
    """Whether statsforecast is there; without it all is foreseen by the value of a season ago."""
    return importlib.util.find_spec("statsforecast") is not None


def next_value(
    values: FloatArray, *, season: int = 7, chance: float = 0.01, least: float = 0.0
) -> Forecast | None:
    """The forecast; None where the past is shorter than two seasons and ten values.

    Args:
        values: (N,) finite, in their order, at even distances.
        season: values after which the series is alike; 1 where it has no season.
        chance: 0..1 that a value lies outside though the series goes on as before. It is that of
            Student's t with the errors on the past, and no error there is called far off where
            it is less than one of so many. Errors with heavier tails make it larger.
        least: half the width between low and high at least.

    Raises:
        ValueError: the season is below 1, or a value is not finite.
    """
    if season < 1:
        raise ValueError(f"season must be at least one value, got {season}")
    if not np.isfinite(values).all():
        raise ValueError(f"values must be finite, got {values[~np.isfinite(values)][0]}")
    if len(values) < 2 * season + LEAST_TESTED:
        return None
    values = values[-max(_LONGEST, 4 * season) :]
    ladder = methods(season)
    first = len(values) - max(LEAST_TESTED, min(len(values) // _TESTED, _MOST_TESTED))
    if first < _LEAST_LEARNED or season > _LONGEST_SEASON:
        ladder = {SEASONAL_NAIVE: ladder[SEASONAL_NAIVE]}
    missed = {name: _missed(method, values, first) for name, method in ladder.items()}
    errors = {name: float(np.abs(off).mean()) for name, off in missed.items()}
    best = _chosen({name: np.abs(off) for name, off in missed.items()})
    value = ladder[best](values)(values)
    off = missed[best]
    width = float(stats.t.ppf(1 - chance / 2, len(off))) * math.sqrt(float((off**2).mean()))
    largest = float(np.abs(off).max())
    if chance < 1 / (len(off) + 1):  # less than so few errors can tell: not below any of them
        width = max(width, largest)
    width = max(width, least)
    low = value - width
    return Forecast(value, max(low, 0.0) if values.min() >= 0 else low, value + width, best, errors)


def methods(season: int) -> dict[str, Method]:
    """Name -> method, the plainest first: all that are there."""
    ladder: dict[str, Method] = {SEASONAL_NAIVE: lambda _: lambda values: float(values[-season])}
    return ladder | _of_statsforecast(season) if has_ladder() else ladder


def _missed(method: Method, values: FloatArray, first: int) -> FloatArray:
    """(N - first,) values from the first on, less what was foreseen from all before each.

    What is learned is learned once, from all before the first.
    """
    foresee = method(values[:first])
    return np.array([values[at] - foresee(values[:at]) for at in range(first, len(values))])


def _chosen(errors: Mapping[str, FloatArray]) -> str:
    """The step of the ladder that is worth it, by (T,) errors on the past, the plainest first."""
    best, *higher = errors
    for name in higher:
        gain = errors[best] - errors[name]
        if gain.mean() > gain.std(ddof=1) / math.sqrt(len(gain)):
            best = name
    return best


def _of_statsforecast(season: int) -> dict[str, Method]:
    from statsforecast.models import AutoARIMA, AutoETS

    # Orders up to 3 with approximate likelihoods: of 200 sunspot numbers in 0.2 s, not 4.6 s.
    small = {"approximation": True, "max_p": 3, "max_q": 3, "max_P": 1, "max_Q": 1}

    def of(kind: type, **options: object) -> Method:
        def learn(past: FloatArray) -> Next:
            with warnings.catch_warnings():
                # Of fits that don't converge: the past says what they are worth.
                warnings.simplefilter("ignore")
                model = kind(season_length=season, **options).fit(np.array(past, np.float64))

            def foresee(values: FloatArray) -> float:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = model.forward(y=np.array(values, np.float64), h=1)
                value = float(found["mean"][0])
                return value if math.isfinite(value) else float(values[-season])

            return foresee

        return learn

    return {"AutoETS": of(AutoETS), "AutoARIMA": of(AutoARIMA, **small)}
