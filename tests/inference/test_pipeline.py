"""Videos asked about: the answers are those of their frames, and nothing is left behind."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from tests.clips import write_clip
from tests.worlds import (
    classification_part,
    localization_part,
    new_finder,
    three_items,
    whole_backbone,
)
from visionkit.inference.prediction import Prediction
from visionkit.inference.predictor import Predictor
from visionkit.inference.video.frames import Frame
from visionkit.inference.video.pipeline import Threads, predict_batches, split_threads
from visionkit.inference.video.reader import Reading, read_frames


@pytest.mark.parametrize(
    ("decoding", "network", "cores", "expected"),
    [
        (1.0, 1.0, 1, Threads(1, 1)),
        (1.0, 1.0, 2, Threads(1, 1)),  # as at 720p
        (2.2, 1.0, 2, Threads(2, 2)),  # as at 1080p
        (1.0, 9.0, 2, Threads(1, 1)),
        (1.0, 3.0, 8, Threads(2, 6)),
        (1.0, 99.0, 8, Threads(1, 7)),
    ],
)
def test_threads_follow_the_weight_of_the_halves(
    decoding: float, network: float, cores: int, expected: Threads
) -> None:
    assert split_threads(decoding, network, cores, several=False) == expected


@pytest.mark.parametrize(
    ("decoding", "network", "cores", "expected"),
    [
        (1.0, 1.0, 1, Threads(1, 1, 1)),
        (1.0, 4.0, 2, Threads(1, 1, 2)),
        (1.0, 1.0, 2, Threads(2, 1, 2)),
        (9.0, 1.0, 2, Threads(2, 1, 2)),
        (1.0, 3.0, 16, Threads(5, 4, 4)),
    ],
)
def test_threads_that_ask_at_once(
    decoding: float, network: float, cores: int, expected: Threads
) -> None:
    assert split_threads(decoding, network, cores, several=True) == expected


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(
        whole_backbone(),
        new_finder(three_items()),
        classification_part(threshold=0.0),
        localization_part(threshold=0.005),
    )


def close(first: Prediction, second: Prediction) -> None:
    """Passes if two answers are equal but for rounding."""
    assert first.tasks == second.tasks
    assert first.labels == second.labels
    for task in ("exemplar", "localization"):
        one, other = getattr(first, task), getattr(second, task)
        if one is not None:
            assert len(one) == len(other)
            np.testing.assert_allclose(one.xyxy, other.xyxy, atol=0.02)


def test_a_video_is_answered_as_its_frames_are(predictor: Predictor, clip: Path) -> None:
    tasks = ["classification", "localization"]
    answers = list(predictor.video(clip, tasks, batch_size=4))
    assert [(each.index, each.time) for each in answers] == [(n, n / 10) for n in range(30)]
    assert {(each.video, each.size) for each in answers} == {(str(clip), (96, 128))}
    frames = list(read_frames(clip))
    for answer, prediction in zip(answers, predictor.predict(frames, tasks), strict=True):
        close(answer.prediction, prediction)


def test_items_are_found_in_whole_frames(predictor: Predictor, clip: Path) -> None:
    (answer,) = predictor.video(clip, ["exemplar"], start=1.0, end=1.1)
    (each,) = read_frames(clip, Reading(start=1.0, end=1.1))
    expected = predictor.find(each.image)
    assert answer.prediction.exemplar is not None
    np.testing.assert_allclose(answer.prediction.exemplar.xyxy, expected.xyxy, atol=0.02)


def test_a_video_stopped_early_leaves_no_thread(predictor: Predictor, clip: Path) -> None:
    answers = predictor.video(clip, ["classification"], batch_size=2)
    next(answers)
    answers.close()  # type: ignore[attr-defined]  # it is a generator
    assert not [each for each in threading.enumerate() if "visionkit" in each.name]


def test_what_is_lost_of_a_video_is_a_warning(predictor: Predictor, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mp4", 40, options={"movflags": "faststart"})
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.warns(UserWarning, match="must have 40 frames"):
        list(predictor.video(whole, ["classification"]))


def test_a_head_that_is_not_there(clip: Path) -> None:
    alone = Predictor(whole_backbone(), None, classification_part())
    with pytest.raises(ValueError, match="heads of the bundle"):
        next(alone.video(clip, ["localization"]))


def test_batches_are_held_no_longer_than_needed(predictor: Predictor, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "many.mp4", 200, key_every=25)
    seen: list[weakref.ref[Frame]] = []
    most = 0
    batches = predict_batches(
        predictor, path, Reading(), ["classification"], batch_size=4, problems=[]
    )
    for batch in batches:
        seen += [weakref.ref(each) for each, _ in batch]
        del batch
        most = max(most, sum(each() is not None for each in seen))
    assert len(seen) == 200
    assert most <= 4 * 2
