"""Statistics of two samples for many divisions of the same pictures at once.

Each function takes `live`, (B, N) bool: B divisions of N pictures into live ones (True) and those
of the reference, the first being the true one. It gives (B,) float64, larger for more unlike
samples. All but the first are drawn by chance, and show what is usual where nothing has changed.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from visionkit.evaluation.outcomes import BoolArray, FloatArray, IntArray
from visionkit.monitoring.observed import Embeddings

RIDGE = 0.1
"""Ridge of the classifier as a share of the mean variance of pictures; from 0.03 to 0.3 planted
shifts of Grocery are found alike."""
NEIGHBOURS = 5
"""Nearest pictures of each that are looked at; see `crowding`."""
_SPREAD = 0.005  # of the variance of all channels together, that each direction is given


def divisions(live: int, reference: int, count: int, *, seed: int = 0) -> BoolArray:
    """(count + 1, live + reference) bool: the true division, live ones first, and random ones."""
    total = live + reference
    rng = np.random.default_rng(seed)
    drawn = np.zeros((count + 1, total), bool)
    drawn[0, :live] = True
    for row in drawn[1:]:
        row[rng.choice(total, live, replace=False)] = True
    return drawn


def kolmogorov_smirnov(values: FloatArray, live: BoolArray) -> FloatArray:
    """The largest difference of the shares below any value, by the root of the sample sizes.

    Args:
        values: (N,) nan is left out.
        live: as of this module.
    """
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    distance, scale = _steps(values[order], live[:, order])
    return np.asarray(np.abs(distance).max(axis=1, initial=0.0) * scale, np.float64)


def largest_step(values: FloatArray, live: BoolArray) -> float:
    """-1..1, the largest difference of the shares below any value in the first division.

    It is above 0 where live values are larger.
    """
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    steps = _steps(values[order], live[:1, order])[0][0]
    return -float(steps[np.abs(steps).argmax()]) if len(steps) else 0.0


def _steps(values: FloatArray, live: BoolArray) -> tuple[FloatArray, FloatArray]:
    """(B, N) share of live less that of the reference up to each value, and (B,) its scale."""
    count = live.sum(axis=1).astype(np.float64)
    others = live.shape[1] - count
    below = np.cumsum(live, axis=1, dtype=np.float64)
    rest = np.arange(1, live.shape[1] + 1) - below
    shares = below / np.maximum(count, 1)[:, None] - rest / np.maximum(others, 1)[:, None]
    last = np.append(values[1:] > values[:-1], True)[: len(values)]  # of equal values
    scale = np.sqrt(count * others / np.maximum(count + others, 1))
    return shares[:, last], scale


def share_differences(codes: IntArray, live: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Pearson's chi-squared of the shares of kinds, and the largest of their standard scores.

    The first sees many small changes, the second one large one among many kinds.

    Args:
        codes: (N,) int64 kind of each picture; -1 where it is not known.
        live: as of this module.
    """
    known = np.flatnonzero(codes >= 0)
    kinds = int(codes[known].max(initial=-1)) + 1
    if kinds < 2:
        return np.zeros(len(live)), np.zeros(len(live))
    shown = np.zeros((len(known), kinds), np.float32)
    shown[np.arange(len(known)), codes[known]] = 1
    own = live[:, known].astype(np.float32)
    count = own.sum(axis=1, dtype=np.float64)[:, None]
    total = shown.sum(axis=0, dtype=np.float64)[None]
    expected = count * total / len(known)
    off = (own @ shown).astype(np.float64) - expected
    rest = np.maximum(1 - count / len(known), 1e-9)
    squared = off**2 / np.maximum(expected * rest, 1e-9)
    spread = np.maximum(1 - total / len(known), 1e-9)
    return squared.sum(axis=1), np.sqrt((squared / spread).max(axis=1))


def mean_discrepancy(embeddings: Embeddings, live: BoolArray) -> FloatArray:
    """Squared maximum mean discrepancy with a Gaussian kernel of the median width.

    Gretton et al., "A Kernel Two-Sample Test", JMLR 2012, equation 5 (the biased estimate).

    Args:
        embeddings: (N, D).
        live: as of this module.
    """
    squared = _squared_distances(embeddings)
    middle = float(np.median(squared[:: max(1, len(squared) // 300)]))
    kernel = np.exp(-squared / max(middle, 1e-9)).astype(np.float32)
    kernel -= kernel.mean(dtype=np.float64)  # weights sum to 0: it changes rounding errors alone
    sides = _sides(live)
    return np.asarray(np.einsum("bn,bn->b", sides @ kernel, sides, dtype=np.float64))


def crowding(features: Embeddings, live: BoolArray) -> FloatArray:
    """(B, N) 0..1: how much more of each live picture's nearest ones are live than by chance.

    0 for those of the reference. What a new kind of picture looks like lies among its own, also
    where it moves no mean (Schilling, "Multivariate Two-Sample Tests Based on Nearest Neighbors",
    JASA 1986). Distances are angles after whitening, so that a few directions in which pictures
    vary much don't decide. Neighbours (3 to 20), whitening and the power in `crowded` were chosen
    on single classes of Grocery other than its largest, taken out of a reference of 1,000 pictures
    and mixed into 200 by 12 or 25; differences were small from 5 to 8 neighbours.

    Args:
        features: (N, D) float32.
        live: as of this module.
    """
    standard = standardised(features)
    among = _hat(standard, max(_SPREAD * float((standard**2).sum()), 1e-6))
    length = np.sqrt(np.maximum(np.diag(among), 1e-12))
    angles = among / length[:, None] / length
    np.fill_diagonal(angles, -np.inf)
    count = min(NEIGHBOURS, len(angles) - 1)
    # In an order that knows nothing of sides: of equally near ones the first would be live.
    order = np.random.default_rng(0).permutation(len(angles))
    nearest = order[np.argpartition(-angles[:, order], count - 1, axis=1)[:, :count]]
    expected = ((live.sum(axis=1) - 1) / (live.shape[1] - 1))[:, None]
    share = live[:, nearest].mean(axis=2)
    excess = np.maximum(share - expected, 0.0) / np.maximum(1 - expected, 1e-9)
    return np.asarray(excess * live, np.float64)


def crowded(crowds: FloatArray) -> FloatArray:
    """(B,) the sum of the cubes: few pictures wholly among their own count more than many halfway.

    Args:
        crowds: (B, N) of `crowding`.
    """
    return np.asarray((crowds**3).sum(axis=1), np.float64)


def classifier_scores(features: Embeddings, live: BoolArray, *, ridge: float = RIDGE) -> FloatArray:
    """(B, N) float64: how live each picture looks to a classifier that did not learn from it.

    Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017, with ridge
    regression, whose answer about each picture without that picture is known in closed form.

    Args:
        features: (N, D) float32.
        live: as of this module.
        ridge: as a share of the mean variance of the pictures.
    """
    standard = standardised(features)
    standard = np.concatenate([standard, np.ones((len(standard), 1), np.float32)], axis=1)
    strength = max(ridge * float((standard**2).sum()) / max(len(standard), 1), 1e-6)
    hat = _hat(standard, strength)
    own = np.diag(hat)[None]
    target = (live - live.mean(axis=1, keepdims=True)).astype(np.float32)
    answers = target @ hat - own * target
    return np.asarray(answers / np.maximum(1 - own, 1e-6), np.float64)


def _hat(features: Embeddings, strength: float) -> Embeddings:
    """(N, N) what each picture adds to the answer of ridge regression on each other.

    The smaller of two problems is solved: one unknown a picture, or one a channel.
    """
    count, channels = features.shape
    if count <= channels:
        kernel = features @ features.T
        kernel[np.diag_indices_from(kernel)] += strength
        inverse = linalg.inv(kernel.astype(np.float64))
        return np.asarray(np.eye(count) - strength * inverse, np.float32)
    moments = features.T @ features
    moments[np.diag_indices_from(moments)] += strength
    root = linalg.cholesky(moments, lower=True)
    shaped = linalg.solve_triangular(root, features.T, lower=True)
    return np.asarray(shaped.T @ shaped, np.float32)


def separation(scores: FloatArray, live: BoolArray) -> FloatArray:
    """(B,) 0..1, the chance that a live picture has the larger score (the area under the ROC).

    Args:
        scores: (B, N) of `classifier_scores`.
        live: as of this module.
    """
    rank = scores.argsort(axis=1).argsort(axis=1).astype(np.float64) + 1
    count = live.sum(axis=1).astype(np.float64)
    others = live.shape[1] - count
    above = (rank * live).sum(axis=1) - count * (count + 1) / 2
    return np.asarray(above / np.maximum(count * others, 1), np.float64)


def standardised(features: Embeddings) -> Embeddings:
    """(N, D) float32 of mean 0 and variance 1 / D in each channel; a constant one becomes 0."""
    centred = features - features.mean(axis=0)
    spread = centred.std(axis=0) * np.sqrt(max(features.shape[1], 1))
    return np.asarray(centred / np.where(spread > 1e-6, spread, np.inf), np.float32)


def _squared_distances(embeddings: Embeddings) -> Embeddings:
    length = (embeddings**2).sum(axis=1)
    squared = length[:, None] + length[None] - 2 * embeddings @ embeddings.T
    return np.asarray(np.maximum(squared, 0.0), np.float32)


def _sides(live: BoolArray) -> Embeddings:
    """(B, N) weights with which a sum over pictures is the mean of live less of the others."""
    count = live.sum(axis=1, keepdims=True)
    others = live.shape[1] - count
    weights = np.where(live, 1 / np.maximum(count, 1), -1 / np.maximum(others, 1))
    return np.asarray(weights, np.float32)
