"""Answers of frames before, given again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from av.video.frame import VideoFrame

from tests.clips import numbered_image
from visionkit.inference.prediction import Prediction
from visionkit.inference.video.frames import Frame
from visionkit.inference.video.reuse import Reusing


@pytest.mark.parametrize(("threshold", "asked"), [(0.5, [0, 3, 4]), (250.0, [0])])
def test_frames_that_hardly_changed_get_the_answer_before(
    tmp_path: Path, threshold: float, asked: list[int]
) -> None:
    """Frames 0 to 2 are alike, 3 has another number, 4 again; frames 5 and 6 are as 4."""
    numbers = [7, 7, 7, 8, 9, 9, 9]
    frames = [
        Frame(place, place / 10, VideoFrame.from_ndarray(numbered_image(number), format="rgb24"))
        for place, number in enumerate(numbers)
    ]
    seen: list[int] = []

    def answer(batch: Sequence[Frame]) -> list[Prediction]:
        seen.extend(frame.index for frame in batch)
        return [Prediction(labels=(str(frame.index),)) for frame in batch]

    reusing = Reusing(answer, threshold)
    said = [one for batch in (frames[:2], frames[2:6], frames[6:]) for one in reusing(batch)]
    assert seen == asked
    expected = [max(each for each in asked if each <= place) for place in range(7)]
    assert [one.labels for one in said] == [(str(place),) for place in expected]
    assert reusing.reused == 7 - len(asked)
