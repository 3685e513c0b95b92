from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pages import Page
from visionkit.inference.video.intervals import frames_of, screen_time
from visionkit.inference.video.presence import ScreenTime
from visionkit.inference.video.timeline import Limits, clock, write_timeline
from visionkit.types import Image

UGLY = '<script>alert("x")</script> & "co"'


def find(video: str, time: float, item: str, **more: Any) -> dict[str, Any]:
    return {
        "video": video,
        "frame": round(time * 10),
        "time": time,
        "task": "exemplar",
        "item": item,
        "class_id": 1,
        "score": 0.5,
        "box": [50.0, 25.0, 150.0, 75.0],
        "width": 200,
        "height": 100,
        "track": round(time),
    } | more


class Stills:
    """Grey frames, and which were asked for."""

    def __init__(self, missing: Sequence[float] = ()) -> None:
        self.asked: list[tuple[str, list[float]]] = []
        self.missing = missing

    def __call__(self, video: str, times: Sequence[float]) -> Iterator[tuple[float, Image]]:
        self.asked.append((video, list(times)))
        for time in times:
            if time not in self.missing:
                yield time, np.full((100, 200, 3), 90, np.uint8)


def page_of(path: Path) -> tuple[str, Page]:
    html = path.read_text("utf-8")
    page = Page(html)
    assert page.outside == []
    assert page.handlers == []
    assert page.open == []
    return html, page


def measured() -> ScreenTime:
    """Three intervals of one item, of 1, 2 and 3 frames, and one of an ugly name elsewhere."""
    times = [0.0, 10.0, 10.5, 20.0, 20.5, 21.0]
    rows = [find("dir/a.mp4", time, "cola") for time in times]
    rows += [find("rtsp://b/1", 5.0, UGLY)]
    return screen_time(frames_of(rows), frame_seconds=0.5)


def test_no_video_gives_a_page_that_says_so(tmp_path: Path) -> None:
    _, page = page_of(write_timeline(tmp_path / "t.html", ScreenTime((), ()), Stills()))
    assert "No video was looked at." in page.text


def test_a_video_without_finds_says_so(tmp_path: Path) -> None:
    nothing = screen_time([("a.mp4", 0.0, []), ("a.mp4", 0.5, [])])
    stills = Stills()
    _, page = page_of(write_timeline(tmp_path / "t.html", nothing, stills))
    assert "Nothing was seen." in page.text
    assert stills.asked == []


def test_every_interval_has_a_bar_and_a_picture_with_its_box(tmp_path: Path) -> None:
    stills = Stills()
    html, page = page_of(write_timeline(tmp_path / "t.html", measured(), stills))
    assert stills.asked == [("dir/a.mp4", [0.0, 10.0, 20.0]), ("rtsp://b/1", [5.0])]
    assert html.count('class="bar-of"') == 4
    assert html.count('class="still"') == 4
    assert html.count('data-box="25.0 25.0 50.0 50.0"') == 8
    # The video lasts 21.5 s; the second interval begins at 10 s and lasts 1 s.
    assert f"left:{100 * 10 / 21.5:.4f}%;width:{100 / 21.5:.4f}%" in html
    assert 'aria-label="cola, 0:10 – 0:11, 1.0\xa0s"' in html
    assert "score 0.50 · area 25\xa0% · prominence 12\xa0%" in html
    assert "left out" not in page.text
    # Each bar opens a picture that is in the page.
    assert set(re.findall(r'data-picture="([^"]+)"', html)) == set(
        re.findall(r'class="still" id="([^"]+)"', html)
    )


def test_names_are_text_and_only_our_script_may_run(tmp_path: Path) -> None:
    html, page = page_of(write_timeline(tmp_path / "t.html", measured(), Stills()))
    assert UGLY in page.text
    assert html.count("<script") == 1
    assert "default-src 'none'" in html


def test_what_does_not_fit_is_left_out_shortest_first_and_said(tmp_path: Path) -> None:
    stills = Stills()
    limits = Limits(intervals=3, pictures=2)
    html, page = page_of(write_timeline(tmp_path / "t.html", measured(), stills, limits=limits))
    assert html.count('class="bar-of"') == 3
    assert stills.asked == [("dir/a.mp4", [20.0]), ("rtsp://b/1", [5.0])]
    assert "1 interval of 4 is left out of this page" in page.text
    assert "1 of 3 intervals shown here" in page.text


def test_videos_lanes_and_bytes_are_bounded(tmp_path: Path) -> None:
    rows = [
        find(f"{video}.mp4", 0.5 * step, f"item {step % 9}") for video in "ab" for step in range(40)
    ]
    rows += [find("c.mp4", 0.0, "lone")]
    result = screen_time(frames_of(rows), gap_seconds=0.1, frame_seconds=0.5)
    limits = Limits(videos=2, lanes=4, bytes=9000)
    html, page = page_of(write_timeline(tmp_path / "t.html", result, Stills(), limits=limits))
    assert "Of 3 videos the 2 with the longest screen time" in page.text
    assert page.text.count("5 more items and classes with shorter screen times") == 2
    assert html.count('class="lane"') == 8
    assert sum(len(each) for each in page.addresses if each.startswith("data:image/jpeg")) <= 9000


def test_frames_that_cannot_be_read_leave_their_bars(tmp_path: Path) -> None:
    stills = Stills(missing=[0.0, 5.0, 10.0, 20.0])
    html, page = page_of(write_timeline(tmp_path / "t.html", measured(), stills))
    assert html.count('class="bar-of"') == 4
    assert 'class="still"' not in html
    assert "no frame could be read for this page" in page.text


def test_classes_of_whole_frames_have_no_box(tmp_path: Path) -> None:
    said = {"task": "classification", "label": "beach", "assumed": True, "box": None}
    rows = [find("a.mp4", 0.0, "", **said), find("a.mp4", 0.5, "", **said)]
    path = write_timeline(tmp_path / "t.html", screen_time(frames_of(rows)), Stills())
    html, page = page_of(path)
    assert "data-box" not in html
    assert "whole frame" in page.text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "0:00"), (59.94, "0:59.9"), (3599.96, "1:00:00"), (36000, "10:00:00")],
)
def test_times_are_written_as_on_a_clock(seconds: float, words: str) -> None:
    assert clock(seconds) == words
