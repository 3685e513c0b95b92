from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import supervision as sv

from visionkit.inference.prediction import Prediction
from visionkit.inference.video.frames import FramePrediction
from visionkit.inference.video.passes import TrackPass
from visionkit.inference.video.records import VideoWriter
from visionkit.inference.video.tracks import Tracks
from visionkit.inference.video.votes import count_votes, settled_rows

pytest.importorskip("trackers", reason="tracking needs the package trackers")

Box = tuple[float, float, float, float]


def found(boxes: list[Box], classes: list[int] | None = None) -> sv.Detections:
    return sv.Detections(
        xyxy=np.array(boxes, np.float32).reshape(-1, 4),
        class_id=np.array(classes or [0] * len(boxes), np.int64),
        confidence=np.linspace(0.9, 0.5, len(boxes)).astype(np.float32),
        data={"class_name": np.array([f"item {each}" for each in classes or [0] * len(boxes)])},
    )


def frame(time: float, exemplar: Any = None, localization: Any = None) -> FramePrediction:
    answers = Prediction(exemplar=exemplar, localization=localization)
    return FramePrediction("a.mp4", round(time * 25), time, (360, 640), answers)


def ids(detections: sv.Detections | None) -> list[int]:
    assert detections is not None
    assert detections.tracker_id is not None
    return [int(each) for each in detections.tracker_id]


def passing(step: int) -> list[Box]:
    """Two boxes that pass each other at different heights."""
    return [(10 + 4 * step, 20, 50 + 4 * step, 60), (500 - 4 * step, 200, 560 - 4 * step, 260)]


def test_frames_without_finds_and_heads_without_answers_are_passed_on() -> None:
    tracks = Tracks(frame_rate=25)
    empty = tracks.update(frame(0.0, sv.Detections.empty()))
    assert ids(empty.exemplar) == []
    assert empty.localization is None
    assert tracks.update(frame(0.04)).tasks == ()


def test_an_object_keeps_its_number_from_its_first_frame_whatever_the_order() -> None:
    tracks = Tracks(frame_rate=25)
    for step in range(30):
        boxes = passing(step)
        order = [0, 1] if step % 2 else [1, 0]
        answer = tracks.update(frame(step / 25, found([boxes[each] for each in order])))
        assert answer.exemplar is not None
        np.testing.assert_allclose(answer.exemplar.xyxy, [boxes[each] for each in order])
        np.testing.assert_allclose(answer.exemplar.confidence, [0.9, 0.5])
        # The first frame had the right-hand box first: it is number 0.
        assert ids(answer.exemplar) == ([1, 0] if step % 2 else [0, 1])


def test_the_finds_given_are_not_changed() -> None:
    given = found([(0, 0, 9, 9)])
    Tracks(frame_rate=25).update(frame(0.0, given))
    assert given.tracker_id is None


@pytest.mark.parametrize(("missing_seconds", "number"), [(0.5, 0), (1.5, 1)])
def test_a_lost_object_comes_back_under_its_number_only_for_a_second(
    missing_seconds: float, number: int
) -> None:
    tracks = Tracks(frame_rate=10)
    box: Box = (100, 100, 180, 180)
    for step in range(10):
        tracks.update(frame(step / 10, found([box])))
    for step in range(round(missing_seconds * 10) - 1):
        tracks.update(frame(1 + step / 10, sv.Detections.empty()))
    assert ids(tracks.update(frame(0.9 + missing_seconds, found([box]))).exemplar) == [number]


def test_the_exemplar_is_tracked_by_place_and_localization_by_class() -> None:
    tracks = Tracks(frame_rate=25)
    box: Box = (100, 100, 180, 180)
    numbers = []
    for step, class_id in enumerate([0, 0, 1, 0]):
        both = found([box], [class_id])
        answer = tracks.update(frame(step / 25, both, both))
        numbers.append((ids(answer.exemplar)[0], ids(answer.localization)[0]))
    # The place is 0 throughout; class 0 is 1, class 1 is 2, and class 0 comes back as 1.
    assert numbers == [(0, 1), (0, 1), (0, 2), (0, 1)]


def test_a_sparsely_sampled_object_that_moves_by_its_own_width_is_one_object() -> None:
    tracks = Tracks(frame_rate=2)
    numbers = set()
    for step in range(8):
        box: Box = (20 + 60 * step, 100, 80 + 60 * step, 160)
        numbers |= set(ids(tracks.update(frame(step / 2, found([box]))).exemplar))
    assert numbers == {0}


def test_uneven_time_steps_move_the_expected_place() -> None:
    """100 pixels a second; steps of 0.04 s, then one of 0.6 s, over one and a half box widths."""
    times = [step / 25 for step in range(25)] + [1.56]
    tracks = Tracks(frame_rate=25)
    numbers = set()
    for time in times:
        box: Box = (100 * time, 50, 100 * time + 40, 90)
        numbers |= set(ids(tracks.update(frame(time, found([box]))).exemplar))
    assert numbers == {0}


def test_no_track_goes_on_across_a_cut_and_no_number_comes_twice() -> None:
    tracks = Tracks(frame_rate=25)
    box: Box = (100, 100, 180, 180)
    assert ids(tracks.update(frame(0.0, found([box]))).exemplar) == [0]
    assert ids(tracks.update(frame(0.04, found([box])), cut=True).exemplar) == [1]


def test_equal_time_stamps_do_not_stop_tracking() -> None:
    tracks = Tracks(frame_rate=25)
    box: Box = (100, 100, 180, 180)
    answers = [tracks.update(frame(time, found([box]))) for time in (0.0, 0.0, 0.04, 0.02)]
    assert [ids(each.exemplar) for each in answers] == [[0]] * 4


def test_a_frame_rate_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="frame_rate must be positive, got 0"):
        Tracks(frame_rate=0)


def row(time: float, item: str, score: float, **more: Any) -> dict[str, Any]:
    return {
        "video": "a.mp4",
        "frame": round(time * 10),
        "time": time,
        "task": "exemplar",
        "item": item,
        "class_id": {"cola": 0, "soda": 1}[item],
        "score": score,
        "track": 3,
    } | more


def test_the_item_is_voted_by_the_sum_of_scores_not_by_the_count_of_frames() -> None:
    rows = [row(0.0, "cola", 0.9), row(0.1, "soda", 0.3), row(0.2, "soda", 0.3)]
    ballot = count_votes(rows)["a.mp4", 3]
    assert (ballot.item, ballot.finds, ballot.changes) == ("cola", 3, 1)
    assert ballot.share == pytest.approx(0.9 / 1.5)
    assert [each["item"] for each in settled_rows(rows, count_votes(rows))] == ["cola"] * 3


def test_a_runner_up_that_no_find_named_never_wins() -> None:
    rows = [row(0.0, "soda", 0.3, runner_up="cola", runner_up_score=0.9)]
    ballot = count_votes(rows)["a.mp4", 3]
    assert (ballot.item, ballot.share) == ("soda", pytest.approx(0.25))


def test_a_renamed_find_counts_with_what_it_gave_the_voted_item() -> None:
    rows = [
        row(0.0, "cola", 0.8, view="c.png"),
        row(0.1, "soda", 0.6, runner_up="cola", runner_up_score=0.4, view="s.png", inliers=7),
        row(0.2, "soda", 0.5, view="s.png"),
    ]
    settled = list(settled_rows(rows, count_votes(rows), seconds=0))
    # Votes: cola 0.8 + 0.4, soda 0.6 + 0.5.
    assert [(each["item"], each["class_id"], each["score"]) for each in settled] == [
        ("cola", 0, 0.8),
        ("cola", 0, 0.4),
        ("cola", 0, 0.0),
    ]
    assert settled[1]["runner_up"] == "soda"
    assert settled[1]["runner_up_score"] == 0.6
    assert settled[1]["inliers"] is None
    assert [each["view"] for each in settled] == ["c.png", "", ""]
    assert rows[1]["item"] == "soda"


def test_scores_are_smoothed_by_a_triangle_along_their_own_track() -> None:
    rows = [
        row(0.0, "cola", 0.8),
        row(0.0, "soda", 0.1, track=4),
        row(0.1, "cola", 0.2),
        row(0.4, "cola", 0.6),
        row(0.4, "cola", 0.5, track=None),
    ]
    settled = list(settled_rows(rows, count_votes(rows), seconds=0.2))
    # Half a weight to what is 0.1 away: (0.8 + 0.2 / 2) / 1.5 and (0.2 + 0.8 / 2) / 1.5.
    assert [each["score"] for each in settled] == pytest.approx([0.6, 0.1, 0.4, 0.6, 0.5])
    assert [each["time"] for each in settled] == [0.0, 0.0, 0.1, 0.4, 0.4]


def test_votes_do_not_cross_videos_and_localization_is_only_smoothed() -> None:
    box = {"task": "localization", "item": None, "label": "car", "track": 9}
    rows = [
        row(5.0, "cola", 0.9),
        row(0.0, "soda", 0.4, video="b.mp4"),
        row(0.0, "cola", 0.5, video="b.mp4") | box,
        row(0.1, "cola", 0.7, video="b.mp4") | box,
    ]
    settled = list(settled_rows(rows, count_votes(rows), seconds=10))
    assert [each["item"] for each in settled] == ["cola", "soda", None, None]
    # Nearly equal weights: 1 and 0.99.
    assert settled[2]["score"] == pytest.approx((0.5 + 0.99 * 0.7) / 1.99)


def test_no_rows_give_no_votes_and_no_rows() -> None:
    assert count_votes([]) == {}
    assert list(settled_rows([], {})) == []


def claims(time: float, item: str, score: float, video: str = "a.mp4") -> FramePrediction:
    """A frame in which one place is said to show an item."""
    found_there = found([(100, 100, 180, 180)], [{"cola": 0, "soda": 1}[item]])
    found_there.confidence = np.array([score], np.float32)
    found_there.data["class_name"] = np.array([item])
    return FramePrediction(
        video, round(time * 10), time, (360, 640), Prediction(exemplar=found_there)
    )


def test_two_readings_settle_tracks_items_and_scores_of_whole_videos() -> None:
    frames = [
        claims(0.0, "cola", 0.9),
        claims(0.1, "soda", 0.5),
        frame(0.2, sv.Detections.empty()),
        claims(0.3, "cola", 0.7),
        claims(0.0, "soda", 0.4, "b.mp4"),
        replace(frame(9.0, sv.Detections.empty(), found([(0, 0, 9, 9)])), video="c.mp4"),
    ]
    passed = TrackPass(frames)
    assert {key: ballot.item for key, ballot in passed.ballots.items()} == {
        ("a.mp4", 0): "cola",
        ("b.mp4", 0): "soda",
    }
    assert [ids(each.prediction.exemplar) for each in passed.tracked(frames)] == [
        [0], [0], [], [0], [0], [],
    ]  # fmt: skip
    settled = list(passed.settled(frames, seconds=0.2))
    assert [(each.video, each.time) for each in settled] == [(f.video, f.time) for f in frames]
    said = [each.prediction.exemplar for each in settled]
    items = [[str(name) for name in one.data.get("class_name", [])] for one in said if one]
    assert items == [["cola"], ["cola"], ["cola"], ["soda"]]
    # 0.9 with half of 0; 0 with half of 0.9; 0.7 alone; 0.4 alone.
    scores = [one.confidence[0] for one in said if one and one.confidence is not None]
    assert scores == pytest.approx([0.6, 0.3, 0.7, 0.4])
    assert ids(settled[5].prediction.localization) == [0]


def test_what_a_writer_holds_is_settled_before_it_is_written(tmp_path: Path) -> None:
    frames = [claims(0.0, "cola", 0.9), claims(0.1, "soda", 0.5), claims(0.2, "cola", 0.7)]
    with VideoWriter(tmp_path, settings={}, model="m") as writer:
        writer.write(frames)
        passed = TrackPass(writer.predictions())
        files = writer.finish(passed.settled(writer.predictions(), seconds=0.0))
    rows = pq.read_table(files.parquet).to_pylist()
    assert [(row["item"], row["track"]) for row in rows] == [("cola", 0)] * 3
    assert [row["score"] for row in rows] == pytest.approx([0.9, 0.0, 0.7])


def test_no_frames_are_settled_to_none() -> None:
    assert list(TrackPass([]).settled([])) == []
