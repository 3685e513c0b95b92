"""What models say of many pictures, as columns: 100,000 pictures are weighed in a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visionkit.flywheel.answers import Proposal

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


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
    task, tasks = _coded(one.task for one in own)
    return Columns(
        proposals=own,
        pictures=len(ids),
        picture=np.fromiter((number[one.sample_id] for one in own), np.int64, len(own)),
        score=np.fromiter((one.score for one in own), np.float64, len(own)),
        threshold=np.fromiter((one.threshold for one in own), np.float64, len(own)),
        second=np.fromiter((one.runner_up_score for one in own), np.float64, len(own)),
        label=_coded(one.label for one in own)[0],
        model=_coded(one.model for one in own)[0],
        task=task,
        tasks=tasks,
        whole=np.fromiter((one.box is None for one in own), np.bool_, len(own)),
        inliers=np.fromiter((one.inliers for one in own), np.int64, len(own)),
        track=np.fromiter((one.track for one in own), np.int64, len(own)),
    )


def _coded(names: Iterable[str]) -> tuple[IntArray, tuple[str, ...]]:
    """(P,) a number for each name, equal for equal names, and the names by number."""
    codes: dict[str, int] = {}
    coded = np.array([codes.setdefault(name, len(codes)) for name in names], np.int64)
    return coded, tuple(codes)
