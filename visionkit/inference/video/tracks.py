"""Tracks: which finds of successive frames are the same object."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import supervision as sv
from numpy.typing import NDArray

from visionkit.inference.prediction import Prediction
from visionkit.inference.video.frames import FramePrediction

if TYPE_CHECKING:
    from trackers import ByteTrackTracker

_LOST_SECONDS = 1.0
_LOST_FRAMES = 3
_DENSE_RATE = 10.0
"""Frames a second from which on an object's boxes in two frames overlap, unless it is very fast."""
_BUFFER = 0.5
"""Boxes of sparser frames are widened by this part of their sides on each side before they are
compared: the wider of the two buffers of Yang et al., "Hard To Track Objects with Irregular
Motions and Similar Appearances?", WACV 2023."""
_LEAST_STEP = (
    0.001  # seconds; frames with equal or falling time stamps are taken to be so far apart
)


class Tracks:
    """Numbers the finds of one video, the same number for the same object.

    ByteTrack (Zhang et al., ECCV 2022) as the package `trackers` has it: a Kalman filter by time
    stamps foretells each box, and the best assignment by overlap continues the tracks. Finds of
    the exemplar head are tracked by their place alone, since the item is voted along the track
    (`votes.py`); boxes of the localization head for each class of its own, so that no number
    jumps between classes. A number is never used twice in a video. What the tracker remembers are
    the boxes of the last `lost_seconds`.

    Args:
        frame_rate: frames a second that are looked at, about; their time stamps say it exactly.
        lost_seconds: an object that was not found for longer gets a new number. By default one
            second, or three frames where those take longer.

    Raises:
        ValueError: a number is not positive.
        ModuleNotFoundError: the package `trackers` is not installed.
    """

    def __init__(self, *, frame_rate: float, lost_seconds: float | None = None) -> None:
        if not 0 < frame_rate < float("inf"):
            raise ValueError(
                f"frame_rate must be positive, got {frame_rate}; give the frames a second that "
                "are looked at."
            )
        self._frame_rate = frame_rate
        self._lost_seconds = (
            max(_LOST_SECONDS, _LOST_FRAMES / frame_rate) if lost_seconds is None else lost_seconds
        )
        if self._lost_seconds <= 0:
            raise ValueError(f"lost_seconds must be positive, got {lost_seconds}.")
        self._places = self._tracker()
        self._classes: dict[int, ByteTrackTracker] = {}
        self._given = 0
        self._time = -float("inf")

    def update(self, frame: FramePrediction, *, cut: bool = False) -> Prediction:
        """The prediction with `tracker_id` in the boxes of both heads; order and values stay.

        Args:
            frame: the next of the video.
            cut: whether another scene begins with it, as `with_cuts` tells: no track goes on
                across a cut.
        """
        if cut:
            self.restart()
        self._time = max(frame.time, self._time + _LEAST_STEP)
        found = frame.prediction
        if found.exemplar is not None:
            ids = self._track(self._places, found.exemplar.xyxy)
            found = replace(found, exemplar=with_ids(found.exemplar, ids))
        if found.localization is not None:
            ids = self._track_classes(found.localization)
            found = replace(found, localization=with_ids(found.localization, ids))
        return found

    def restart(self) -> None:
        """Ends all tracks, at a cut; numbers go on counting."""
        self._places = self._tracker()
        self._classes.clear()

    def _track_classes(self, detections: sv.Detections) -> NDArray[np.int64]:
        if detections.class_id is None:
            return self._track(self._places, detections.xyxy)
        ids = np.full(len(detections), -1, np.int64)
        there = {int(each) for each in detections.class_id}
        for class_id in sorted(there | self._classes.keys()):
            tracker = self._classes.setdefault(class_id, self._tracker())
            rows = np.flatnonzero(detections.class_id == class_id)
            ids[rows] = self._track(tracker, detections.xyxy[rows])
            if not tracker.tracks:
                del self._classes[class_id]  # so memory holds what is in view, not what was
        return ids

    def _track(
        self, tracker: ByteTrackTracker, boxes: NDArray[np.number[Any]]
    ) -> NDArray[np.int64]:
        """(N,) numbers of tracks of (N, 4) xyxy boxes."""
        # The tracker changes the order, so each box carries its place.
        placed = sv.Detections(
            xyxy=np.asarray(boxes, np.float32).reshape(-1, 4),
            confidence=np.ones(len(boxes), np.float32),
            data={"place": np.arange(len(boxes))},
        )
        tracked = tracker.update(placed, timestamp=self._time)
        ids = np.full(len(boxes), -1, np.int64)
        if not len(boxes) or tracked.tracker_id is None:
            return ids
        # It numbers an object only when it is seen again. Here objects count from their first
        # frame: new tracks stand last, in the order of the boxes that have no number yet.
        new = [track for track in tracker.tracks if track.tracker_id == -1]
        numbers = np.array(tracked.tracker_id, np.int64)
        for place, track in zip(np.flatnonzero(numbers == -1), new, strict=True):
            track.tracker_id = numbers[place] = self._given
            self._given += 1
        ids[np.asarray(tracked.data["place"], np.int64)] = numbers
        return ids

    def _tracker(self) -> ByteTrackTracker:
        try:
            from trackers import BIoU, ByteTrackTracker, IoU
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "tracking needs the package `trackers`, which is not installed; pip install "
                "--no-deps trackers (its dependencies would put another OpenCV over the headless "
                "one), or turn tracking off with track=false"
            ) from error
        dense = self._frame_rate >= _DENSE_RATE
        return ByteTrackTracker(
            lost_track_buffer=max(1, round(self._lost_seconds * 30)),  # counted in frames at 30 fps
            frame_rate=self._frame_rate,
            # Every find has reached the threshold of its item or class: none is a weak one.
            track_activation_threshold=0.0,
            high_conf_det_threshold=0.0,
            minimum_consecutive_frames=1,
            iou=IoU() if dense else BIoU(_BUFFER),
        )


def with_ids(detections: sv.Detections, ids: NDArray[np.int64]) -> sv.Detections:
    """The detections with the numbers of their tracks; those given stay as they are."""
    numbered = copy.copy(detections)
    numbered.tracker_id = ids
    return numbered
