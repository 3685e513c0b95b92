"""Where another scene begins: how much each frame differs from the one before, and which is a cut.

The first is measured while frames are read, and written with what is said of them. The second is
told from what is written, so that a run that was stopped tells the same cuts as one that was not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.framing import Framing, lay
from visionkit.inference.video.frames import Frame, FramePrediction
from visionkit.types import Image

_GRID = 8
"""Parts along each side whose mean colours are compared: so coarse that motion changes little."""
_LEAST = 20.0
"""Of 255. Measured on five real clips, all, every third and every fifth of their frames: 27.7 to
55.8 where one is cut to another, within one at most 7.8, and 23.9 of every fifth, where neighbours
are as large. All 60 joins were told, and nothing else."""
_TIMES_ITS_LIKE = 2.0
"""So much more a cut changes than the frames before it, on average, and than its neighbours."""
_PAST = 8  # frames
_MOST_SECONDS = 0.2 + 1e-3
"""Frames further apart differ as much by motion as by a cut: there none is told."""


class Changes:
    """Measures how much frames of a video differ, each from the one before.

    It takes pictures that were made for a head, and so costs nearly nothing.

    Args:
        framings: that frames are made in; none where they are made with all pixels.
    """

    def __init__(self, framings: Collection[Framing]) -> None:
        by_size = sorted(framings, key=lambda framing: (framing.size, framing.fit))
        self._framing = by_size[0] if by_size else None
        self._before: NDArray[np.float32] | None = None

    def see(self, frame: Frame) -> float | None:
        """The mean difference of the parts of a frame from the last one's, 0..255.

        None for the first. Rounded, so that it is the same when it was written and read.
        """
        now, before = _parts(self._picture(frame)), self._before
        self._before = now
        return None if before is None else round(float(np.abs(now - before).mean()), 2)

    def _picture(self, frame: Frame) -> Image:
        """(h, w, 3) uint8: the frame without what a head's frame has around it."""
        if self._framing is None:
            return frame.image
        height, width = lay(*frame.size, self._framing)[0]
        return frame.framed(self._framing)[0][:height, :width]


def _parts(picture: Image) -> NDArray[np.float32]:
    """(8, 8, 3) mean colours; a rim of under 8 pixels is left out, as whole parts are quick."""
    height, width = (max(side // _GRID * _GRID, 1) for side in picture.shape[:2])
    whole = picture[:height, :width]
    return cv2.resize(whole, (_GRID, _GRID), interpolation=cv2.INTER_AREA).astype(np.float32)


def with_cuts(frames: Iterable[FramePrediction]) -> Iterator[tuple[FramePrediction, bool]]:
    """The frames of one video, each with whether another scene begins with it.

    A cut is one large change among small ones: neither a flash, which changes twice, nor fast
    motion, which lasts, is one; nor is a slow fade. Each frame waits for the next.
    """
    past: deque[float] = deque(maxlen=_PAST)
    for before, frame, after in _neighbours(frames):
        apart = before is None or frame.time - before.time > _MOST_SECONDS
        if frame.change is None or apart:
            past.clear()
            yield frame, False
            continue
        near = [(after.change if after is not None else None) or 0.0]
        near += [sum(past) / len(past), past[-1]] if past else []
        past.append(frame.change)
        yield frame, frame.change >= max(_LEAST, _TIMES_ITS_LIKE * max(near))


def _neighbours(
    frames: Iterable[FramePrediction],
) -> Iterator[tuple[FramePrediction | None, FramePrediction, FramePrediction | None]]:
    """Each frame between the one before and the one after; None where there is none."""
    before: FramePrediction | None = None
    frame: FramePrediction | None = None
    for after in frames:
        if frame is not None:
            yield before, frame, after
        before, frame = frame, after
    if frame is not None:
        yield before, frame, None
