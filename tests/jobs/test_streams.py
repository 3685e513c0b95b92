"""Streams that another process sends over the network: read, ended, and given up."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import pytest

from tests.clips import number_of
from tests.jobs.test_predict_video import frames_of
from tests.streaming import camera
from tests.worlds import classification_part, whole_backbone
from visionkit.cli import main
from visionkit.inference.predictor import Predictor
from visionkit.inference.video.reader import Reading, read_frames

FRAMES = 60


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classes") / "bundle"
    part = classification_part(threshold=0.0, size=(48, 64))
    Predictor(whole_backbone(), None, part).save(folder)
    return folder


def words_for(bundle: Path, address: str, run: Path, *more: str) -> list[str]:
    words = ["predict_video", f"bundle={bundle}", f"source={address}", f"output={run}"]
    return [*words, "accelerator=cpu", "engine=torch", "timeline=false", *more]


@pytest.mark.parametrize("protocol", ["http", "rtsp"])
def test_every_frame_of_a_stream_comes_with_its_time(protocol: str) -> None:
    with camera(protocol, FRAMES, "end") as address:
        read = [
            (number_of(frame.image), frame.index, frame.time)
            for frame in read_frames(address, Reading(whole=True, timeout=10))
        ]
    assert [(number, index) for number, index, _ in read] == [(n, n) for n in range(FRAMES)]
    # FFmpeg gives no time stamp to the first frame over RTSP: times begin with the second there.
    first = 1 if protocol == "rtsp" else 0
    assert [seconds for _, _, seconds in read] == pytest.approx(
        [max(0, n - first) / 10 for n in range(FRAMES)]
    )


@pytest.mark.parametrize("protocol", ["http", "rtsp"])
def test_a_stream_that_ends_ends_the_run(protocol: str, bundle: Path, tmp_path: Path) -> None:
    """It serves one listener once: it must not be opened twice."""
    with camera(protocol, FRAMES, "end") as address:
        assert main(words_for(bundle, address, tmp_path / "run")) == 0
    assert [frame for _, frame in frames_of(tmp_path / "run")] == list(range(FRAMES))
    assert not (tmp_path / "run" / "problems.csv").exists()


@pytest.mark.parametrize("protocol", ["http", "rtsp"])
def test_a_stream_that_stalls_is_given_up_and_what_came_is_kept(
    protocol: str, bundle: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with camera(protocol, FRAMES, "stall") as address:
        began = time.monotonic()
        assert main(words_for(bundle, address, run, "timeout=2")) == 3
        assert time.monotonic() - began < 30  # the camera stays connected for twice as long
    found = [frame for _, frame in frames_of(run)]
    assert found == list(range(len(found)))
    assert len(found) >= FRAMES - 2  # the last may be waiting to be completed
    with (run / "problems.csv").open(encoding="utf-8") as file:
        (problem,) = csv.DictReader(file)
    assert problem["level"] == "error"
    assert "no data came for 2 seconds" in problem["reason"]
    assert json.loads((run / "run.json").read_text())["unread"] == 1


def test_a_stream_is_left_at_the_end_that_is_asked_for(bundle: Path, tmp_path: Path) -> None:
    with camera("http", FRAMES, "stall") as address:
        assert main(words_for(bundle, address, tmp_path / "run", "end=2")) == 0
    assert [frame for _, frame in frames_of(tmp_path / "run")] == list(range(20))
