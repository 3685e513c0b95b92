"""Pictures of the classification report: the worst mistakes, labels in doubt, near copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from visionkit.evaluation.classification import ClassificationMetrics
from visionkit.evaluation.label_errors import LabelDoubt
from visionkit.evaluation.near_copies import NearCopy
from visionkit.evaluation.wall import data_uri, fitted
from visionkit.scores import score_text
from visionkit.types import Image

_SIZE = (240, 180)  # width, height of a picture in the page


@dataclass(frozen=True)
class Pool:
    """Labelled pictures by number.

    Attributes:
        names: of the pictures.
        labels: what each is said to show, in words.
        parts: the split of each.
        read: the picture of a number, (H, W, 3) uint8 RGB; called only for those shown.
    """

    names: Sequence[str]
    labels: Sequence[str]
    parts: Sequence[str]
    read: Callable[[int], Image]


@dataclass(frozen=True)
class PictureCard:
    """One or two pictures, ready for the page.

    Attributes:
        title: what it is about.
        words: what was said or is in doubt.
        lines: further lines.
        uris: the pictures as data URIs.
    """

    title: str
    words: str
    lines: tuple[str, ...]
    uris: tuple[str, ...]


def mistake_cards(
    metrics: ClassificationMetrics, names: Sequence[str], read: Callable[[int], Image], count: int
) -> list[PictureCard]:
    """The wrong answers that were given with the most confidence.

    Where a picture may show several classes, those whose score is furthest from the truth.

    Args:
        metrics: of `evaluate_classes`.
        names: of the pictures, in the order evaluated.
        read: the picture of a number.
        count: how many at most.
    """
    named = metrics.outcomes
    if not len(named.scores) or not metrics.class_names:
        return []
    gap = np.where(named.present, 1 - named.scores, named.scores)
    if metrics.multi_label:
        wrong = [(int(p), int(k)) for p, k in np.argwhere(named.present != named.said)]
    else:
        best = named.scores.argmax(axis=1)
        wrong = [(p, int(k)) for p, k in enumerate(best) if not named.present[p, k]]
    ranked = sorted(wrong, key=lambda entry: -gap[entry])[:count]
    return [_mistake(metrics, names[p], fitted_uri(read(p)), p, k) for p, k in ranked]


def doubt_cards(
    doubts: Sequence[LabelDoubt], class_names: Sequence[str], pool: Pool, count: int
) -> list[PictureCard]:
    """Labels that may be wrong, the most doubtful first."""
    cards = []
    for doubt in doubts[:count]:
        label = class_names[doubt.label] if doubt.label >= 0 else ""
        likely = class_names[doubt.likely] if doubt.likely >= 0 else ""
        title = f"labelled {label}" if label else "not labelled so"
        words = f"more likely {likely}" if likely else "seems not to show it"
        scores = [f"{label} {score_text(doubt.label_score)}"] if label else []
        scores += [f"{likely} {score_text(doubt.likely_score)}"] if likely else []
        uris = (fitted_uri(pool.read(doubt.picture)),)
        lines = (" · ".join(scores), pool.names[doubt.picture])
        cards.append(PictureCard(title, words, lines, uris))
    return cards


def copy_cards(copies: Sequence[NearCopy], pool: Pool, count: int) -> list[PictureCard]:
    """Pairs of near copies: first those that harm, by their labels or their splits."""

    def harm(copy: NearCopy) -> tuple[bool, bool]:
        first, second = copy.first, copy.second
        same = pool.labels[first] == pool.labels[second], pool.parts[first] == pool.parts[second]
        return same[0], same[1]

    cards = []
    for copy in sorted(copies, key=harm)[:count]:
        pair = copy.first, copy.second
        same_label, same_part = harm(copy)
        labels = [pool.labels[n] or "no label" for n in pair]
        title = labels[0] if same_label else f"{labels[0]} and {labels[1]}"
        words = [] if same_label else ["one look, two labels"]
        words += [] if same_part else [f"in {pool.parts[pair[0]]} and {pool.parts[pair[1]]}"]
        alike = "equal pixels" if copy.equal else f"similarity {score_text(copy.similarity)}"
        lines = (alike, *(pool.names[n] for n in pair))
        uris = tuple(fitted_uri(pool.read(n)) for n in pair)
        cards.append(PictureCard(title, ", ".join(words), lines, uris))
    return cards


def fitted_uri(image: Image) -> str:
    """The picture as a small JPEG inside a data URI."""
    return data_uri(fitted(image, _SIZE, enlarge=4.0))


def _mistake(
    metrics: ClassificationMetrics, name: str, uri: str, picture: int, k: int
) -> PictureCard:
    named, names = metrics.outcomes, metrics.class_names
    score = score_text(float(named.scores[picture, k]))
    true = [names[n] for n in np.flatnonzero(named.present[picture])]
    if metrics.multi_label and named.present[picture, k]:
        return PictureCard(names[k], f"is there, score {score}", (name,), (uri,))
    shown = ", ".join(
        f"{n} {score_text(float(named.scores[picture, names.index(n)]))}" for n in true
    )
    return PictureCard(
        f"{names[k]} {score}",
        f"this is {shown}" if true else "none of the classes",
        (name,),
        (uri,),
    )
