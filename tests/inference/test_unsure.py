from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import supervision as sv
from PIL import Image as PillowImage

from visionkit.inference.prediction import Prediction
from visionkit.inference.video.frames import FramePrediction
from visionkit.inference.video.unsure import UnsureChooser, write_unsure
from visionkit.inference.video.votes import Ballot
from visionkit.types import Image

THRESHOLDS = {"exemplar": {"cola": 0.5, "soda": 0.7}}


def frame(time: float, *finds: tuple[str, float, int], video: str = "a.mp4") -> FramePrediction:
    """Finds as item, score and track."""
    found = sv.Detections.empty()
    if finds:
        found = sv.Detections(
            xyxy=np.array([[10, 10, 30, 30]] * len(finds), np.float32),
            class_id=np.zeros(len(finds), np.int64),
            confidence=np.array([score for _, score, _ in finds], np.float32),
            tracker_id=np.array([track for *_, track in finds]),
            data={"class_name": np.array([item for item, *_ in finds])},
        )
    return FramePrediction(video, round(time * 10), time, (100, 200), Prediction(exemplar=found))


def stills(video: str, times: Sequence[float]) -> Iterator[tuple[float, Image]]:
    for time in times:
        if video == "a.mp4":
            yield time, np.full((100, 200, 3), 90, np.uint8)


def test_sure_frames_and_frames_without_finds_are_not_chosen() -> None:
    chooser = UnsureChooser(THRESHOLDS, {})
    for time in (0.0, 1.0, 2.0):
        chooser.see(frame(time, ("cola", 0.9, 1)))
    chooser.see(frame(3.0))
    chooser.see(frame(4.0, ("unheard", 0.5, 2)))
    assert chooser.chosen() == []


def test_scores_near_their_own_threshold_are_doubtful() -> None:
    chooser = UnsureChooser(THRESHOLDS, {}, margin=0.1)
    chooser.see(frame(0.0, ("cola", 0.55, 1)))
    chooser.see(frame(5.0, ("soda", 0.68, 2), ("cola", 0.59, 3)))
    first, second = chooser.chosen()
    assert first.doubt == pytest.approx(0.5)
    assert first.reasons == ("cola: score 0.55 is near its threshold 0.50",)
    assert second.doubt == pytest.approx(0.8)
    assert len(second.reasons) == 2


def test_a_track_that_named_several_items_is_doubtful() -> None:
    ballot = Ballot(votes={"cola": 3.0, "soda": 2.0}, class_ids={"cola": 0, "soda": 1}, changes=1)
    chooser = UnsureChooser({}, {("a.mp4", 4): ballot})
    chooser.see(frame(0.0, ("cola", 0.9, 4), ("cola", 0.9, 5)))
    (one,) = chooser.chosen()
    assert one.doubt == pytest.approx(0.8)  # twice the share of votes that went to others
    assert one.reasons == ("track 4: it may be cola or soda",)


def test_a_frame_in_which_a_track_is_missing_is_doubtful() -> None:
    chooser = UnsureChooser({}, {})
    for step, finds in enumerate([1, 1, 0, 1, 0, 0, 0, 1]):
        chooser.see(frame(10.0 * step, *[("cola", 0.9, 1)] * finds))
    one, other = chooser.chosen()
    assert (one.time, one.reasons) == (20.0, ("track 1: cola is missing for 1 frame",))
    assert (other.time, other.reasons) == (50.0, ("track 1: cola is missing for 3 frames",))
    assert one.doubt == pytest.approx(0.9)


def test_a_track_does_not_flicker_across_videos() -> None:
    chooser = UnsureChooser({}, {})
    for video in ("a.mp4", "b.mp4", "a.mp4"):
        chooser.see(frame(0.0, ("cola", 0.9, 1), video=video))
    assert chooser.chosen() == []


def test_the_number_is_bounded_and_spread_over_time() -> None:
    chooser = UnsureChooser(THRESHOLDS, {}, most=4)
    for step in range(40):  # the surest doubts lie together at the end
        chooser.see(frame(1.0 * step, ("cola", 0.59 - 0.002 * step, 1)))
    times = [one.time for one in chooser.chosen()]
    assert times == [24.0, 29.0, 34.0, 39.0]
    assert len(chooser._doubts) <= 80
    few = UnsureChooser(THRESHOLDS, {}, most=4)
    for step in range(3):
        few.see(frame(0.3 * step, ("cola", 0.5, 1)))
    assert len(few.chosen()) == 1  # one a second at most


def test_pictures_and_reasons_are_written(tmp_path: Path) -> None:
    chooser = UnsureChooser(THRESHOLDS, {})
    chooser.see(frame(2.0, ("cola", 0.5, 1)))
    chooser.see(frame(7.0, ("cola", 0.52, 1), video="gone.mp4"))
    path = write_unsure(tmp_path / "unsure", chooser.chosen(), stills)
    first, second = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    with PillowImage.open(path.parent / first["image"]) as picture:
        assert picture.size == (200, 100)
    assert (first["frame"], first["time"], first["doubt"]) == (20, 2.0, 1.0)
    assert (first["width"], first["height"]) == (200, 100)
    assert first["finds"][0]["box"] == [10.0, 10.0, 30.0, 30.0]
    assert second["image"] is None
    assert write_unsure(tmp_path / "none", [], stills).read_text() == ""
