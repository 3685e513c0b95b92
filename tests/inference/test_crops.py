from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import supervision as sv
from PIL import Image as PillowImage

from visionkit.inference.prediction import Prediction
from visionkit.inference.video.crops import CropChooser, cut, still_name, write_crops
from visionkit.inference.video.frames import FramePrediction
from visionkit.types import Image

SCENE = np.arange(100 * 200 * 3, dtype=np.uint32).reshape(100, 200, 3).astype(np.uint8)


def frame(
    time: float, finds: Sequence[tuple[int | None, float, float]], video: str = "a.mp4"
) -> FramePrediction:
    """Finds as track, score and side of a square box."""
    tracked = any(track is not None for track, _, _ in finds)
    found = sv.Detections(
        xyxy=np.array([[10, 10, 10 + side, 10 + side] for *_, side in finds], np.float32),
        class_id=np.zeros(len(finds), np.int64),
        confidence=np.array([score for _, score, _ in finds], np.float32),
        tracker_id=np.array([track for track, _, _ in finds]) if tracked else None,
        data={"class_name": np.array(["cola: 1/2 l"] * len(finds))},
    )
    return FramePrediction(video, round(time * 10), time, (100, 200), Prediction(exemplar=found))


def stills(video: str, times: Sequence[float]) -> Iterator[tuple[float, Image]]:
    yield from ((time, SCENE) for time in times if video != "gone.mp4")


def test_nothing_found_gives_no_crops(tmp_path: Path) -> None:
    chooser = CropChooser()
    empty = Prediction(exemplar=sv.Detections.empty())
    chooser.see(FramePrediction("a.mp4", 0, 0.0, (100, 200), empty))
    assert chooser.chosen() == []
    assert write_crops(tmp_path, [], stills) == []


def test_the_best_crops_of_each_track_lie_a_second_apart() -> None:
    chooser = CropChooser(per_track=2)
    for time, score in [(0.0, 0.5), (0.5, 0.9), (1.2, 0.8), (1.6, 0.6), (4.0, 0.7)]:
        chooser.see(
            frame(time, [(7, score, 20), (8, 0.4, 10)] if time == 0.5 else [(7, score, 20)])
        )
    # Of track 7: 0.9 hides 0.5 and 0.8; then 0.7 is better than 0.6.
    assert [(crop.time, crop.track) for crop in chooser.chosen()] == [(0.5, 7), (0.5, 8), (4.0, 7)]


def test_larger_finds_are_better_and_the_number_is_bounded_by_turns() -> None:
    chooser = CropChooser(per_track=2, most=3)
    chooser.see(frame(0.0, [(1, 0.5, 40), (2, 0.5, 20)]))
    chooser.see(frame(2.0, [(1, 0.5, 30), (2, 0.5, 10)]))
    # The best of both tracks, then the second of track 1.
    assert [(one.time, one.track) for one in chooser.chosen()] == [(0.0, 1), (0.0, 2), (2.0, 1)]


def test_memory_is_bounded_by_the_number_of_crops() -> None:
    chooser = CropChooser(most=2)
    for track in range(100):
        chooser.see(frame(track * 1.0, [(track, 0.1 + track / 200, 10)]))
    assert len(chooser._best) <= 17
    assert [crop.track for crop in chooser.chosen()] == [98, 99]


def test_crops_are_written_under_names_that_tell_where_they_are_from(tmp_path: Path) -> None:
    chooser = CropChooser()
    chooser.see(frame(1.5, [(3, 0.9, 20)], "dir/shop.mp4"))
    chooser.see(frame(3.0, [(None, 0.9, 20), (None, 0.8, 30)], "b.mp4"))
    chooser.see(frame(3.0, [(1, 0.9, 20)], "gone.mp4"))
    paths = write_crops(tmp_path / "crops", chooser.chosen(), stills)
    names = [path.name for path in paths]
    assert names[1].startswith("shop_")
    assert names[1].endswith("_00001.500s_cola-1-2-l_track3.jpg")
    assert [name.split("_")[0] for name in names] == ["b", "shop"]
    assert sorted(tmp_path.rglob("*.jpg")) == sorted(paths)
    with PillowImage.open(paths[1]) as picture:
        assert picture.size == (24, 24)  # a tenth of 20 more on each side


def test_a_cut_stays_within_the_picture_and_holds_a_pixel() -> None:
    np.testing.assert_array_equal(cut(SCENE, (-5, -5, 20, 20)), SCENE[:22, :22])
    assert cut(SCENE, (199.9, 99.9, 200.0, 100.0)).shape == (1, 1, 3)
    assert cut(SCENE, (30, 40, 30, 40)).shape == (1, 1, 3)


def test_names_of_videos_of_one_name_differ_and_stay_short() -> None:
    assert still_name("a/v.mp4", 1.0) != still_name("b/v.mp4", 1.0)
    assert len(still_name("é" * 300, 1.0, "ü" * 300, "track1").encode()) < 255
