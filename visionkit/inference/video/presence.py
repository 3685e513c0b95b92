"""What was to be seen of an item or class in a video, and when: values and their CSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from visionkit.data.problems import escape_cell
from visionkit.files import write_bytes
from visionkit.inference.part_files import utf8


@dataclass(frozen=True)
class Moment:
    """The frame of an interval that shows it best.

    Attributes:
        frame: its index in the video.
        time: seconds from the video's start.
        score: of the find, 0..1.
        box: xyxy in pixels of the upright frame; None for classes of the whole frame.
        size: (height, width) of the frame.
    """

    frame: int
    time: float
    score: float
    box: tuple[float, float, float, float] | None
    size: tuple[int, int]


@dataclass(frozen=True)
class Interval:
    """A stretch of time in which an item or class is to be seen without a longer gap.

    Attributes:
        video: path or address.
        task: head that says so.
        name: of the item or class.
        class_id: of it, -1 where it is not known.
        start, end: seconds from the video's start; the end is that of the last frame.
        frames: that were looked at and show it.
        tracks: numbers of its objects; empty without tracking.
        object_seconds: how long its objects are to be seen, summed: two at once count twice.
        area: mean share of the picture that a find covers, 0..1; NaN for classes of whole frames.
        prominence: mean of `prominence` of the finds, 0..1; NaN likewise.
        score: mean score, 0..1.
        best: the most prominent find, or the surest where there are no boxes.
    """

    video: str
    task: str
    name: str
    class_id: int
    start: float
    end: float
    frames: int
    tracks: frozenset[int]
    object_seconds: float
    area: float
    prominence: float
    score: float
    best: Moment

    @property
    def seconds(self) -> float:
        """How long it is: time with at least one object, gaps that were bridged included."""
        return self.end - self.start


@dataclass(frozen=True)
class Presence:
    """All intervals of an item or class in a video, summed.

    Attributes:
        video, task, name, class_id: as of its intervals.
        intervals: from the first to the last.
        seconds: screen time: with at least one object.
        share: of the video's time that was looked at, 0..1.
        object_seconds: of all objects; two at once count twice.
        tracks: number of objects; 0 without tracking.
        area, prominence, score: means over the time of all objects.
    """

    video: str
    task: str
    name: str
    class_id: int
    intervals: tuple[Interval, ...]
    seconds: float
    share: float
    object_seconds: float
    tracks: int
    area: float
    prominence: float
    score: float


@dataclass(frozen=True)
class Footage:
    """How much of a video was looked at.

    Attributes:
        video: path or address.
        frames: that were looked at.
        start, end: seconds: of the first frame, and where the last one ends.
        seconds: sum of the frames' lengths.
    """

    video: str
    frames: int
    start: float
    end: float
    seconds: float


@dataclass(frozen=True)
class ScreenTime:
    """What was to be seen in some videos.

    Attributes:
        presences: video by video as they came, in each from the longest screen time down.
        footage: of each video, those without finds included.
    """

    presences: tuple[Presence, ...]
    footage: tuple[Footage, ...]

    @property
    def intervals(self) -> list[Interval]:
        """Those of all presences."""
        return [interval for presence in self.presences for interval in presence.intervals]


def write_intervals(path: str | Path, intervals: Iterable[Interval]) -> Path:
    """Path of a CSV file of one line an interval; written whole or not at all.

    Times are seconds from the video's start. Areas and prominence are shares of the picture,
    empty for classes of whole frames, as is the box of the best frame. Names that a spreadsheet
    would run get a leading apostrophe.

    Raises:
        RuntimeError: the disk is full.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        "video task name start end seconds frames tracks object_seconds mean_area prominence "
        "mean_score best_frame best_time best_score x_min y_min x_max y_max".split()
    )
    for one in intervals:
        best = one.best
        box = [""] * 4 if best.box is None else [f"{value:.1f}" for value in best.box]
        writer.writerow(
            [
                escape_cell(one.video),
                one.task,
                escape_cell(one.name),
                *map(_short, (one.start, one.end, one.seconds)),
            ]
            + [one.frames, len(one.tracks), _short(one.object_seconds)]
            + [*map(_short, (one.area, one.prominence, one.score))]
            + [best.frame, _short(best.time), _short(best.score), *box]
        )
    # File names that are not UTF-8 are shown, not lost.
    write_bytes(path, utf8(text.getvalue()))
    return Path(path)


def _short(value: float) -> str:
    """Six decimals at most; nothing for NaN."""
    return "" if math.isnan(value) else f"{value:.6f}".rstrip("0").rstrip(".")
