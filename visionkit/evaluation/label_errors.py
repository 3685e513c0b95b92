"""Labels that may be wrong: those that a model which never saw them doubts with confidence.

Confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", JAIR 2021): a class is believed where its probability reaches what pictures
labelled so have on average. Classes of which a model is always unsure so need less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visionkit.evaluation.outcomes import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class LabelDoubt:
    """A label that may be wrong.

    Attributes:
        picture: number of the picture.
        label: the class it is labelled; -1 where a class that it may show is not labelled.
        likely: the class it more likely shows; -1 where it only seems not to show `label`.
        label_score: probability of `label`; nan where there is none.
        likely_score: probability of `likely`; nan where there is none.
    """

    picture: int
    label: int
    likely: int
    label_score: float
    likely_score: float


def label_doubts(labels: IntArray | BoolArray, scores: FloatArray) -> list[LabelDoubt]:
    """The labels that may be wrong, the most doubtful first.

    Args:
        labels: (N,) int64 class of each picture, or (N, K) bool where there may be several.
        scores: (N, K) probabilities 0..1 by models that did not learn from the picture they
            judge (out of fold); a row of nan is a picture that was not judged.

    Raises:
        ValueError: shapes that don't agree, or classes that there are not.
    """
    pictures, classes = scores.shape
    several = labels.ndim == 2
    if labels.shape != ((pictures, classes) if several else (pictures,)):
        raise ValueError(
            f"labels must be ({pictures},) or ({pictures}, {classes}) for the scores given, "
            f"got {labels.shape}"
        )
    if not several and pictures and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"labels must be in 0..{classes - 1}, got {labels.tolist()}")
    judged: BoolArray = np.isfinite(scores.sum(axis=1))
    doubts = _of_several(labels, scores, judged) if several else _of_one(labels, scores, judged)
    return [doubt for _, doubt in sorted(doubts, key=lambda entry: -entry[0])]


def _of_one(
    labels: IntArray | BoolArray, scores: FloatArray, judged: BoolArray
) -> list[tuple[float, LabelDoubt]]:
    """Doubts with the lead of the likely class over the label."""
    present: BoolArray = labels[:, None] == np.arange(scores.shape[1])
    believed = scores >= _usual(scores, present & judged[:, None])
    doubts = []
    for picture in np.flatnonzero(judged):
        label, row = int(labels[picture]), scores[picture]
        likely = int(np.where(believed[picture], row, -1.0).argmax())
        if believed[picture].any() and likely != label and row[likely] > row[label]:
            doubt = LabelDoubt(int(picture), label, likely, float(row[label]), float(row[likely]))
            doubts.append((float(row[likely] - row[label]), doubt))
    return doubts


def _of_several(
    labels: IntArray | BoolArray, scores: FloatArray, judged: BoolArray
) -> list[tuple[float, LabelDoubt]]:
    """Doubts of each class apart, with how far its score lies from the label."""
    present = labels.astype(bool)
    shown = scores >= _usual(scores, present & judged[:, None])
    hidden = 1 - scores >= _usual(1 - scores, ~present & judged[:, None])
    doubts = []
    for picture, k in np.argwhere(~present & shown & (scores > 0.5) & judged[:, None]):
        score = float(scores[picture, k])
        doubts.append((score, LabelDoubt(int(picture), -1, int(k), float("nan"), score)))
    for picture, k in np.argwhere(present & hidden & (scores < 0.5) & judged[:, None]):
        score = float(scores[picture, k])
        doubts.append((1 - score, LabelDoubt(int(picture), int(k), -1, score, float("nan"))))
    return doubts


def _usual(scores: FloatArray, counted: BoolArray) -> FloatArray:
    """(K,) mean score of each class over the pictures counted; inf where there are none."""
    count = counted.sum(axis=0)
    total = np.where(counted, scores, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)
