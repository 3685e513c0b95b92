"""Labels of pictures that people have labelled, and that a model says otherwise of.

A model that learned from a picture rarely contradicts its label, so what is found here is the
less, the longer it learned; predictions by a model that never saw the picture find more. Labels of
classes that it does not know are not doubted: it had to say something else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from operator import attrgetter

import numpy as np

from visionkit.evaluation.label_errors import LabelDoubt, label_doubts
from visionkit.flywheel.answers import Proposal, Truth
from visionkit.flywheel.boxes import overlap
from visionkit.flywheel.queue.columns import Columns, Doubts
from visionkit.types import ObjectBox

_SURE = 0.5
"""Way from its threshold up to 1 from which a find may contradict what people drew."""
_SAME, _APART = 0.5, 0.1  # overlap: of two boxes of one object, and of those of two
_NAMES = attrgetter("model", "task", "label", "runner_up")
_MOST_SCORES = 20_000_000  # pictures times classes


def doubts_of_labels(columns: Columns, ids: Sequence[str], truths: Mapping[str, Truth]) -> Doubts:
    """How much a label is doubted of each picture that somebody has labelled.

    Args:
        columns: of the proposals.
        ids: of the N pictures, in the order of the columns.
        truths: of those pictures.
    """
    weight = np.zeros(len(ids))
    said: dict[int, str] = {}
    for picture, strength, words in (
        *_of_pictures(columns, ids, truths),
        *_of_boxes(columns, ids, truths),
    ):
        if strength > weight[picture]:
            weight[picture], said[picture] = min(strength, 1.0), words
    return Doubts("label", weight, lambda picture: said[picture])


def _of_pictures(
    columns: Columns, ids: Sequence[str], truths: Mapping[str, Truth]
) -> list[tuple[int, float, str]]:
    """Picture, weight and sentence of doubtful labels of whole pictures, by confident learning."""
    has_labels = np.fromiter((bool(truths[name].labels) for name in ids), np.bool_, len(ids))
    judged = columns.of_task("classification") & columns.whole & has_labels[columns.picture]
    known = _known(columns)
    said = [(place, columns.proposals[place]) for place in np.flatnonzero(judged).tolist()]
    own = [
        place
        for place, one in said
        if known[one.model, one.task].issuperset(truths[one.sample_id].labels)
    ]
    labelled = np.unique(columns.picture[own]).tolist()
    proposals = [columns.proposals[place] for place in own]
    names = sorted(
        {label for picture in labelled for label in truths[ids[picture]].labels}
        | {label for one in proposals for label in (one.label, one.runner_up) if label}
    )
    labelled = labelled[: _MOST_SCORES // max(len(names), 1)]
    if not labelled:
        return []
    number = {name: k for k, name in enumerate(names)}
    row = {picture: place for place, picture in enumerate(labelled)}
    scores = np.zeros((len(labelled), len(names)))
    for place, one in zip(own, proposals, strict=True):
        at = row.get(int(columns.picture[place]))
        if at is None:
            continue
        if one.runner_up:
            k = number[one.runner_up]
            scores[at, k] = max(scores[at, k], one.runner_up_score)
        scores[at, number[one.label]] = max(scores[at, number[one.label]], one.score)
    several = any(len(truths[ids[picture]].labels) > 1 for picture in labelled)
    present = np.zeros(scores.shape, bool)
    for picture, at in row.items():
        present[at, [number[label] for label in truths[ids[picture]].labels]] = True
    labels = present if several else present.argmax(axis=1).astype(np.int64)
    return [
        (labelled[doubt.picture], *_words(doubt, names)) for doubt in label_doubts(labels, scores)
    ]


def _known(columns: Columns) -> dict[tuple[str, str], set[str]]:
    """Model and head -> the classes or items that it knows: that it has named of any picture."""
    known: dict[tuple[str, str], set[str]] = defaultdict(set)
    for model, task, *names in set(map(_NAMES, columns.proposals)):
        known[model, task].update(names)
    return known


def _words(doubt: LabelDoubt, names: Sequence[str]) -> tuple[float, str]:
    """Weight and sentence of a doubtful label."""
    if doubt.label < 0:
        likely = names[doubt.likely]
        return doubt.likely_score, f"Not labelled {likely!r}, but {doubt.likely_score:.2f} likely."
    label = names[doubt.label]
    if doubt.likely < 0:
        return 1 - doubt.label_score, f"Labelled {label!r}, but {doubt.label_score:.2f} likely."
    return doubt.likely_score - doubt.label_score, (
        f"Labelled {label!r} ({doubt.label_score:.2f}), but looks like {names[doubt.likely]!r} "
        f"({doubt.likely_score:.2f})."
    )


def _of_boxes(
    columns: Columns, ids: Sequence[str], truths: Mapping[str, Truth]
) -> list[tuple[int, float, str]]:
    """Picture, weight and sentence of finds that contradict the boxes that people drew."""
    room = np.maximum(1 - columns.threshold, 1e-9)
    sure = ~columns.whole & ((columns.score - columns.threshold) / room >= _SURE)
    known = _known(columns)
    found = []
    for place in np.flatnonzero(sure).tolist():
        picture = int(columns.picture[place])
        truth = truths[ids[picture]]
        if truth.reviewed and (truth.objects or not truth.labels):
            one = columns.proposals[place]
            doubt = _against(one, truth.objects, known[one.model, one.task])
            if doubt is not None:
                found.append((picture, *doubt))
    return found


def _against(
    one: Proposal, objects: Sequence[ObjectBox], known: Set[str]
) -> tuple[float, str] | None:
    """Weight and sentence of a find that the boxes of a picture contradict; None if they don't.

    Args:
        one: the find.
        objects: the boxes.
        known: classes or items that the head knows.
    """
    if one.box is None:
        return None
    overlaps = [(overlap(one.box, entry.box), entry.label) for entry in objects]
    if any(share >= _SAME and label == one.label for share, label in overlaps):
        return None
    best, label = max(overlaps, default=(0.0, ""))
    if best >= _SAME and label not in known:
        return None
    if best >= _SAME:
        return (
            one.score,
            f"A box is labelled {label!r}, but looks like {one.label!r} ({one.score:.2f}).",
        )
    if best <= _APART:
        return one.score, f"No box is drawn where {one.label!r} is found ({one.score:.2f})."
    return None
