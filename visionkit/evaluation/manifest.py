"""An evaluation written back as the data set: every label and prediction, marked true or false.

A manifest of SageMaker Ground Truth, a JSON object a line and picture, in the manner of the
evaluation manifest snapshot of Rekognition Custom Labels. `visionkit.data.formats.groundtruth`
reads it as the data set that was evaluated: the labels are attributes as in any manifest, and the
predictions attributes named "evaluation-...", which are no labels and are left out. Who wants a
prediction for a label gives its attribute another name.

What is known of Amazon's form and kept: `source-ref`, the two types of attribute and their
metadata, `confidence`, and the five marks of `verdict`, which stand beside `confidence`: for boxes
in the entries of `objects`, for classes in the metadata. What is ours: the names of attributes,
that true boxes are marked too, and which predictions are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from visionkit.data.formats.groundtruth import BOXES, CLASS, CLASSES, boxes_row
from visionkit.data.formats.place import to_xywh
from visionkit.evaluation.classification import ClassificationMetrics
from visionkit.evaluation.metrics import BoxMetrics
from visionkit.evaluation.outcomes import IntArray
from visionkit.files import atomic_write
from visionkit.types import ObjectBox, Sample

_SUREST = 5
"""So many of the surest classes of a picture are written, beside those that are true or assumed;
hundreds of classes that nobody takes for there would say nothing."""


def write_manifest(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Path of the manifest with a line for each of the rows.

    Raises:
        ValueError: a row holds a number that is not finite.
        RuntimeError: the disk is full.
    """
    with atomic_write(path) as file:
        for row in rows:
            text = json.dumps(row, ensure_ascii=False, allow_nan=False)
            # A file name that is no UTF-8 is told by JSON's own escape.
            file.write(text.encode("utf-8", errors="backslashreplace") + b"\n")
    return Path(path)


def located_rows(
    metrics: BoxMetrics, samples: Sequence[Sample], *, model: str, created: str | None = None
) -> Iterator[dict[str, Any]]:
    """A row a picture: its boxes as `boxes`, and as `evaluation-0` the finds at their thresholds.

    Of the marks, a true box is a true positive, with the confidence of the find that is right
    about it, or a false negative, with that of such a find below its threshold, if there is one. A
    find is a true positive or a false positive. There are no true negatives among boxes.

    Args:
        metrics: of `evaluate_boxes` or `evaluate_localization`.
        samples: the pictures, in the order evaluated, with the boxes they were judged by; boxes of
            other classes are written without marks.
        model: who made the finds, for `job-name`.
        created: ISO 8601 time of the evaluation; None is now.

    Raises:
        ValueError: the samples are not the pictures evaluated.
    """
    _check_count(samples, metrics.pictures)
    created = created or _now()
    known = set(metrics.class_names)
    others = {entry.label for sample in samples for entry in sample.objects} - known
    classes = [*metrics.class_names, *sorted(others)]
    labels = sorted({label for sample in samples for label in sample.labels})
    for picture, sample in enumerate(samples):
        row = boxes_row(sample, sample.uri, classes, labels)
        row["boxes-metadata"]["objects"] = _marked_truths(metrics, sample, picture)
        row |= _finds(metrics, sample, picture, model=model, created=created)
        yield row


def classified_rows(
    metrics: ClassificationMetrics,
    samples: Sequence[Sample],
    *,
    model: str,
    created: str | None = None,
) -> Iterator[dict[str, Any]]:
    """A row a picture: its labels as `label-...`, and what was said of them as `evaluation-...`.

    The number in a name is that of the class. Predictions are written of the classes that are
    true, those that were named, and the five surest; the value is 1 where the class was named.

    Args:
        metrics: of `evaluate_classes`.
        samples: the pictures, in the order evaluated, with the labels they were judged by.
        model: who named them, for `job-name`.
        created: ISO 8601 time of the evaluation; None is now.

    Raises:
        ValueError: the samples are not the pictures evaluated.
    """
    _check_count(samples, metrics.pictures)
    created = created or _now()
    others = {label for sample in samples for label in sample.labels} - set(metrics.class_names)
    classes = [*metrics.class_names, *sorted(others)]
    for picture, sample in enumerate(samples):
        row: dict[str, Any] = {"source-ref": sample.uri}
        for label in sample.labels:
            name = f"label-{classes.index(label)}"
            row[name] = 1
            row[f"{name}-metadata"] = _class_metadata(label, "yes", "", created) | {"confidence": 1}
        if not sample.labels:  # that none is there is a label as well
            row["labels"] = []
            row["labels-metadata"] = {"class-map": {}, "type": CLASSES, "human-annotated": "yes"}
        for k in _told(metrics, picture):
            row |= _said_of(metrics, picture, int(k), model=model, created=created)
        yield row


def verdict(*, assumed: bool, present: bool) -> dict[str, bool]:
    """The five marks of a prediction that was assumed or not, of what is present or not.

    >>> [name for name, holds in verdict(assumed=True, present=False).items() if holds]
    ['is-false-positive']
    """
    return {
        "is-true-positive": assumed and present,
        "is-false-positive": assumed and not present,
        "is-true-negative": not assumed and not present,
        "is-false-negative": not assumed and present,
        "is-present-in-ground-truth": present,
    }


def _check_count(samples: Sequence[Sample], pictures: int) -> None:
    if len(samples) != pictures:
        raise ValueError(
            f"samples must be the pictures evaluated, got {len(samples)} for {pictures}; "
            "give them in the order evaluated"
        )


def _now() -> str:
    return datetime.now(UTC).replace(microsecond=0, tzinfo=None).isoformat()


def _marked_truths(metrics: BoxMetrics, sample: Sample, picture: int) -> list[dict[str, Any]]:
    """What became of each box of a picture, in the order of its boxes."""
    outcomes = metrics.outcomes
    rows = iter(np.flatnonzero(outcomes.truth_picture == picture))
    known = set(metrics.class_names)
    marked: list[dict[str, Any]] = []
    for entry in sample.objects:
        if entry.label not in known:
            marked.append({})
            continue
        truth = next(rows, None)
        if truth is None or metrics.class_names[outcomes.truth_class_id[truth]] != entry.label:
            raise ValueError(
                f"samples must have the boxes they were judged by, got another {entry.label!r} "
                f"[{sample.id}]; give the pictures that were evaluated"
            )
        find = int(outcomes.truth_find[truth])
        marks = verdict(assumed=find >= 0 and bool(metrics.above[find]), present=True)
        confidence = {"confidence": float(outcomes.score[find])} if find >= 0 else {}
        marked.append(confidence | marks)
    return marked


def _finds(
    metrics: BoxMetrics, sample: Sample, picture: int, *, model: str, created: str
) -> dict[str, Any]:
    outcomes = metrics.outcomes
    finds = outcomes.of_picture(picture)
    finds = finds[metrics.above[finds]]
    class_ids = [int(class_id) for class_id in outcomes.class_id[finds]]
    size = {"width": sample.width, "height": sample.height, "depth": 3}
    annotations, objects = [], []
    for find, class_id in zip(finds, class_ids, strict=True):
        x_min, y_min, x_max, y_max = (float(edge) for edge in outcomes.box[find])
        box = ObjectBox(metrics.class_names[class_id], (x_min, y_min, x_max, y_max))
        left, top, width, height = to_xywh(box)
        place = {"left": left, "top": top, "width": width, "height": height}
        annotations.append({"class_id": class_id, **place})
        marks = verdict(assumed=True, present=bool(outcomes.is_true[find]))
        objects.append({"confidence": float(outcomes.score[find]), **marks})
    return {
        "evaluation-0": {"image_size": [size], "annotations": annotations},
        "evaluation-0-metadata": {
            "objects": objects,
            "class-map": {str(k): metrics.class_names[k] for k in sorted({*class_ids})},
            "type": BOXES,
            "human-annotated": "no",
            "job-name": model,
            "creation-date": created,
        },
    }


def _told(metrics: ClassificationMetrics, picture: int) -> IntArray:
    """(K,) the classes of a picture that are written."""
    named = metrics.outcomes
    told = named.present[picture] | named.said[picture]
    told[np.argsort(-named.scores[picture], kind="stable")[:_SUREST]] = True
    return np.flatnonzero(told).astype(np.int64)


def _said_of(
    metrics: ClassificationMetrics, picture: int, k: int, *, model: str, created: str
) -> dict[str, Any]:
    named = metrics.outcomes
    assumed, present = bool(named.said[picture, k]), bool(named.present[picture, k])
    return {
        f"evaluation-{k}": int(assumed),
        f"evaluation-{k}-metadata": {
            **_class_metadata(metrics.class_names[k], "no", model, created),
            "confidence": float(named.scores[picture, k]),
            **verdict(assumed=assumed, present=present),
        },
    }


def _class_metadata(name: str, human: str, job: str, created: str) -> dict[str, Any]:
    return {
        "class-name": name,
        "type": CLASS,
        "human-annotated": human,
        "job-name": job,
        "creation-date": created,
    }
