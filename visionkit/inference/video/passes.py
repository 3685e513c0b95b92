"""Tracks and votes over the predictions of whole videos, which are read twice."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, groupby, islice, pairwise
from statistics import median
from typing import Any

import numpy as np
import supervision as sv

from visionkit.inference.prediction import Prediction
from visionkit.inference.records import prediction_records, read_prediction
from visionkit.inference.video.cuts import with_cuts
from visionkit.inference.video.frames import FramePrediction
from visionkit.inference.video.tracks import Tracks, with_ids
from visionkit.inference.video.votes import Ballot, Row, TrackKey, count_votes, settled_rows

_FIRST = 65  # frames from which the rate of a video is told
_USUAL_RATE = 25.0  # of a video with one frame, where it is no matter


class TrackPass:
    """Tracks the finds of videos, so that a second reading knows what the first has seen.

    The first reading is done when this is made. It needs no picture. What it keeps are the votes
    of each track and 8 bytes a find.

    Args:
        frames: predictions of any number of videos, video by video, by time.

    Attributes:
        ballots: the votes of each track of the exemplar head.
    """

    def __init__(self, frames: Iterable[FramePrediction]) -> None:
        self._ids = array("q")
        self.ballots: dict[TrackKey, Ballot] = count_votes(self._counted(frames))

    def tracked(self, frames: Iterable[FramePrediction]) -> Iterator[FramePrediction]:
        """The same frames with the number of its track at each find.

        Args:
            frames: the very ones that this was made of.
        """
        place = 0

        def numbered(found: sv.Detections | None) -> sv.Detections | None:
            nonlocal place
            if found is None:
                return None
            start, place = place, place + len(found)
            return with_ids(found, np.array(self._ids[start:place], np.int64))

        for frame in frames:
            found = replace(
                frame.prediction,
                exemplar=numbered(frame.prediction.exemplar),
                localization=numbered(frame.prediction.localization),
            )
            yield replace(frame, prediction=found)

    def settled(
        self, frames: Iterable[FramePrediction], *, seconds: float = 0.5
    ) -> Iterator[FramePrediction]:
        """The same frames with tracks, voted items and smoothed scores; see `settled_rows`.

        Args:
            frames: the very ones that this was made of.
            seconds: scores are smoothed over so long before and after.
        """
        waiting: deque[tuple[FramePrediction, int]] = deque()

        def rows() -> Iterator[Row]:
            for frame in self.tracked(frames):
                found = frame_rows(frame)
                waiting.append((frame, len(found)))
                # A frame without finds goes through as one row, so that it does not wait long.
                yield from found or [{"video": frame.video, "time": frame.time, "task": None}]

        ready: list[dict[str, Any]] = []
        for row in settled_rows(rows(), self.ballots, seconds=seconds):
            ready.append(row)
            frame, count = waiting[0]
            if len(ready) >= count:
                waiting.popleft()
                found = read_prediction(frame.prediction.tasks, ready if count else [])
                yield replace(frame, prediction=found)
                ready = []

    def _counted(self, frames: Iterable[FramePrediction]) -> Iterator[Row]:
        """The rows of the frames with their tracks, which are remembered."""
        for frame in _track(frames):
            for found in (frame.prediction.exemplar, frame.prediction.localization):
                if found is not None and found.tracker_id is not None:
                    self._ids.extend(int(each) for each in found.tracker_id)
            if frame.prediction.exemplar is not None and len(frame.prediction.exemplar):
                yield from frame_rows(
                    replace(frame, prediction=Prediction(exemplar=frame.prediction.exemplar))
                )


def frame_rows(frame: FramePrediction) -> list[dict[str, Any]]:
    """The finds and classes of a frame as rows."""
    height, width = frame.size
    place = {"video": frame.video, "frame": frame.index, "time": frame.time}
    size = {"width": width, "height": height}
    return [{**place, **size, **record} for record in prediction_records(frame.prediction)]


def _track(frames: Iterable[FramePrediction]) -> Iterator[FramePrediction]:
    """The frames with their tracks, which are counted anew in each video."""
    for _, video in groupby(frames, lambda frame: frame.video):
        first = list(islice(video, _FIRST))
        tracks = Tracks(frame_rate=_rate(first))
        for frame, cut in with_cuts(chain(first, video)):
            yield replace(frame, prediction=tracks.update(frame, cut=cut))


def _rate(frames: list[FramePrediction]) -> float:
    """Frames a second, by the usual step between some that were looked at."""
    times = [frame.time for frame in frames]
    steps = [after - before for before, after in pairwise(times)]
    rising = [step for step in steps if step > 0]
    return 1 / median(rising) if rising else _USUAL_RATE
