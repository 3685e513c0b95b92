"""What `reuse=` costs in answers and saves in time, on real clips with an item cut out of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import supervision as sv
from ledger import Ledger
from sets import SHARED, photos

from visionkit.inference.prediction import Prediction
from visionkit.inference.predictor import Predictor
from visionkit.inference.video.frames import Frame, FramePrediction
from visionkit.inference.video.intervals import Interval, screen_time
from visionkit.inference.video.passes import frame_rows
from visionkit.inference.video.reader import Reading, read_frames
from visionkit.inference.video.reuse import THUMBNAIL, Reusing
from visionkit.inference.video.sampling import Every

CLIPS = {
    "bottle-detection": (0, (285, 105, 348, 315)),
    "car-detection": (75, (266, 122, 460, 428)),
}
"""Clip -> the frame that its item is cut out of, and xyxy there in pixels."""
THRESHOLDS = (1.0, 2.0, 4.0)
_SAME_PLACE = 0.5  # IoU
_SAME_TIME = 0.5  # seconds


@dataclass(frozen=True)
class Watched:
    """A clip that was watched, every frame asked about.

    Attributes:
        frames: that were looked at.
        said: of each.
        seconds: that an answer took, the median.
        comparing: seconds that all thumbnails took, which frames are compared by.
    """

    frames: Sequence[Frame]
    said: Sequence[Prediction]
    seconds: float
    comparing: float


def measure_reuse(ledger: Ledger, *, every: int, frames: int) -> None:
    """Adds the figures of all clips and thresholds.

    Each frame is asked about once. A frame's answer does not depend on others, so what reuse would
    say, and the time it would take, is then known for every threshold.

    Args:
        ledger: that figures are added to.
        every: how many frames lie from one that is looked at to the next.
        frames: of each clip, those passed over included.
    """
    for clip in CLIPS:
        watched = _watch(clip, every, frames)
        whole = _intervals(clip, watched.frames, watched.said)
        found = sum(bool(len(each.exemplar or ())) for each in watched.said)
        for threshold in THRESHOLDS:
            _add(
                ledger,
                clip,
                watched,
                whole,
                threshold,
                f"{len(watched.frames)} frames, {found} with finds",
            )


def _watch(clip: str, every: int, count: int) -> Watched:
    path = SHARED / "data" / "video" / f"{clip}.mp4"
    number, (left, top, right, bottom) = CLIPS[clip]
    predictor = Predictor.create(background=photos(24), device="cpu")
    every_frame = read_frames(path, Reading(whole=True))
    shown = next(each for each in every_frame if each.index == number)
    predictor.add_item(clip, [shown.image[top:bottom, left:right]])
    looked = []
    for each in read_frames(path, Reading(Every(every), whole=True)):
        if each.index >= count:
            break
        looked.append(each)
    said, seconds = [], []
    for each in looked:
        start = time.perf_counter()
        said += predictor.predict([each], ["exemplar"], batch_size=1)
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    for each in looked:
        each.framed(THUMBNAIL)
    return Watched(looked, said, statistics.median(seconds), time.perf_counter() - start)


def _add(
    ledger: Ledger,
    clip: str,
    watched: Watched,
    whole: Sequence[Interval],
    threshold: float,
    note: str,
) -> None:
    places = {id(frame): place for place, frame in enumerate(watched.frames)}
    asked: list[int] = []

    def answer(frames: Sequence[Frame]) -> list[Prediction]:
        asked.extend(places[id(frame)] for frame in frames)
        return [watched.said[places[id(frame)]] for frame in frames]

    reusing = Reusing(answer, threshold)
    start = time.perf_counter()
    said = [one for frame in watched.frames for one in reusing([frame])]
    comparing = watched.comparing + time.perf_counter() - start
    spent = comparing + watched.seconds * len(asked)
    same = [_same(one, other) for one, other in zip(watched.said, said, strict=True)]
    theirs = _intervals(clip, watched.frames, said)
    changed = sum(not any(_as_long(one, other) for other in theirs) for one in whole)
    changed += sum(not any(_as_long(one, other) for other in whole) for one in theirs)
    title = f"{clip}, reuse={threshold:g}"
    ledger.add(f"{title}: share of frames reused", reusing.reused / len(said), note=note)
    ledger.add(f"{title}: share of frames answered alike", float(np.mean(same)))
    ledger.add(f"{title}: intervals changed", changed, note=f"of {len(whole)}")
    ledger.add(f"{title}: times as fast", watched.seconds * len(said) / spent)


def _same(one: Prediction, other: Prediction) -> bool:
    """Whether both have the same finds in the same places."""
    mine, its = one.exemplar, other.exemplar
    if mine is None or its is None or len(mine) != len(its):
        return mine is its
    if not len(mine):
        return True
    alike = sv.box_iou_batch(mine.xyxy, its.xyxy) >= _SAME_PLACE
    return bool(alike.any(0).all() and alike.any(1).all())


def _intervals(clip: str, frames: Sequence[Frame], said: Sequence[Prediction]) -> list[Interval]:
    answers = (
        FramePrediction(clip, frame.index, frame.time, frame.size, each)
        for frame, each in zip(frames, said, strict=True)
    )
    return screen_time((clip, each.time, frame_rows(each)) for each in answers).intervals


def _as_long(one: Interval, other: Interval) -> bool:
    """Whether two intervals begin and end together."""
    return abs(one.start - other.start) <= _SAME_TIME and abs(one.end - other.end) <= _SAME_TIME
