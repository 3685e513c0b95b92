"""Which pictures look so much alike that a fold may not judge one by the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from visionkit.evaluation.near_copies import copy_groups, near_copies

ALIKE = (0.75, 0.8, 0.85, 0.9, 0.95)
"""Cosine of standardised features from which two pictures of one class share a fold: the first at
which classes still fall into enough groups. Many of Grocery's pictures are of one shelf in a row:
each for itself, 91 of 100 held-back ones are named rightly, with look-alikes together 77; of the
test pictures, which are of other shops, it is 68."""
_MOST_COMPARED = 20_000  # pictures of which each is compared with each


def look_alikes(
    features: Tensor, present: NDArray[np.bool_], folds: int
) -> NDArray[np.int64] | None:
    """The group of each picture: those of one class that look nearly the same; None for each alone.

    Args:
        features: (N, C) of the plain frames.
        present: (N, K) the classes of each.
        folds: groups that the middle one of all classes must fall into, if it has the pictures.
    """
    if len(features) > _MOST_COMPARED:
        return None
    copies = near_copies(features.numpy(), similarity=ALIKE[0])
    same = [copy for copy in copies if (present[copy.first] & present[copy.second]).any()]
    pictures = present.sum(axis=0)
    wanted = np.minimum(pictures, folds)
    for alike in ALIKE:
        groups = copy_groups(len(features), [copy for copy in same if copy.similarity >= alike])
        counts = [len(np.unique(groups[shown])) for shown in present.T]
        if np.median(counts - wanted) >= 0:
            return groups
    return None
