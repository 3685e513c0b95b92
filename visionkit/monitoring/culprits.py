"""The live pictures that carry a shift: those that a reference of this kind does not explain."""

from __future__ import annotations

import numpy as np

from visionkit.evaluation.outcomes import FloatArray, IntArray
from visionkit.monitoring import statistics
from visionkit.monitoring.comparison import check_sides
from visionkit.monitoring.observed import Embeddings, Observed
from visionkit.monitoring.properties import NOTICEABLE

NEIGHBOURS = 5
"""Pictures of the reference that one of its kind should lie near."""
_RATIO = 0.05  # of sizes and aspects, as a power of ten: an eighth, as NOTICEABLE has it
CARRIES = 2.3
"""Score from which on a picture carries a shift: of two independent standard scores, 95 of 100 sums
lie below."""


def shift_scores(reference: Observed, live: Observed, *, most: int = 1000) -> FloatArray:
    """(N,) float64: how much each live picture carries the difference to the reference.

    The sum of two standard scores: how far it is from its nearest pictures of the reference,
    which finds single strangers, and how live it looks to a classifier that did not learn from
    it, which finds what many of them share ("Failing Loudly", Rabanser, Günnemann and Lipton,
    NeurIPS 2019, shows exemplars by the latter).

    Args:
        reference: R pictures that are as they should be.
        live: N pictures.
        most: pictures of the reference, and of those live in one go, at most.

    Raises:
        ValueError: a side has fewer than 20 pictures, or their embeddings differ in length.
    """
    check_sides(reference, live)
    usual = reference.drawn(most)
    names = [name for name in usual.numbers if name.startswith("picture.") and name in live.numbers]
    basis = _features(usual, usual, names)
    scores = np.empty(len(live))
    for rows in _parts(len(live), most):
        scores[rows] = _scores(basis, _features(live.take(rows), usual, names))
    return scores


def _parts(count: int, most: int) -> list[IntArray]:
    """Numbers of the pictures in parts of equal size, each spread over all."""
    parts = max(1, -(-count // most))
    return [np.arange(first, count, parts) for first in range(parts)]


def _scores(usual: Embeddings, own: Embeddings) -> FloatArray:
    both = np.concatenate([own, usual])
    live = np.zeros((1, len(both)), bool)
    live[0, : len(own)] = True
    looks = statistics.classifier_scores(both, live)[0]
    far = _distance(own, usual, skip=0)
    among = _distance(usual, usual, skip=1)
    strange = (far - among.mean()) / max(float(among.std()), 1e-9)
    others = looks[len(own) :]
    lively = (looks[: len(own)] - others.mean()) / max(float(others.std()), 1e-9)
    return np.asarray(strange + lively, np.float64)


def _distance(points: Embeddings, centres: Embeddings, *, skip: int) -> FloatArray:
    """(N,) mean distance to the nearest centres, less the `skip` nearest."""
    squared = (
        (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)[None] - 2 * points @ centres.T
    )
    count = min(NEIGHBOURS + skip, len(centres))
    nearest = np.sort(np.partition(squared, count - 1, axis=1)[:, :count], axis=1)[:, skip:]
    return np.asarray(np.sqrt(np.maximum(nearest, 0)).mean(axis=1), np.float64)


def _features(of: Observed, usual: Observed, names: list[str]) -> Embeddings:
    """(N, D + P) float32: embeddings and picture properties by the spread of the reference.

    Properties together count as much as the embedding. One that hardly varies in the reference,
    as colour in grey pictures, counts by what can just be seen.
    """
    blocks = [(of.embeddings, usual.embeddings, np.zeros(1))]
    if names:
        own, others = (
            np.stack([side.numbers[name] for name in names], axis=1).astype(np.float32)
            for side in (of, usual)
        )
        seen = [NOTICEABLE.get(name.removeprefix("picture."), _RATIO) for name in names]
        blocks.append((own, others, np.array(seen)))
    scaled = []
    for block, middle, least in blocks:
        spread = np.maximum(middle.std(axis=0), least)
        spread = np.where(spread > 1e-6, spread, 1.0)
        scaled.append((block - middle.mean(axis=0)) / spread / np.sqrt(block.shape[1]))
    return np.concatenate(scaled, axis=1).astype(np.float32)
