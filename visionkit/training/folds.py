"""Pictures in parts for choosing settings: each part is judged by what the others teach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FOLDS = 5


def assign_folds(
    present: NDArray[np.bool_],
    *,
    groups: NDArray[np.int64] | None = None,
    count: int = FOLDS,
    seed: int = 0,
) -> NDArray[np.int64]:
    """(N,) int64 fold 0..count - 1 of each picture; every class is spread over all of them.

    A held-back picture whose copy is learned from is no test. So pictures of one group share a
    fold.

    Args:
        present: (N, K) the classes of each picture.
        groups: (N,) number of the group of each picture; every picture is its own if None.
        count: how many folds.
        seed: of the order among equals.

    Raises:
        ValueError: fewer than two folds, or groups of another number of pictures.
    """
    pictures, classes = present.shape
    groups = np.arange(pictures) if groups is None else groups
    if count < 2 or len(groups) != pictures:
        raise ValueError(
            f"folds must be 2 or more with a group a picture, got {count} folds, {len(groups)} "
            f"groups for {pictures} pictures"
        )
    number = np.unique(groups, return_inverse=True)[1]
    sums = np.zeros((int(number.max(initial=-1)) + 1, classes + 1))  # last: how many pictures
    np.add.at(sums, number, np.concatenate([present, np.ones((pictures, 1))], axis=1))
    rare = sums / np.maximum(sums.sum(axis=0), 1)  # a rare class weighs as much as a common one
    shuffled = np.random.default_rng(seed).permutation(len(sums))
    filled, chosen = np.zeros((count, classes + 1)), np.zeros(len(sums), np.int64)
    for group in shuffled[np.argsort(-sums[shuffled, -1], kind="stable")]:  # the largest first
        chosen[group] = int((filled @ rare[group]).argmin())
        filled[chosen[group]] += rare[group] / max(rare[group].max(), 1e-12)
    folds: NDArray[np.int64] = chosen[number]
    return folds
