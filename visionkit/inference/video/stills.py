"""Single frames out of a video, read again after it was looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from visionkit.inference.video.frames import Frame
from visionkit.inference.video.opening import VideoError, is_stream
from visionkit.inference.video.reader import Reading, read_frames
from visionkit.types import Image

StillReader = Callable[[str, Sequence[float]], Iterable[tuple[float, Image]]]
"""`read_stills`, or what else gives the frames of a video at some times, rising: each as its time
and (H, W, 3) uint8 RGB. Times at which nothing can be read are left out."""

_APART = 10.0  # seconds; frames that are nearer are read in one go, farther ones are sought
_TICK = 1e-4  # seconds; rounding of times


def read_stills(video: str, times: Sequence[float]) -> Iterator[tuple[float, Image]]:
    """The frames of a video that are shown at some times: each as its time and its pixels.

    The video is decoded only from the key frame before each, so it is quick where they are few.

    Args:
        video: path. Of an address of a stream, which has passed, nothing is given.
        times: seconds from the video's start, rising.

    Returns:
        The times as they were given, each with (H, W, 3) uint8 RGB, upright. Times that can't be
        read, as in a damaged or deleted video, are left out.
    """
    if is_stream(video):
        return
    for near in _neighbours(times):
        try:
            for time, frame in _shown(near, read_frames(video, _reading(near))):
                yield time, frame.image
        except (VideoError, FileNotFoundError):
            return


def _reading(times: Sequence[float]) -> Reading:
    # A second before: the frame that is shown at a time may have begun earlier.
    return Reading(start=max(times[0] - 1, 0.0) or None, end=times[-1] + 1)


def _neighbours(times: Sequence[float]) -> Iterator[list[float]]:
    """The times in groups that lie apart."""
    near: list[float] = []
    for time in times:
        if near and time - near[-1] > _APART:
            yield near
            near = []
        near.append(time)
    if near:
        yield near


def _shown(times: Sequence[float], frames: Iterable[Frame]) -> Iterator[tuple[float, Frame]]:
    """Each time with the last frame that begins at it or before."""
    left = list(reversed(times))
    before: Frame | None = None
    for frame in frames:
        while left and before is not None and left[-1] < frame.time - _TICK:
            yield left.pop(), before
        if not left:
            return
        before = frame
    if before is not None:
        yield from ((time, before) for time in reversed(left))
