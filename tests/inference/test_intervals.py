from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from visionkit.inference.video.intervals import (
    FrameRows,
    area_share,
    frames_of,
    parquet_rows,
    prominence,
    screen_time,
)
from visionkit.inference.video.presence import ScreenTime, write_intervals


def find(time: float, item: str = "cola", **more: Any) -> dict[str, Any]:
    """A find of half the width and height of a picture of 100 x 200, in its middle."""
    return {
        "video": "a.mp4",
        "frame": round(time * 10),
        "time": time,
        "task": "exemplar",
        "item": item,
        "class_id": 0,
        "score": 0.5,
        "box": [50.0, 25.0, 150.0, 75.0],
        "width": 200,
        "height": 100,
        "track": 0,
    } | more


def frames(times: list[float], found: dict[float, list[dict[str, Any]]]) -> list[FrameRows]:
    return [("a.mp4", time, found.get(time, [])) for time in times]


def spans(result: ScreenTime) -> list[tuple[str, float, float]]:
    return [(one.name, one.start, one.end) for one in result.intervals]


def test_no_videos_frames_without_finds_and_one_frame() -> None:
    assert screen_time([]) == ScreenTime((), ())
    empty = screen_time(frames([0.0, 0.5, 1.0], {}))
    assert empty.presences == ()
    assert (empty.footage[0].frames, empty.footage[0].seconds) == (3, 1.5)
    lone = screen_time(frames([2.0], {2.0: [find(2.0)]}))
    assert spans(lone) == [("cola", 2.0, 2.04)]


def test_frames_last_until_the_next_and_the_last_one_as_long_as_usual() -> None:
    times = [0.0, 0.1, 0.5, 0.6, 0.7]  # steps 0.1, 0.4, 0.1, 0.1: the last frame lasts 0.1
    result = screen_time(
        frames(times, {0.1: [find(0.1)], 0.7: [find(0.7, "soda")]}), gap_seconds=0.05
    )
    assert [(name, start, pytest.approx(end)) for name, start, end in spans(result)] == [
        ("cola", 0.1, 0.5),
        ("soda", 0.7, 0.8),
    ]
    cola = result.presences[0]
    assert cola.seconds == pytest.approx(0.4)
    assert cola.share == pytest.approx(0.4 / 0.8)


@pytest.mark.parametrize(
    ("gap_seconds", "expected"),
    [(0.0, [(0.0, 1.0), (2.0, 3.0), (6.0, 7.0)]), (1.0, [(0.0, 3.0), (6.0, 7.0)]), (3, [(0, 7)])],
)
def test_gaps_up_to_the_tolerance_are_bridged(
    gap_seconds: float, expected: list[tuple[float, float]]
) -> None:
    found = {time: [find(time)] for time in (0.0, 2.0, 6.0)}
    result = screen_time(frames([float(each) for each in range(8)], found), gap_seconds=gap_seconds)
    assert [(one.start, one.end) for one in result.intervals] == expected
    assert result.presences[0].seconds == sum(end - start for start, end in expected)
    assert result.presences[0].tracks == 1


def test_two_objects_at_once_are_one_time_on_screen_and_twice_the_object_seconds() -> None:
    found = {
        0.0: [find(0.0, track=1), find(0.0, track=2)],
        1.0: [find(1.0, track=1)],
        2.0: [find(2.0, track=1), find(2.0, track=2)],
        3.0: [find(3.0, track=None)],
    }
    one = screen_time(frames([0.0, 1.0, 2.0, 3.0], found), gap_seconds=1.0).presences[0]
    assert (one.seconds, one.tracks) == (4.0, 2)
    # Track 1 is there for 3 s, track 2 for 3 s with the frame that missed it, one find has none.
    assert one.object_seconds == pytest.approx(7.0)
    strict = screen_time(frames([0.0, 1.0, 2.0, 3.0], found), gap_seconds=0.5).presences[0]
    assert strict.object_seconds == pytest.approx(6.0)


def test_areas_scores_and_prominence_are_means_over_time() -> None:
    small = {"box": [0.0, 0.0, 20.0, 10.0], "score": 1.0}  # 0.01 of the picture, in its corner
    found = {0.0: [find(0.0)], 3.0: [find(3.0, **small)]}
    one = screen_time(frames([0.0, 3.0, 4.0], found), gap_seconds=0).presences[0]
    # 3 s of 0.25 at a score of 0.5 in the middle, then 1 s of the small one.
    assert one.area == pytest.approx((3 * 0.25 + 0.01) / 4)
    assert one.score == pytest.approx((3 * 0.5 + 1.0) / 4)
    corner = 0.01 * math.exp(-2 * 0.9**2)
    assert one.prominence == pytest.approx((3 * 0.125 + corner) / 4)
    assert one.intervals[0].best.frame == 0


def test_the_best_frame_is_the_most_prominent() -> None:
    found = {
        0.0: [find(0.0, score=0.4)],
        1.0: [find(1.0, score=0.9)],
        2.0: [find(2.0, score=1.0, box=[0.0, 0.0, 100.0, 50.0])],
    }
    best = screen_time(frames([0.0, 1.0, 2.0], found)).intervals[0].best
    assert (best.frame, best.time, best.score, best.size) == (10, 1.0, 0.9, (100, 200))
    assert best.box == (50.0, 25.0, 150.0, 75.0)


def test_classes_of_whole_frames_count_where_they_are_assumed() -> None:
    def said(time: float, score: float, assumed: bool) -> dict[str, Any]:
        row = find(time, score=score, assumed=assumed, box=None, item=None, track=None)
        return row | {"task": "classification", "label": "beach"}

    rows = [said(0.0, 0.8, True), said(1.0, 0.9, True), said(2.0, 0.2, False)]
    result = screen_time(frames_of(rows), gap_seconds=0.5)
    assert spans(result) == [("beach", 0.0, 2.0)]
    one = result.presences[0]
    assert (one.seconds, one.object_seconds, one.tracks) == (2.0, 2.0, 0)
    assert math.isnan(one.area)
    assert one.intervals[0].best.frame == 10
    assert result.footage[0].seconds == 3.0


def test_frames_of_finds_alone_last_no_longer_than_told() -> None:
    rows = [find(0.0), find(0.0, "soda"), find(5.0), find(5.25)]
    result = screen_time(frames_of(rows), gap_seconds=0, frame_seconds=0.5)
    assert spans(result) == [
        ("cola", 0.0, 0.5),
        ("cola", 5.0, pytest.approx(5.625)),  # the usual step: the mean of 0.25 and 0.5
        ("soda", 0.0, 0.5),
    ]


def test_videos_are_measured_apart_and_items_apart_from_classes() -> None:
    rows = [
        find(0.0, class_id=4),
        find(0.0, task="localization", label="cola", item=None),
        find(0.0, video="b.mp4"),
    ]
    result = screen_time(frames_of(rows))
    assert [(one.video, one.task, one.class_id) for one in result.presences] == [
        ("a.mp4", "exemplar", 4),
        ("a.mp4", "localization", 0),
        ("b.mp4", "exemplar", 0),
    ]
    assert [one.video for one in result.footage] == ["a.mp4", "b.mp4"]


def test_times_that_fall_are_refused_with_the_video() -> None:
    with pytest.raises(ValueError, match=r"order of time, got 1.0 s after 2.0 s \[a.mp4\]"):
        screen_time(frames([0.0, 2.0, 1.0], {}))
    with pytest.raises(ValueError, match="gap_seconds"):
        screen_time([], gap_seconds=-1)


def test_prominence_is_area_by_centrality_by_score() -> None:
    whole = (0.0, 0.0, 640.0, 360.0)
    assert prominence(whole, (360, 640), 1.0) == 1.0
    assert prominence(whole, (360, 640), 0.4) == pytest.approx(0.4)
    dot = (639.0, 359.0, 641.0, 361.0)  # about the corner: a quarter of it lies in the picture
    assert area_share(dot, (360, 640)) == pytest.approx(1 / (360 * 640))
    assert prominence(dot, (360, 640), 1.0) == pytest.approx(math.exp(-2) / (360 * 640))
    assert area_share((-50.0, 0.0, -10.0, 9.0), (360, 640)) == 0.0


def test_the_csv_says_what_was_measured_and_quotes_names(tmp_path: Path) -> None:
    found = {0.0: [find(0.0, 'big, "red"')], 0.5: [find(0.5, 'big, "red"', track=1)]}
    result = screen_time(frames([0.0, 0.5, 1.0], found))
    path = write_intervals(tmp_path / "out" / "intervals.csv", result.intervals)
    with path.open(newline="", encoding="utf-8") as file:
        (line,) = csv.DictReader(file)
    assert line["name"] == 'big, "red"'
    numbers = {key: line[key] for key in ("start", "end", "seconds", "tracks", "object_seconds")}
    assert numbers == {
        "start": "0",
        "end": "1",
        "seconds": "1",
        "tracks": "2",
        "object_seconds": "1",
    }
    assert (line["mean_area"], line["prominence"], line["x_max"]) == ("0.25", "0.125", "150.0")
    assert write_intervals(path, []).read_text().count("\n") == 1


def test_a_parquet_table_is_read_row_by_row(tmp_path: Path) -> None:
    rows = [find(time / 10) for time in range(5000)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    result = screen_time(frames_of(parquet_rows(tmp_path / "p.parquet")))
    assert spans(result) == [("cola", 0.0, pytest.approx(500.0))]
    assert result.presences[0].intervals[0].frames == 5000
