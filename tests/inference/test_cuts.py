"""Cuts between scenes: found in real clips that are joined, and not in fast motion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.clips import write_clip
from tests.jobs.test_predict_video import config_of, eager_writer, rows_of
from tests.worlds import localization_part, photo, whole_backbone
from visionkit.data.framing import Framing
from visionkit.inference.prediction import Prediction
from visionkit.inference.predictor import Predictor
from visionkit.inference.video import cuts as module
from visionkit.inference.video.cuts import Changes, with_cuts
from visionkit.inference.video.frames import Frame, FramePrediction
from visionkit.inference.video.pipeline import predict_batches
from visionkit.inference.video.reader import Place, Reading, read_frames
from visionkit.inference.video.sampling import Every, KeyFrames, Rate, Sampling
from visionkit.jobs import predict_video as job
from visionkit.jobs.predict_video import predict_video
from visionkit.types import Image

SIZE = Framing((96, 160), "letterbox")


def clip_of(path: Path, pictures: Iterable[Image], *, rate: int = 25) -> Path:
    """Writes pictures of one size as a video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.options = {"preset": "ultrafast"}
        for number, picture in enumerate(pictures):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def real(path: Path, count: int, *, every: int = 1) -> Iterator[Image]:
    """(96, 160, 3) pictures of a clip."""
    sampled = Reading(Every(every), framings=frozenset([Framing((96, 160), "stretch")]))
    for frame in islice(read_frames(path, sampled), count):
        yield frame.framed(Framing((96, 160), "stretch"))[0]


def changing(*changes: float | None, step: float = 0.04) -> list[bool]:
    """Whether a scene begins with each of some frames."""
    frames = [
        FramePrediction("a.mp4", number, number * step, (9, 16), Prediction(), change)
        for number, change in enumerate(changes)
    ]
    found = list(with_cuts(frames))
    assert [frame for frame, _ in found] == frames
    return [cut for _, cut in found]


def cuts_of(path: Path, **reading: Any) -> list[int]:
    """Indices of the frames with which a scene begins."""
    wanted = Reading(framings=frozenset([SIZE]), changes=True, **reading)
    frames = [
        FramePrediction("a.mp4", each.index, each.time, each.size, Prediction(), each.change)
        for each in read_frames(path, wanted)
    ]
    return [frame.index for frame, cut in with_cuts(frames) if cut]


def test_no_frames_no_changes() -> None:
    assert changing() == []
    assert changing(None) == [False]
    assert changing(None, None, 60.0) == [False, False, True]
    first = Frame(0, 0.0, av.VideoFrame.from_ndarray(photo(0), format="rgb24"))
    changes = Changes([])
    assert changes.see(first) is None
    assert changes.see(first) == 0.0


@pytest.mark.parametrize(
    ("changes", "step", "cuts"),
    [
        ([None, 1, 1, 40, 1, 1], 0.04, [3]),
        ([None, 1, 1, 40, 1, 40, 1], 0.04, [3, 5]),
        ([None, 1, 1, 40, 45, 1, 1], 0.04, []),  # a flash
        ([None, 1, 1, 30, 35, 40, 45, 30, 1], 0.04, []),  # a camera that swings
        ([None, 1, 1, 12, 12, 12, 1], 0.04, []),  # a fade
        ([None, 12, 12, 60, 12, 12], 0.04, [3]),  # from one moving scene to another
        ([None, 1, 1, 40, 1, 1], 0.2, [3]),
        ([None, 1, 1, 40, 1, 1], 0.25, []),  # too far apart to tell
    ],
)
def test_one_large_change_is_a_cut(
    changes: list[float | None], step: float, cuts: list[int]
) -> None:
    found = changing(*changes, step=step)
    assert [place for place, cut in enumerate(found) if cut] == cuts


def test_real_clips_joined_are_cut_where_they_meet_and_nowhere_else(
    shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "video"
    parts = {
        "bottle-detection.mp4": 60,
        "car-detection.mp4": 313,
        "pedestrian_survaillance.mp4": 40,
    }
    parts |= {"people-detection.gif": 20}
    pictures: list[Image] = []
    joins = []
    for name, count in parts.items():
        pictures += real(folder / name, count)
        joins.append(len(pictures))
    path = clip_of(tmp_path / "joined.mp4", pictures)
    assert cuts_of(path) == joins[:-1]
    assert cuts_of(path, sampling=Every(5)) == [-(-join // 5) * 5 for join in joins[:-1]]


def test_fast_motion_is_no_cut(shared_data: Path, tmp_path: Path) -> None:
    """Cars that pass five times as fast as they did."""
    pictures = list(real(shared_data / "video" / "car-detection.mp4", 60, every=5))
    path = clip_of(tmp_path / "fast.mp4", pictures)
    changes = [
        each.change
        for each in read_frames(path, Reading(framings=frozenset([SIZE]), changes=True))
        if each.change is not None
    ]
    assert max(changes) > 15  # or it would not be fast
    assert cuts_of(path) == []


def test_a_camera_that_swings_is_no_cut(tmp_path: Path) -> None:
    """It begins to move a sixth of the picture a frame, from one frame to the next."""
    wide = np.concatenate([photo(3), photo(4), photo(3)[:, ::-1]], axis=1)
    height, view = wide.shape[0], wide.shape[1] // 3 // 2 * 2
    ends = [0] * 10 + list(range(0, wide.shape[1] - view, view // 6))
    path = clip_of(tmp_path / "swing.mp4", [wide[: height // 2 * 2, x : x + view] for x in ends])
    assert cuts_of(path) == []


@pytest.mark.parametrize("sampling", [Every(1), Every(3), Rate(4), KeyFrames()])
def test_reading_that_goes_on_measures_the_same(sampling: Sampling, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 40)
    reading: dict[str, Any] = {"sampling": sampling, "framings": frozenset([SIZE]), "changes": True}
    whole = {each.index: each.change for each in read_frames(path, Reading(**reading))}
    assert [index for index, change in whole.items() if change is None] == [0]
    for index in list(whole)[:-1]:
        after = Place(index, index / 10)
        left = {
            each.index: each.change for each in read_frames(path, Reading(**reading, after=after))
        }
        assert left == {key: value for key, value in whole.items() if key > index}


@pytest.mark.parametrize(
    "parts", [[], [Framing((32, 32), "crop")], [SIZE, Framing((64, 64), "stretch")]]
)
def test_what_is_around_the_picture_does_not_count(parts: list[Framing]) -> None:
    """White after black is all there is to change, however frames are framed."""
    changes = Changes(parts)
    for number, level in enumerate((0, 255)):
        picture = np.full((90, 160, 3), level, np.uint8)
        decoded = av.VideoFrame.from_ndarray(picture, format="rgb24")
        found = changes.see(Frame(number, number / 25, decoded))
    assert found == 255.0


def test_no_track_goes_on_from_one_clip_into_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boxes in the same places before and after: only the pictures tell."""
    pytest.importorskip("trackers", reason="tracks need the package trackers")
    bundle = tmp_path / "bundle"
    Predictor(whole_backbone(), None, None, localization_part(threshold=0.005, size=(48, 64))).save(
        bundle
    )
    still = [photo(5)[:96, :128]] * 9 + [photo(6)[:96, :128]] * 9
    path = clip_of(tmp_path / "joined.mp4", still, rate=10)
    config = config_of(bundle, path, track=True, batch_size=3)

    def spanning(folder: Path) -> set[int]:
        before, after = (
            {row["track"] for row in rows_of(folder) if (row["frame"] < 9) == is_before}
            for is_before in (True, False)
        )
        assert before
        assert after
        return before & after

    predict_video(config, tmp_path / "whole")
    assert not spanning(tmp_path / "whole")

    def stopping(*args: Any, **own: Any) -> Any:
        for count, batch in enumerate(predict_batches(*args, **own), start=1):
            yield batch
            if count == 3:  # the frame after is the first of the other clip
                raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        eager_writer(patched)
        patched.setattr(job, "predict_batches", stopping)
        predict_video(config, tmp_path / "run")
    predict_video(config, tmp_path / "run")
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")

    monkeypatch.setattr(module, "_LEAST", 256.0)
    predict_video(config, tmp_path / "without")
    assert spanning(tmp_path / "without")
