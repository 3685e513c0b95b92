"""What flows along a video: predictions of frames with their time."""

from __future__ import annotations

from dataclasses import dataclass

from visionkit.inference.prediction import Prediction


@dataclass(frozen=True)
class FramePrediction:
    """What a predictor says of one frame.

    Attributes:
        video: path or address of the video.
        index: of the frame among all that the stream holds, from 0.
        time: seconds from the beginning of the stream, by its own time stamps.
        size: (height, width) of the upright frame in pixels.
        prediction: boxes in its pixels.
    """

    video: str
    index: int
    time: float
    size: tuple[int, int]
    prediction: Prediction
