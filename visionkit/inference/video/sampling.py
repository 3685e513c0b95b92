"""Which frames of a video are looked at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

_LEAST_GAP = 8
"""Frames from one sample to the next from which on frames that no other refers to need not be
decoded: the nearest reference frame then lies two frames away at most in usual files."""


@dataclass(frozen=True)
class Every:
    """Each frame whose index is a multiple of `count`; 1 is all of them.

    Raises:
        ValueError: `count` is below 1.
    """

    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"every must be at least 1 frame, got {self.count}")


@dataclass(frozen=True)
class Rate:
    """The frame nearest to each of the instants 0, 1 / fps, 2 / fps ... of the video.

    No frame is taken twice. Where instants lie far apart, the nearest of the frames that others
    refer to is taken, which are quicker to decode.

    Raises:
        ValueError: `fps` is not above 0.
    """

    fps: float

    def __post_init__(self) -> None:
        if not 0 < self.fps < math.inf:
            raise ValueError(f"fps must be above 0, got {self.fps}")


@dataclass(frozen=True)
class KeyFrames:
    """The frames that need no other to be decoded, which is the quickest way through a video."""


Sampling = Every | Rate | KeyFrames
EVERY_FRAME = Every(1)


class Timed(Protocol):
    """A frame of which the place in the video is known."""

    @property
    def index(self) -> int:
        """Among the frames of the video, from 0."""

    @property
    def time(self) -> float:
        """Seconds from the video's start."""


AFrame = TypeVar("AFrame", bound=Timed)


def sampled(frames: Iterable[AFrame], sampling: Sampling) -> Iterator[AFrame]:
    """The frames that are looked at.

    Which ones these are does not depend on where in the video `frames` begin, but for the first
    one of a `Rate`: so a stopped run can go on in the middle.

    Args:
        frames: in the order of their times. For `KeyFrames` these are all that is given.
        sampling: which of them.
    """
    if isinstance(sampling, Rate):
        return _nearest(frames, sampling.fps)
    every = sampling.count if isinstance(sampling, Every) else 1
    return (frame for frame in frames if frame.index % every == 0)


def may_skip_unreferenced(sampling: Sampling, frame_rate: float | None) -> bool:
    """Whether frames that no other refers to can be left out of decoding.

    Args:
        sampling: which frames are looked at.
        frame_rate: frames a second of the video; None where it is not known.
    """
    return (
        isinstance(sampling, Rate)
        and frame_rate is not None
        and frame_rate / sampling.fps >= _LEAST_GAP
    )


def _nearest(frames: Iterable[AFrame], fps: float) -> Iterator[AFrame]:
    """Each frame that is the nearest to some instant; of two as near the earlier."""
    before, current = -math.inf, None
    for frame in frames:
        if current is not None:
            middle = (current.time + frame.time) / 2
            if _instant_between(before, middle, fps):
                yield current
            before = middle
        current = frame
    if current is not None:
        # The last frame stands for as long again as it came after the one before it.
        last = current.time + (current.time - before if math.isfinite(before) else 0.0)
        if _instant_between(before, last, fps):
            yield current


def _instant_between(low: float, high: float, fps: float) -> bool:
    """Whether low < k / fps <= high for a whole number k from 0 up."""
    # Times are rounded to the file's own ticks: an instant on a border must not hang on that.
    last = math.floor(high * fps + 1e-6)
    return last >= 0 and (low == -math.inf or last > math.floor(low * fps + 1e-6))
