"""Places of a scene that resemble views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visionkit.types import BoxArray


@dataclass(frozen=True)
class Candidates:
    """Places that resemble a view; N may be 0.

    Attributes:
        boxes: (N, 4) float32 xyxy, pixels of the scene; may reach beyond it.
        similarity: (N,) float32, mean cosine similarity of the cells, -1..1.
        template: (N,) int64, index of the template.
        level: (N,) int64, index of the pyramid's level.
    """

    boxes: BoxArray
    similarity: NDArray[np.float32]
    template: NDArray[np.int64]
    level: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.similarity)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Candidates:
        """The candidates at `index`, in that order."""
        return Candidates(*(value[index] for value in vars(self).values()))


def no_candidates() -> Candidates:
    """Candidates of a scene in which nothing was found."""
    return Candidates(
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.float32),
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
    )


def concatenate(parts: Sequence[Candidates]) -> Candidates:
    """All candidates of the parts, in order; of no part: none."""
    if not parts:
        return no_candidates()
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Candidates(*(np.concatenate(column) for column in columns))
