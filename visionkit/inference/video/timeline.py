"""The timeline: one page with the intervals of every item or class of some videos."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from visionkit.evaluation.page import write_page
from visionkit.evaluation.wall import data_uri, fitted
from visionkit.inference.drawing import class_colour
from visionkit.inference.video.presence import Footage, Interval, Presence, ScreenTime
from visionkit.inference.video.stills import StillReader
from visionkit.scores import score_text

_PAGE = files("visionkit.inference.video") / "timeline_page"
_PICTURE_SIZE = (640, 480)  # width, height within which a frame is shown
_QUALITY = 72
_TICKS = 6
_TICK_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_TASK_WORDS = {"exemplar": "item", "localization": "box", "classification": "whole frame"}


@dataclass(frozen=True)
class Limits:
    """How much one page holds, so that a browser opens it whatever the length of the videos.

    Attributes:
        videos: shown, those with the longest screen times.
        lanes: items and classes of one video.
        intervals: in all, the longest of each item in turn.
        pictures: frames that are shown, likewise.
        bytes: of all pictures.
    """

    videos: int = 60
    lanes: int = 60
    intervals: int = 4000
    pictures: int = 240
    bytes: int = 12_000_000


@dataclass(frozen=True)
class _Bar:
    """An interval on the page; numbers of places are percent."""

    key: str
    interval: Interval
    left: float
    width: float
    words: str
    evidence: str
    picture: str
    picture_size: tuple[int, int]
    box: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class _Lane:
    """An item or class of one video on the page."""

    presence: Presence
    colour: str
    task: str
    bars: tuple[_Bar, ...]

    @property
    def left_out(self) -> int:
        return len(self.presence.intervals) - len(self.bars)

    @property
    def pictures(self) -> list[_Bar]:
        return [bar for bar in self.bars if bar.picture]


def write_timeline(
    path: str | Path,
    measured: ScreenTime,
    stills: StillReader,
    *,
    created: str = "",
    limits: Limits | None = None,
) -> Path:
    """Path of `timeline.html`: one page that holds its pictures and loads nothing.

    What does not fit is left out, the shortest intervals first, and the page says so.

    Args:
        path: where it lies in the end; written whole or not at all.
        measured: what was to be seen.
        stills: reads the best frame of the intervals.
        created: when it was made, for the page.
        limits: how much it holds.

    Raises:
        RuntimeError: the disk is full.
    """
    limits = Limits() if limits is None else limits
    by_video: dict[str, list[Presence]] = {one.video: [] for one in measured.footage}
    for presence in measured.presences:
        by_video[presence.video].append(presence)
    footage = _shown_videos(measured.footage, by_video, limits.videos)
    lanes = {one.video: by_video[one.video][: limits.lanes] for one in footage}
    shown = {*_in_turn((one for each in lanes.values() for one in each), limits.intervals)}
    pictures = _pictures(_in_turn(_only(lanes, shown), limits.pictures), stills, limits.bytes)
    content = {
        "created": created,
        "videos": [
            _video(number, one, lanes[one.video], shown, pictures, len(by_video[one.video]))
            for number, one in enumerate(footage)
        ],
        "totals": _totals(measured) if len(measured.footage) > 1 else [],
        "seconds": sum(one.seconds for one in measured.footage),
        "frames": sum(one.frames for one in measured.footage),
        "names": len({(one.task, one.name) for one in measured.presences}),
        "intervals": len(measured.intervals),
        "intervals_left_out": len(measured.intervals) - len(shown),
        "pictures": len(pictures),
        "videos_in_all": len(measured.footage),
        "clock": clock,
        "duration": duration,
        "share": _share,
    }
    return write_page(path, "timeline.html.jinja", content, own=_PAGE)


def clock(seconds: float) -> str:
    """A time of a video, to a tenth of a second.

    >>> clock(3.25), clock(75), clock(3675.5), clock(59.96)
    ('0:03.2', '1:15', '1:01:15.5', '1:00')
    """
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    second, tenth = divmod(rest, 10)
    fraction = f".{tenth}" if tenth else ""
    start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{start}:{second:02d}{fraction}"


def duration(seconds: float) -> str:
    """A length of time in words; spaces do not break.

    >>> [duration(each).replace("\N{NO-BREAK SPACE}", " ") for each in (0.04, 4.25, 75, 3675)]
    ['0.04 s', '4.2 s', '1 min 15 s', '1 h 1 min']
    """
    whole = round(seconds)
    if seconds < 1:
        words = f"{seconds:.2g} s"
    elif whole < 60:
        words = f"{seconds:.1f} s"
    elif whole < 3600:
        words = f"{whole // 60} min {whole % 60} s"
    else:
        words = f"{whole // 3600} h {whole % 3600 // 60} min"
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def _share(value: float) -> str:
    r"""A share of 0..1 as percent with two figures, since most objects are small.

    >>> _share(0.1234), _share(0.00123), _share(0.0)
    ('12\xa0%', '0.12\xa0%', '0\xa0%')
    """
    if not math.isfinite(value):
        return "–"
    percent = 100 * value
    digits = 0 if percent >= 10 or percent == 0 else 1 if percent >= 1 else 2
    return f"{percent:.{digits}f}\N{NO-BREAK SPACE}%"


def _shown_videos(
    footage: Sequence[Footage], presences: Mapping[str, Sequence[Presence]], count: int
) -> list[Footage]:
    """The videos with the longest screen times, in the order in which they came."""
    times = {one.video: sum(each.seconds for each in presences[one.video]) for one in footage}
    longest = set(heapq.nlargest(count, times, key=lambda video: times[video]))
    return [one for one in footage if one.video in longest]


def _in_turn(presences: Iterable[Presence], count: int) -> list[Interval]:
    """The longest interval of each presence, then the second of each, and so on up to a count."""
    ranked = [
        (rank, -interval.seconds, place, interval)
        for place, presence in enumerate(presences)
        for rank, interval in enumerate(sorted(presence.intervals, key=lambda one: -one.seconds))
    ]
    ranked.sort(key=lambda each: each[:3])
    return [interval for *_, interval in ranked[:count]]


def _only(lanes: Mapping[str, Sequence[Presence]], shown: set[Interval]) -> Iterator[Presence]:
    """The presences that have intervals on the page."""
    for presences in lanes.values():
        yield from (one for one in presences if not shown.isdisjoint(one.intervals))


def _pictures(
    wanted: Iterable[Interval], stills: StillReader, most_bytes: int
) -> dict[tuple[str, float], tuple[str, tuple[int, int]]]:
    """Video and time -> the frame as a data URI, and its width and height there."""
    times: dict[str, set[float]] = {}
    for interval in wanted:
        times.setdefault(interval.video, set()).add(interval.best.time)
    pictures: dict[tuple[str, float], tuple[str, tuple[int, int]]] = {}
    size = 0
    for video, each in times.items():
        for time, image in stills(video, sorted(each)):
            small = fitted(image, _PICTURE_SIZE)
            uri = data_uri(small, quality=_QUALITY)
            size += len(uri)
            if size > most_bytes:
                return pictures
            pictures[video, time] = uri, (small.shape[1], small.shape[0])
    return pictures


def _video(
    number: int,
    footage: Footage,
    presences: Sequence[Presence],
    shown: set[Interval],
    pictures: Mapping[tuple[str, float], tuple[str, tuple[int, int]]],
    in_all: int,
) -> dict[str, Any]:
    length = max(footage.end - footage.start, 1e-6)
    return {
        "footage": footage,
        "name": footage.video if "://" in footage.video else Path(footage.video).name,
        "length": length,
        "lanes": [
            _Lane(
                presence,
                "rgb({}, {}, {})".format(*class_colour(max(presence.class_id, 0))),
                _TASK_WORDS[presence.task],
                tuple(
                    _bar(f"{number}-{lane}-{place}", interval, footage.start, length, pictures)
                    for place, interval in enumerate(presence.intervals)
                    if interval in shown
                ),
            )
            for lane, presence in enumerate(presences)
        ],
        "lanes_left_out": in_all - len(presences),
        "ticks": _ticks(footage.start, footage.end),
    }


def _bar(
    key: str,
    interval: Interval,
    start: float,
    length: float,
    pictures: Mapping[tuple[str, float], tuple[str, tuple[int, int]]],
) -> _Bar:
    best = interval.best
    uri, size = pictures.get((interval.video, best.time), ("", (0, 0)))
    box = None
    if best.box is not None:
        height, width = best.size
        x_min, y_min, x_max, y_max = best.box
        box = (
            100 * x_min / width,
            100 * y_min / height,
            100 * (x_max - x_min) / width,
            100 * (y_max - y_min) / height,
        )
    evidence = [
        f"shown at {clock(best.time)}, frame {best.frame}",
        f"score {score_text(best.score)}",
    ]
    if math.isfinite(interval.area):
        evidence += [f"area {_share(interval.area)}", f"prominence {_share(interval.prominence)}"]
    if len(interval.tracks) > 1:
        evidence.append(f"{len(interval.tracks)} objects")
    return _Bar(
        key,
        interval,
        left=100 * (interval.start - start) / length,
        width=100 * interval.seconds / length,
        words=f"{clock(interval.start)} – {clock(interval.end)}, {duration(interval.seconds)}",
        evidence=" · ".join(evidence),
        picture=uri,
        picture_size=size,
        box=box,
    )


def _ticks(start: float, end: float) -> list[tuple[float, str]]:
    """Percent and time of the marks on the axis before it is zoomed; scripts make finer ones."""
    length = max(end - start, 1e-6)
    step = next((each for each in _TICK_STEPS if length / each <= _TICKS), length / _TICKS)
    first = math.ceil(start / step - 1e-6)
    count = math.floor((end - first * step) / step + 1e-6) + 1
    times = [(first + each) * step for each in range(count)]
    return [(100 * (time - start) / length, clock(time)) for time in times]


def _totals(measured: ScreenTime) -> list[dict[str, Any]]:
    """Each item or class over all videos, from the longest screen time down."""
    by_name: dict[tuple[str, str], list[Presence]] = {}
    for presence in measured.presences:
        by_name.setdefault((presence.task, presence.name), []).append(presence)
    totals = [
        {
            "name": name,
            "task": _TASK_WORDS[task],
            "colour": "rgb({}, {}, {})".format(*class_colour(max(found[0].class_id, 0))),
            "videos": len(found),
            "seconds": sum(one.seconds for one in found),
            "object_seconds": sum(one.object_seconds for one in found),
            "tracks": sum(one.tracks for one in found),
            "intervals": sum(len(one.intervals) for one in found),
        }
        for (task, name), found in by_name.items()
    ]
    return sorted(totals, key=lambda one: (-one["seconds"], one["name"]))
