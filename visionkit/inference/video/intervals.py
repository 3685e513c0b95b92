"""When each item or class is to be seen in a video, how long, how large and how prominent."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq

from visionkit.inference.video.presence import Footage, Interval, Moment, Presence, ScreenTime
from visionkit.inference.video.votes import Row

FrameRows = tuple[str, float, Sequence[Row]]
"""Video, seconds from its start, and the rows of one frame; none where nothing was found."""

_NAMED = {"exemplar": "item", "localization": "label", "classification": "label"}
_RECENT = 64  # steps between frames from which the length of a video's last frame is told
_LONE_FRAME = 0.04  # seconds that the only frame of a video is taken to last
_TICK = 1e-6  # seconds; rounding of times


def prominence(box: Sequence[float], size: tuple[int, int], score: float) -> float:
    """How much a find stands out, 0..1: its share of the picture x centrality x score.

    Centrality is 1 in the middle of the picture and falls as a bell to 0.14 in its corners:
    exp(-2 d^2) of the distance d of the box's middle in half diagonals. People look at the middle
    first: a bell around it foretells their gaze better than most features of the picture do (Judd
    et al., "Learning to Predict Where Humans Look", ICCV 2009).

    Args:
        box: xyxy in pixels.
        size: (height, width) of the picture.
        score: 0..1.
    """
    height, width = size
    x_min, y_min, x_max, y_max = box
    across, down = (x_min + x_max) / width - 1, (y_min + y_max) / height - 1
    squared = (across**2 * width**2 + down**2 * height**2) / (width**2 + height**2)
    return area_share(box, size) * math.exp(-2 * squared) * score


def area_share(box: Sequence[float], size: tuple[int, int]) -> float:
    """The part of a picture of (height, width) that an xyxy box covers, 0..1."""
    height, width = size
    across = min(box[2], width) - max(box[0], 0)
    down = min(box[3], height) - max(box[1], 0)
    return max(across, 0.0) * max(down, 0.0) / (height * width)


def parquet_rows(path: str | Path) -> Iterator[Row]:
    """The rows of a Parquet file, a batch in memory at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=4096):
            yield from batch.to_pylist()


def frames_of(rows: Iterable[Row]) -> Iterator[FrameRows]:
    """The frames that rows belong to; those that lie together in the rows."""
    for (video, _, time), found in groupby(
        rows, lambda row: (str(row["video"]), int(row["frame"]), float(row["time"]))
    ):
        yield video, time, list(found)


def screen_time(
    frames: Iterable[FrameRows],
    *,
    gap_seconds: float = 1.0,
    frame_seconds: float | None = None,
) -> ScreenTime:
    """Intervals of every item and class, from the frames in turn; see `Measuring`."""
    measuring = Measuring(gap_seconds=gap_seconds, frame_seconds=frame_seconds)
    for video, time, rows in frames:
        measuring.add(video, time, rows)
    return measuring.finish()


class Measuring:
    """Measures when items and classes are to be seen while frames come in.

    A frame lasts until the next one that was looked at; the last as long as the frames before it
    usually did, but not beyond the video's end where that is known, and a lone one until there. Of
    the classes of whole frames those that are assumed count. Memory grows with intervals and
    tracks, not with frames.

    Args:
        gap_seconds: an item that is gone for no longer is taken to have been there.
        frame_seconds: the longest that a frame may last. Needed where frames without finds are
            not given (`frames_of` rows of a table that lists finds only): else the frame before
            them would last through them all. None where every frame that was looked at is given.
        end_of: gives the seconds from a video's start at which it ends, None where they are not
            known; asked once a video.

    Raises:
        ValueError: a number is negative.
    """

    def __init__(
        self,
        *,
        gap_seconds: float = 1.0,
        frame_seconds: float | None = None,
        end_of: Callable[[str], float | None] = lambda _: None,
    ) -> None:
        if gap_seconds < 0 or (frame_seconds or 0) < 0:
            raise ValueError(
                f"gap_seconds and frame_seconds must be at least 0, got {gap_seconds} and "
                f"{frame_seconds}."
            )
        self._gap, self._longest, self._end_of = gap_seconds, frame_seconds, end_of
        self._video: _Video | None = None
        self._presences: list[Presence] = []
        self._footage: list[Footage] = []

    def add(self, video: str, time: float, rows: Sequence[Row]) -> None:
        """Takes the next frame; the frames of a video come together, by time.

        Args:
            video: path or address.
            time: seconds from the video's start.
            rows: what was found; none is a normal value.

        Raises:
            ValueError: the frame comes before the last one.
        """
        if self._video is None or self._video.name != video:
            self._close()
            self._video = _Video(video, self._gap, self._longest)
        self._video.add(time, rows)

    def finish(self) -> ScreenTime:
        """What was to be seen in all videos."""
        self._close()
        return ScreenTime(tuple(self._presences), tuple(self._footage))

    def _close(self) -> None:
        if self._video is not None:
            seen, found = self._video.finish(self._end_of(self._video.name))
            self._footage.append(seen)
            self._presences += found
        self._video = None


@dataclass
class _Open:
    """An interval that may still go on; sums are over finds, weighed by the frames' lengths."""

    class_id: int
    start: float
    end: float
    frames: int = 0
    tracks: dict[int, float] = field(default_factory=dict)
    object_seconds: float = 0.0
    weight: float = 0.0
    area: float = 0.0
    prominence: float = 0.0
    score: float = 0.0
    best: Moment | None = None
    best_rank: float = -1.0

    def add(self, rows: Sequence[Row], time: float, seconds: float, gap_seconds: float) -> None:
        """Counts the finds of one frame."""
        self.end = max(self.end, time + seconds)
        self.frames += 1
        for row in rows:
            self._count(row, seconds)
            track = row.get("track")
            self.object_seconds += seconds
            if track is None or track < 0:
                continue
            gone = time - self.tracks.get(track, time)
            self.object_seconds += gone if 0 < gone <= gap_seconds + _TICK else 0.0
            self.tracks[int(track)] = time + seconds

    def _count(self, row: Row, seconds: float) -> None:
        weight = max(seconds, 1e-9)  # frames of no length still have a mean
        score = float(row["score"] or 0.0)
        box, size = row.get("box"), (int(row["height"]), int(row["width"]))
        area = area_share(box, size) if box is not None else math.nan
        rank = standing = prominence(box, size, score) if box is not None else math.nan
        if box is None:
            rank = score
        self.weight += weight
        self.area += weight * area
        self.prominence += weight * standing
        self.score += weight * score
        if rank > self.best_rank:
            corners = None if box is None else (box[0], box[1], box[2], box[3])
            self.best_rank = rank
            self.best = Moment(int(row["frame"]), float(row["time"]), score, corners, size)

    def close(self, video: str, task: str, name: str) -> Interval:
        """The interval as it stands."""
        if self.best is None:
            raise RuntimeError(f"an interval must hold a find [{video}, {name}]")
        return Interval(
            video=video,
            task=task,
            name=name,
            class_id=self.class_id,
            start=self.start,
            end=self.end,
            frames=self.frames,
            tracks=frozenset(self.tracks),
            object_seconds=self.object_seconds,
            area=self.area / self.weight,
            prominence=self.prominence / self.weight,
            score=self.score / self.weight,
            best=self.best,
        )


class _Video:
    """Gathers the intervals of one video."""

    def __init__(self, name: str, gap_seconds: float, longest: float | None) -> None:
        self.name = name
        self._gap, self._longest = gap_seconds, longest
        self._open: dict[tuple[str, str], _Open] = {}
        self._closed: dict[tuple[str, str], list[Interval]] = {}
        self._start = self._end = math.nan
        self._frames, self._seconds = 0, 0.0
        self._steps: deque[float] = deque(maxlen=_RECENT)
        self._before: tuple[float, Sequence[Row]] | None = None

    def add(self, time: float, rows: Sequence[Row]) -> None:
        """Takes the next frame; so it is known how long the one before it lasted."""
        if self._before is None:
            self._start = time
        else:
            step = time - self._before[0]
            if step < 0:
                raise ValueError(
                    f"frames must be in order of time, got {time} s after {self._before[0]} s "
                    f"[{self.name}]; sort them."
                )
            step = step if self._longest is None else min(step, self._longest)
            self._steps.append(step)
            self._count(*self._before, step)
        self._before = time, rows

    def _count(self, time: float, rows: Sequence[Row], seconds: float) -> None:
        """Counts a frame that lasted so long."""
        self._frames += 1
        self._seconds += seconds
        self._end = time + seconds
        named: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            if row.get("assumed") is not False:
                named.setdefault((row["task"], str(row[_NAMED[row["task"]]])), []).append(row)
        for key, found in named.items():
            going_on = self._open.get(key)
            if going_on is None or time - going_on.end > self._gap + _TICK:
                self._close(key)
                class_id = found[0].get("class_id")
                going_on = _Open(-1 if class_id is None else int(class_id), time, time)
                self._open[key] = going_on
            going_on.add(found, time, seconds, self._gap)

    def finish(self, end: float | None) -> tuple[Footage, list[Presence]]:
        """How much was seen, and the sums from the longest screen time down."""
        if self._before is not None:
            self._count(*self._before, self._last_seconds(self._before[0], end))
        for key in list(self._open):
            self._close(key)
        footage = Footage(self.name, self._frames, self._start, self._end, self._seconds)
        presences = [_presence(intervals, self._seconds) for intervals in self._closed.values()]
        return footage, sorted(presences, key=lambda one: (-one.seconds, one.task, one.name))

    def _last_seconds(self, time: float, end: float | None) -> float:
        """How long the last frame lasts, of a video that ends then."""
        usual = median(self._steps) if self._steps else self._longest or None
        if end is None or end <= time:
            return _LONE_FRAME if usual is None else usual
        return end - time if usual is None else min(usual, end - time)

    def _close(self, key: tuple[str, str]) -> None:
        going_on = self._open.pop(key, None)
        if going_on is not None:
            self._closed.setdefault(key, []).append(going_on.close(self.name, *key))


def _presence(intervals: Sequence[Interval], video_seconds: float) -> Presence:
    first = intervals[0]
    weights = [max(one.object_seconds, 1e-9) for one in intervals]

    def mean(values: Iterable[float]) -> float:
        weighed = (weight * value for weight, value in zip(weights, values, strict=True))
        return sum(weighed) / sum(weights)

    seconds = sum(one.seconds for one in intervals)
    return Presence(
        video=first.video,
        task=first.task,
        name=first.name,
        class_id=first.class_id,
        intervals=tuple(intervals),
        seconds=seconds,
        share=min(seconds / video_seconds, 1.0) if video_seconds else 0.0,
        object_seconds=sum(one.object_seconds for one in intervals),
        tracks=len(frozenset[int]().union(*(one.tracks for one in intervals))),
        area=mean(one.area for one in intervals),
        prominence=mean(one.prominence for one in intervals),
        score=mean(one.score for one in intervals),
    )
