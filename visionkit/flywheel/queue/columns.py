"""What models say of many pictures, as columns: 100,000 pictures are weighed in a moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.flywheel.answers import Proposal

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
_FIELDS = attrgetter(
    *"sample_id score threshold runner_up_score label model task box inliers track".split()
)


@dataclass(frozen=True)
class Doubts:
    """How doubtful each picture is for one reason; N pictures.

    Attributes:
        kind: of the reason.
        weight: (N,) float64 0..1; 0 where there is no such doubt.
        words: number of a picture with a weight -> a sentence with the figure in it.
    """

    kind: str
    weight: FloatArray
    words: Callable[[int], str]


@dataclass(frozen=True)
class Columns:
    """Proposals of N pictures as columns of P.

    Attributes:
        proposals: P of them.
        pictures: N.
        picture: (P,) int64 which picture each is of, 0..N - 1.
        score, threshold, second: (P,) float64; second is the runner-up's score.
        label, model: (P,) int64 codes; equal for equal names.
        task: (P,) int64 place in `tasks`.
        tasks: names of the heads.
        whole: (P,) bool, whether it is about the whole picture.
        inliers, track: (P,) int64, as of `Proposal`.
    """

    proposals: Sequence[Proposal]
    pictures: int
    picture: IntArray
    score: FloatArray
    threshold: FloatArray
    second: FloatArray
    label: IntArray
    model: IntArray
    task: IntArray
    tasks: tuple[str, ...]
    whole: BoolArray
    inliers: IntArray
    track: IntArray

    @property
    def assumed(self) -> BoolArray:
        """(P,) whether the model takes it to be there."""
        there: BoolArray = self.score >= self.threshold
        return there

    def of_task(self, name: str) -> BoolArray:
        """(P,) whether the head of that name says it."""
        if name not in self.tasks:
            return np.zeros(len(self.proposals), bool)
        said: BoolArray = self.task == self.tasks.index(name)
        return said

    def strongest(self, weight: FloatArray) -> tuple[FloatArray, IntArray]:
        """(N,) the greatest weight of each picture's proposals, and which it is; 0 and -1 for none.

        Args:
            weight: (P,) float64; those of 0 don't count.
        """
        order = np.argsort(weight, kind="stable")
        order = order[weight[order] > 0]
        best = np.full(self.pictures, -1, np.int64)
        best[self.picture[order]] = order  # of several the last one stays, the greatest
        found = np.where(best >= 0, np.append(weight, 0.0)[best], 0.0)
        return found, best


def columns_of(proposals: Sequence[Proposal], ids: Sequence[str]) -> Columns:
    """The proposals that are about these pictures, as columns.

    Args:
        proposals: of any pictures.
        ids: of N pictures.
    """
    number = {sample_id: place for place, sample_id in enumerate(ids)}
    own = [one for one in proposals if one.sample_id in number]
    taken: list[tuple[Any, ...]] = list(zip(*map(_FIELDS, own), strict=True))
    sample, score, threshold, second, label, model, task, box, inliers, track = taken or [()] * 10
    coded, tasks = _coded(task)
    return Columns(
        proposals=own,
        pictures=len(ids),
        picture=np.array([number[name] for name in sample], np.int64),
        score=np.array(score, np.float64),
        threshold=np.array(threshold, np.float64),
        second=np.array(second, np.float64),
        label=_coded(label)[0],
        model=_coded(model)[0],
        task=coded,
        tasks=tasks,
        whole=np.array([each is None for each in box], np.bool_),
        inliers=np.array(inliers, np.int64),
        track=np.array(track, np.int64),
    )


def _coded(names: Sequence[str]) -> tuple[IntArray, tuple[str, ...]]:
    """(P,) a number for each name, equal for equal names, and the names by number."""
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return np.array([codes[name] for name in names], np.int64), tuple(codes)
