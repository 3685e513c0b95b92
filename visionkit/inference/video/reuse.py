"""Frames that hardly changed get the answer of the frame before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from visionkit.data.framing import Framing
from visionkit.inference.prediction import Prediction
from visionkit.inference.video.frames import Frame

THUMBNAIL = Framing((72, 128), "stretch")
"""What frames are compared by: small enough to cost nothing, and that noise averages out."""
_CELL = 8  # thumbnail pixels along each side of the parts that are compared


class Reusing:
    """Asks about frames that differ from the last one that was asked about, and no others.

    A frame differs where any part of 8x8 pixels of its thumbnail does: the mean of a part, over
    its pixels and colours, not that of the whole, which a small thing that moves does not change.

    Args:
        answer: asks about some frames.
        threshold: from which mean difference of a part on a frame is asked about, of 255.

    Attributes:
        reused: frames that were not asked about.
    """

    def __init__(
        self, answer: Callable[[Sequence[Frame]], list[Prediction]], threshold: float
    ) -> None:
        self._answer, self._threshold = answer, threshold
        self._shown: NDArray[np.float32] | None = None
        self._said: Prediction | None = None
        self.reused = 0

    def __call__(self, frames: Sequence[Frame]) -> list[Prediction]:
        """What is said of each frame, that of an earlier one where it hardly changed."""
        asked: list[Frame] = []
        places: list[int] = []  # of each frame among those asked; -1 is the last one before
        for frame in frames:
            if self._differs(frame):
                asked.append(frame)
            places.append(len(asked) - 1)
        said = self._answer(asked) if asked else []
        before = self._said
        found = [before if place < 0 else said[place] for place in places]
        self._said = said[-1] if said else before
        self.reused += len(frames) - len(asked)
        return [each for each in found if each is not None]

    def _differs(self, frame: Frame) -> bool:
        thumbnail = frame.framed(THUMBNAIL)[0].astype(np.float32)
        if self._shown is not None:
            height, width = THUMBNAIL.size
            parts = np.abs(thumbnail - self._shown).reshape(
                height // _CELL, _CELL, width // _CELL, _CELL, 3
            )
            if float(parts.mean((1, 3, 4)).max()) < self._threshold:
                return False
        self._shown = thumbnail
        return True
