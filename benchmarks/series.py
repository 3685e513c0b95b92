"""Series that counts are foreseen on: published ones, and moving things counted in the clips.

Published, and shipped with packages: yearly sunspots (SILSO through statsmodels), carbon dioxide
on Mauna Loa by month (Keeling and Whorf, through statsmodels), passengers of airlines by month (Box
and Jenkins, through statsforecast). The clips have no labels; counted are blobs that move against a
background (MOG2), of at least a thousandth of the picture, on average over half seconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import cv2
import numpy as np
from ledger import Ledger
from numpy.typing import NDArray
from sets import SHARED

from visionkit.inference.video.reader import read_frames
from visionkit.monitoring.forecast import SEASONAL_NAIVE, methods, next_value

CLIPS = ("car-detection", "bottle-detection")  # the others are too short
_SECONDS = 0.5
_LEAST_BLOB = 1e-3  # of the picture


@dataclass(frozen=True)
class Series:
    """Values at even distances, and after how many they are alike."""

    name: str
    values: NDArray[np.float64]
    season: int


@dataclass(frozen=True)
class BackTest:
    """What was foreseen of the last values, each from all before it.

    Attributes:
        chosen, naive: mean absolute error of the ladder's choice and of the value of a season ago.
        outside: values that were told to be far off, of `tested`.
        methods: how often each method was chosen.
    """

    chosen: float
    naive: float
    outside: int
    tested: int
    methods: dict[str, int]


def all_series() -> list[Series]:
    """Published ones first."""
    from statsforecast.utils import AirPassengers
    from statsmodels.datasets import co2, sunspots

    months = co2.load_pandas().data["co2"].resample("MS").mean().interpolate()
    published = [
        Series("sunspots, yearly", sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(float), 11),
        Series("carbon dioxide, monthly", months.to_numpy(float), 12),
        Series("air passengers, monthly", np.asarray(AirPassengers, np.float64), 12),
    ]
    return published + [Series(f"moving things, {clip}", counted(clip), 1) for clip in CLIPS]


def counted(clip: str) -> NDArray[np.float64]:
    """(N,) moving things a frame, by half seconds; the first one, which begins blind, left out."""
    file = next((SHARED / "data" / "video").glob(f"{clip}.*"))
    background = cv2.createBackgroundSubtractorMOG2(detectShadows=False)
    bins: dict[int, list[int]] = {}
    for frame in read_frames(file.as_posix()):
        moving = cv2.morphologyEx(background.apply(frame.image), cv2.MORPH_OPEN, np.ones((5, 5)))
        _, _, stats, _ = cv2.connectedComponentsWithStats(moving)
        large = stats[1:, cv2.CC_STAT_AREA] >= _LEAST_BLOB * moving.size
        bins.setdefault(int(frame.time / _SECONDS), []).append(int(large.sum()))
    return np.array([np.mean(bins[number]) for number in sorted(bins)[1:]])


def back_test(series: Series, tested: int) -> BackTest:
    """Foresees the last values, choosing anew for each from what came before it."""
    values, season = series.values, series.season
    naive = methods(season)[SEASONAL_NAIVE]
    off, naive_off, outside, chosen = [], [], 0, dict[str, int]()
    for at in range(len(values) - tested, len(values)):
        past = values[:at]
        forecast = next_value(past, season=season)
        if forecast is None:
            raise ValueError(f"{series.name} must have a longer past than {at} values")
        off.append(abs(values[at] - forecast.value))
        naive_off.append(abs(values[at] - naive(past)(past)))
        outside += not forecast.low <= values[at] <= forecast.high
        chosen[forecast.method] = chosen.get(forecast.method, 0) + 1
    return BackTest(float(np.mean(off)), float(np.mean(naive_off)), outside, tested, chosen)


def forecasts(ledger: Ledger, most: int) -> None:
    """Counts foreseen by the ladder, against those of a season ago."""
    tests = []
    for series in all_series():
        start = time.monotonic()
        test = back_test(series, min(len(series.values) // 3, most))
        tests.append(test)
        ledger.add(
            f"forecast, {series.name}: error by seasonal naive's",
            test.chosen / test.naive,
            at_most=1.0,
            note=f"last {test.tested} of {len(series.values)}, season {series.season}, "
            f"{test.methods}, {(time.monotonic() - start) / test.tested:.2f} s each",
        )
    steady(ledger)
    share = sum(test.outside for test in tests) / sum(test.tested for test in tests)
    ledger.add("forecast, values told to be far off, share", share, note="0.01 was asked for")


def steady(ledger: Ledger, draws: int = 300) -> None:
    """Counts that go on as before: how often the next one is told to be far off."""
    rng = np.random.default_rng(0)
    for length in (30, 100):
        outside = 0
        for _ in range(draws):
            *past, now = rng.poisson(20, length + 1).astype(np.float64)
            forecast = next_value(np.array(past), season=7)
            outside += forecast is not None and not forecast.low <= now <= forecast.high
        ledger.add(
            f"forecast, steady counts after {length}, told to be far off",
            outside / draws,
            note=f"{draws} draws of Poisson counts of 20, season 7; 0.01 was asked for",
        )
