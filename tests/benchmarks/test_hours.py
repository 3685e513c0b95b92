"""The sum of benchmarks/hours.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from hours import Rates, core_hours, measured


def test_an_hour_by_hand() -> None:
    rates = Rates(decode=100, network=50, rows=1000, share=0.5)
    # A second of video: 0.25 s to decode, 0.04 s to see, twice that as a whole; 0.002 s of rows.
    assert core_hours(1, rates, frame_rate=25, looked=2) == pytest.approx(0.58 + 0.002)
    assert core_hours(1000, rates, frame_rate=25, looked=2) == pytest.approx(582)


def test_the_latest_rates_are_taken(tmp_path: Path) -> None:
    results = tmp_path / "video.csv"
    assert measured("720p", results) is None
    results.write_text(
        "name,figure,note\n"
        '720p: share of the limit,0.8,"90 fps, decoding 190, network 150 a core, 2 cores"\n'
        '720p: share of the limit,0.9,"99 fps, decoding 200, network 160 a core, 2 cores"\n'
        '1080p: share of the limit,0.7,"9 fps, decoding 20, network 16 a core, 2 cores"\n'
    )
    assert measured("720p", results) == (200, 160, 0.9)
    assert measured("360p", results) is None
