"""Counts of finds over time: one far off what the runs before foresee is told, the rest is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from visionkit.monitoring import forecast
from visionkit.monitoring.counts import counted_before, counts_of, foreseen_counts
from visionkit.monitoring.observed import Observed
from visionkit.monitoring.windows import Band, Window, add_window, read_windows, window_chart

CATS, DOGS = "localization.count=cat", "localization.count=dog"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plainest method alone, so that what is expected can be worked by hand."""
    monkeypatch.setattr(forecast, "has_ladder", lambda: False)


def window(number: int, **counts: float) -> Window:
    names = {"cats": CATS, "dogs": DOGS, "all": "localization.count"}
    return Window(str(number), "fine", 0.5, 100, counts={names[k]: v for k, v in counts.items()})


def weeks(count: int) -> list[Window]:
    """Many cats on every seventh day, and no dog but one in the first run."""
    rng = np.random.default_rng(0)
    cats = [1.0 + 2.0 * (day % 7 == 6) + rng.normal(0, 0.05) for day in range(count)]
    first = window(0, cats=cats[0], all=cats[0] + 0.01, dogs=0.01)
    return [first, *(window(day, cats=cats[day], all=cats[day]) for day in range(1, count))]


def test_counts_are_finds_a_picture_and_shares_of_classes() -> None:
    live = Observed(
        ("a", "b", "c", "d"),
        np.ones((4, 2), np.float32),
        {"localization.count": np.array([0.0, 2.0, 1.0, 1.0]), "picture.size": np.ones(4)},
        {"classification.class": ("none of them", "ant", "ant", "bee")},
    )
    assert counts_of(live, {("localization", "cat"): 3, ("localization", "dog"): 1}) == {
        "localization.count": 1.0,
        CATS: 0.75,
        DOGS: 0.25,
        "classification.share=none of them": 0.25,
        "classification.share=ant": 0.5,
        "classification.share=bee": 0.25,
    }


def test_a_count_off_its_forecast_is_told_and_the_others_are_not() -> None:
    past = weeks(40)
    usual = foreseen_counts(past, window(40, cats=1.02, all=1.02), season=7, chance=0.01)
    assert [one.name for one in usual if one.is_off] == []
    # Day 40 is no seventh day: as many cats as on one are too many, and so is the sum.
    off = foreseen_counts(past, window(40, cats=3.0, all=3.0), season=7, chance=0.01)
    assert [one.name for one in off if one.is_off] == ["localization.count", CATS]
    assert off[1].forecast.value == past[33].counts[CATS]
    assert "3, and was foreseen at" in off[1].words
    seventh = foreseen_counts(weeks(41), window(41, cats=3.0, all=3.0), season=7, chance=0.01)
    assert [one.name for one in seventh if one.is_off] == []


def test_what_was_never_found_before_is_off_but_for_a_few_finds() -> None:
    past = weeks(40)
    few, many = (
        foreseen_counts(past, window(40, cats=1.0, all=1.0, dogs=dogs), season=7, chance=0.01)
        for dogs in (0.03, 0.05)
    )
    assert [one.name for one in few if one.is_off] == []
    assert [one.name for one in many if one.is_off] == [DOGS]


def test_missing_finds_are_zero_and_a_run_that_did_not_look_begins_anew() -> None:
    windows = [
        window(0, cats=9.0, all=9.0),
        Window("no boxes", "fine", 0.5, 100, counts={"classification.share=ant": 1.0}),
        window(2, cats=1.0, all=1.0),
        window(3, dogs=2.0, all=2.0),
    ]
    assert counted_before(CATS, windows).tolist() == [1.0, 0.0]
    assert counted_before(CATS, []).tolist() == []


def test_a_short_past_foresees_nothing() -> None:
    assert foreseen_counts(weeks(23), window(23, cats=9.0), season=7, chance=0.01) == []
    assert foreseen_counts([], window(0), season=7, chance=0.01) == []


def test_counts_are_kept_and_older_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    old = '{"time": "monday", "verdict": "fine", "chance": 0.5, "pictures": 3}\n'
    path.write_text(old, "utf-8")
    second = window(1, cats=2.0)
    add_window(path, second)
    assert read_windows(path) == [Window("monday", "fine", 0.5, 3), second]


def test_the_chart_of_a_count_has_a_bar_where_it_was_foreseen() -> None:
    chart = window_chart(CATS, weeks(5), None, foreseen=Band(0.0, 4.0))
    assert chart.count("<circle") == 5
    # Its ends are the chart's: 0 at 112 px and 4 at 12 px, at the place of the last run.
    assert '<line class="foreseen" x1="304.0" x2="304.0" y1="12.0" y2="112.0"/>' in chart


def test_three_finds_more_are_no_matter_however_they_are_rounded() -> None:
    def counted(finds: int) -> Window:
        return Window("", "fine", 1.0, 200, counts={"exemplar.count": finds / 200})

    for finds in range(200):
        past = [counted(finds)] * 12
        found = foreseen_counts(past, counted(finds + 3), season=1, chance=0.01)
        assert not found[0].is_off, finds
