"""Pictures that are nearly the same: what is learned from should not be tested on again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from visionkit.evaluation.outcomes import FloatArray, IntArray

SIMILARITY = 0.9
"""Cosine of standardised features from which two pictures pass for copies. Of the 1,608 pictures of
Grocery's training split 75 pairs are so alike to MobileNetV2, all of one class each; of the 632
pairs above 0.8 some are not."""
_ROWS = 512  # compared with all others at once


@dataclass(frozen=True)
class NearCopy:
    """Two pictures that are nearly or wholly the same.

    Attributes:
        first, second: their numbers, the smaller first.
        similarity: cosine of their standardised features, -1..1.
        equal: whether their pixels are the same.
    """

    first: int
    second: int
    similarity: float
    equal: bool


def near_copies(
    features: NDArray[np.floating],
    content_hashes: Sequence[str] = (),
    *,
    similarity: float = SIMILARITY,
) -> list[NearCopy]:
    """Pairs of pictures that are nearly the same, the most alike first.

    Args:
        features: (N, C) float features of the pictures.
        content_hashes: of their pixels; equal for equal pixels. Empty where not known.
        similarity: cosine of standardised features from which a pair counts.

    Raises:
        ValueError: there are hashes, but not one a picture.
    """
    if len(content_hashes) not in (0, len(features)):
        raise ValueError(
            f"content hashes must be one a picture, {len(features)}, got {len(content_hashes)}"
        )
    unit = _unit(np.asarray(features, np.float64))
    pairs: dict[tuple[int, int], tuple[float, bool]] = {}
    for start in range(0, len(unit), _ROWS):
        alike = unit[start : start + _ROWS] @ unit.T
        for row, column in np.argwhere(np.triu(alike >= similarity, k=start + 1)):
            pairs[start + int(row), int(column)] = float(alike[row, column]), False
    for pair in _equal(content_hashes):
        pairs[pair] = float(unit[pair[0]] @ unit[pair[1]]), True
    copies = [NearCopy(*pair, alike, equal) for pair, (alike, equal) in pairs.items()]
    return sorted(copies, key=lambda copy: (not copy.equal, -copy.similarity, copy.first))


def copy_groups(count: int, copies: Sequence[NearCopy]) -> IntArray:
    """(count,) int64 number of the group of each picture: copies of copies are of one group."""
    first = [copy.first for copy in copies]
    second = [copy.second for copy in copies]
    links = coo_array((np.ones(len(copies)), (first, second)), shape=(count, count))
    groups: IntArray = connected_components(links, directed=False)[1].astype(np.int64)
    return groups


def _unit(features: FloatArray) -> FloatArray:
    """Standardised rows of length 1; a row of nothing but means stays 0 and is like no other."""
    deviation = features.std(axis=0) if len(features) else np.ones(features.shape[1])
    standard = (features - features.mean(axis=0)) if len(features) else features
    standard = standard / np.where(deviation > 1e-9, deviation, 1.0)
    length = np.linalg.norm(standard, axis=1, keepdims=True)
    return standard / np.where(length > 1e-9, length, 1.0)


def _equal(content_hashes: Sequence[str]) -> list[tuple[int, int]]:
    """Each picture of known pixels with the first that has the same."""
    first: dict[str, int] = {}
    pairs = []
    for picture, content_hash in enumerate(content_hashes):
        if content_hash and first.setdefault(content_hash, picture) != picture:
            pairs.append((first[content_hash], picture))
    return pairs
