"""Comparisons over time: kept in order, with the band worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from visionkit.monitoring.comparison import Comparison
from visionkit.monitoring.observed import Observed
from visionkit.monitoring.windows import (
    Window,
    add_window,
    bands_of,
    read_windows,
    window_chart,
    window_of,
)


def seen(values: list[float]) -> Observed:
    names = tuple(str(number) for number in range(len(values)))
    numbers = {"picture.brightness": np.array(values), "truth.right": np.ones(len(values))}
    return Observed(names, np.ones((len(values), 2), np.float32), numbers)


def test_windows_are_kept_in_order(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert read_windows(path) == []
    comparison = Comparison("watch", (), 0.05, (3, 2))
    first = window_of(comparison, None, seen([0.2, 0.4, float("nan")]), time="monday")
    assert first.means == {"picture.brightness": pytest.approx(0.3)}
    second = Window("tuesday", "fine", 0.5, 3, 0.9)
    assert add_window(path, first) == [first]
    assert add_window(path, second) == [first, second]
    assert read_windows(path) == [first, second]


@pytest.mark.parametrize(("season", "kept"), [(7, 500), (168, 672), (672, 2688)])
def test_so_many_windows_are_kept_that_seasons_can_be_told(
    season: int, kept: int, tmp_path: Path
) -> None:
    path = tmp_path / "history.jsonl"
    add_window(path, Window("first", "fine", 0.5, 3))
    path.write_text(path.read_text("utf-8") * 2800, "utf-8")
    windows = add_window(path, Window("last", "fine", 0.5, 3), season=season)
    assert windows == read_windows(path)
    assert len(windows) == kept
    assert windows[-1].time == "last"


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    add_window(path, Window("monday", "fine", 0.5, 3))
    path.write_text(path.read_text("utf-8") + "{}\n", "utf-8")
    with pytest.raises(ValueError, match="line 2"):
        read_windows(path)


def test_the_band_is_that_of_two_means() -> None:
    band = bands_of(seen([0.0, 1.0, 2.0, 3.0]), 16)["picture.brightness"]
    error = np.sqrt(5 / 3) * np.sqrt(1 / 16 + 1 / 4)  # variance 5/3 with n - 1
    assert (band.low, band.high) == pytest.approx((1.5 - 1.96 * error, 1.5 + 1.96 * error))


def test_a_chart_has_a_point_a_window_that_knows_the_measure() -> None:
    windows = [
        Window("a<b", "fine", 0.5, 3, means={"size": 1.0}),
        Window("c", "fine", 0.5, 3),
        Window("d", "fine", 0.5, 3, means={"size": 2.0}),
    ]
    chart = window_chart("size", windows, None)
    assert chart.count("<circle") == 2
    assert "a&lt;b" in chart
    assert window_chart("other", windows, None) == ""
