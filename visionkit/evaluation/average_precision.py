"""Average precision as COCO counts it, over all pictures or over bootstrap rounds of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visionkit.evaluation.outcomes import BoolArray, FloatArray, IntArray

_RECALL_LEVELS = np.linspace(0.0, 1.0, 101)


def average_precision(matched: BoolArray, score: FloatArray, truths: int) -> float:
    """Area under the precision-recall curve, 0..1, read at 101 recalls; nan without true boxes.

    Precision at a recall is the best precision at that recall or a higher one (COCO's
    `COCOeval.accumulate`). Finds of equal score keep the order given.

    Args:
        matched: (N,) whether each find is right.
        score: (N,)
        truths: how many true boxes there are.
    """
    if truths == 0:
        return float("nan")
    ranked = matched[np.argsort(-score, kind="stable")]
    rank = np.flatnonzero(ranked) + 1  # of the right finds
    right = np.arange(1, len(rank) + 1)
    return _area(right / truths, right / rank)


def average_precision_rounds(
    matched: BoolArray,
    score: FloatArray,
    picture: IntArray,
    truth_picture: IntArray,
    weights: FloatArray,
) -> FloatArray:
    """(rounds,) average precision where picture p counts `weights[round, p]` times.

    Args:
        matched: (N,) whether each find is right.
        score: (N,)
        picture: (N,) the picture of each find.
        truth_picture: (M,) picture of each true box.
        weights: (rounds, pictures) from `picture_weights`.
    """
    order = np.argsort(-score, kind="stable")
    matched, picture = matched[order], picture[order]
    truths = weights @ np.bincount(truth_picture, minlength=weights.shape[1])
    if not matched.any():
        return np.where(truths > 0, 0.0, np.nan)
    right_weight = weights[:, picture[matched]].cumsum(axis=1)
    wrong_weight = _wrong_before(matched, picture, weights)
    found = right_weight + wrong_weight
    precision = np.divide(right_weight, found, out=np.zeros_like(found), where=found > 0)
    recall = right_weight / np.maximum(truths, 1)[:, None]
    areas = [_area(r, p) for r, p in zip(recall, precision, strict=True)]
    return np.where(truths > 0, areas, np.nan)


def _wrong_before(matched: BoolArray, picture: IntArray, weights: FloatArray) -> FloatArray:
    """(rounds, K) weight of the wrong finds ranked before each of the K right ones.

    Counting the wrong finds between two right ones by picture makes it one matrix product,
    whatever the number of finds.
    """
    right = int(matched.sum())
    pictures = weights.shape[1]
    segment = np.cumsum(matched)  # right finds so far: the wrong find lies before number `segment`
    counted = ~matched & (segment < right)
    cell = segment[counted] * pictures + picture[counted]
    counts = np.bincount(cell, minlength=right * pictures).reshape(right, pictures)
    between = weights.astype(np.float32) @ counts.T.astype(np.float32)
    return between.astype(np.float64).cumsum(axis=1)


def _area(recall: FloatArray, precision: FloatArray) -> float:
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALL_LEVELS, side="left")
    return float(np.append(best, 0.0)[at].mean())


def thinned(points: int, most: int) -> NDArray[np.int64]:
    """Indices of at most `most` of `points` points, first and last among them."""
    if points <= most:
        return np.arange(points)
    return np.unique(np.linspace(0, points - 1, most).round().astype(np.int64))
