"""Pictures unlike those that are labelled, and like some others: what teaches most.

A picture teaches the more, the more doubtful it is and the less it resembles one that was asked
already. Each alone goes wrong: doubt picks one shelf ten times over, distance picks oddities. So
the two are multiplied, and pictures are taken greedily: the farthest first (Sener and Savarese,
"Active Learning for Convolutional Neural Networks", ICLR 2018), in which doubtful ones count as
farther off. Pictures that resemble hardly any other count as nearer. That typical ones come first
helps only where next to nothing is labelled (Hacohen, Dekel and Weinshall, "Active Learning on a
Budget", ICML 2022): later it only delays the rarer half.

Chosen on Grocery's training pictures, of which groups that look alike were held back together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visionkit.flywheel.queue.columns import FloatArray, IntArray

Vectors = NDArray[np.float32]

NEIGHBOURS = 10
"""Pictures that one is compared with, to tell whether it is an oddity."""
_CHANNELS = 256
_LEAST = 0.01  # likeness, so that a picture like no other can still be asked
_ODD = 0.25  # share of the pictures that count as nearer, the oddest most


def compact(vectors: Vectors, *, channels: int = _CHANNELS, seed: int = 0) -> Vectors:
    """(N, C) float32 rows of length 1 whose cosines are nearly those of the standardised vectors.

    Many numbers are drawn together at random, which keeps angles (Johnson and Lindenstrauss,
    "Extensions of Lipschitz Mappings into a Hilbert Space", 1984) and is quicker to compare. With
    64 instead of 256 the angles of Grocery's pictures blur, and a tenth of what the order gains
    is lost.

    Args:
        vectors: (N, D) float32 embeddings.
        channels: C at most.
        seed: of the projection.
    """
    if not len(vectors):
        return np.zeros((0, min(channels, vectors.shape[1])), np.float32)
    spread = vectors.std(axis=0)
    scale = np.where(spread > 1e-9, 1 / np.maximum(spread, 1e-9), 0.0)
    mixing = np.diag(scale)
    if vectors.shape[1] > channels:
        drawn = np.random.default_rng(seed).standard_normal((vectors.shape[1], channels))
        mixing = scale[:, None] * drawn
    middle = (vectors.mean(axis=0, dtype=np.float64) @ mixing).astype(np.float32)
    mixed = vectors @ mixing.astype(np.float32) - middle
    length = np.linalg.norm(mixed, axis=1, keepdims=True)
    unit: Vectors = mixed / np.where(length > 1e-9, length, 1.0)
    return unit


def newness(unit: Vectors, centres: Vectors) -> FloatArray:
    """(N,) distance 0..2 (1 less the cosine) to the nearest of what is labelled; 1 if nothing is.

    Args:
        unit: (N, C) float32 of `compact`.
        centres: (M, C) float32 of the same `compact`: the labelled pictures.
    """
    if not len(centres):
        return np.ones(len(unit))
    found: FloatArray = 1 - (unit @ centres.T).max(axis=1).astype(np.float64)
    return np.maximum(found, 0.0)


def commonness(unit: Vectors, neighbours: int = NEIGHBOURS) -> FloatArray:
    """(N,) 0..1: 1 for most pictures, less for the quarter that resembles others least.

    How much a picture resembles others is the mean cosine to those most alike; where there are
    too few pictures to tell, all are 1.

    Args:
        unit: (N, C) float32 of `compact`, a few thousand rows at most.
        neighbours: how many are looked at.
    """
    if len(unit) <= neighbours:
        return np.ones(len(unit))
    alike = unit @ unit.T
    np.fill_diagonal(alike, -np.inf)
    nearest = np.partition(alike, len(unit) - neighbours, axis=1)[:, -neighbours:]
    likeness = np.clip(nearest.mean(axis=1, dtype=np.float64), _LEAST, 1.0)
    found: FloatArray = np.minimum(likeness / np.quantile(likeness, _ODD), 1.0)
    return found


def spread_order(unit: Vectors, start: FloatArray, weight: FloatArray) -> IntArray:
    """(N,) int64 numbers of the pictures, in the order in which they are asked.

    Each time the picture with the greatest product of its weight and its distance to all that
    were asked before is taken.

    Args:
        unit: (N, C) float32 of `compact`, a few thousand rows at most.
        start: (N,) float64 distance to what is labelled, as of `newness`.
        weight: (N,) float64, 0 or more.
    """
    alike = unit @ unit.T
    distance, left = start.copy(), weight + 1e-9
    order = np.empty(len(unit), np.int64)
    for place in range(len(unit)):
        best = int((distance * left).argmax())
        order[place] = best
        np.minimum(distance, 1 - alike[best], out=distance)
        np.maximum(distance, 1e-6, out=distance)  # copies come last, but they come
        left[best] = 0.0
    return order
