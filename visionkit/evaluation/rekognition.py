"""An evaluation as the summary that Rekognition Custom Labels writes, for tools that read those.

The form is that of the guide's page on the summary file (im-summary-file.md of
awsdocs/amazon-rekognition-custom-labels-developer-guide): a `Version`, `EvaluationDetails`,
`AggregatedEvaluationResults` and `LabelEvaluationResults`. Read there were the parts: precision,
recall and F1 over all, AP and AR for boxes and a confusion matrix for classes, and of each label
`Threshold`, `Precision`, `Recall`, `F1Score` and `NumberOfTestingImages`. The names of groups and
of the other keys are from memory, as is that the three figures over all are means over the labels;
the names of AP and AR, `AveragePrecision` and `AverageRecall`, are ours. Compare them with a
summary of your own before a program relies on them.

A threshold is the one in use, while Amazon's is chosen on the test pictures, which flatters. What
is not defined is null, and left out of means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from visionkit.evaluation.classification import ClassFigures, ClassificationMetrics
from visionkit.evaluation.localization import LocalizationMetrics
from visionkit.evaluation.metrics import BoxMetrics, ClassMetrics


def located_summary(
    metrics: LocalizationMetrics,
    *,
    model: str,
    training_images: int = 0,
    ended: str | None = None,
) -> dict[str, Any]:
    """The summary of an evaluation of boxes, as JSON values.

    AP and AR are COCO's, over IoU 0.5 to 0.95 with at most 100 finds a picture; the others are at
    IoU 0.5 and each class's threshold.

    Args:
        metrics: of `evaluate_localization`.
        model: what was evaluated; stands where Amazon has the ARN of a version.
        training_images: how many pictures were learned from.
        ended: ISO 8601 time of the evaluation; None is now.
    """
    boxes = metrics.boxes
    coco = {
        "AveragePrecision": _value(metrics.coco.ap),
        "AverageRecall": _value(metrics.coco.ar_100),
    }
    showing = _pictures_showing(boxes)
    labels = [_label(one, count) for one, count in zip(boxes.per_class, showing, strict=True)]
    details = _details(boxes.class_names, boxes.pictures, model, training_images, ended)
    return _summary(details, _means(boxes.per_class) | coco, labels)


def classified_summary(
    metrics: ClassificationMetrics,
    *,
    model: str,
    training_images: int = 0,
    ended: str | None = None,
) -> dict[str, Any]:
    """The summary of an evaluation of classes, as JSON values.

    The confusion matrix lists pairs that occur, with the share of the pictures of the true class;
    pictures that were named nothing are in none. Where a picture may show several classes there
    is none.

    Args:
        metrics: of `evaluate_classes`.
        model: what was evaluated; stands where Amazon has the ARN of a version.
        training_images: how many pictures were learned from.
        ended: ISO 8601 time of the evaluation; None is now.
    """
    aggregated: dict[str, Any] = _means(metrics.per_class)
    if metrics.confusion is not None:
        aggregated["ConfusionMatrix"] = _confusion(metrics)
    labels = [_label(one, one.support) for one in metrics.per_class]
    details = _details(metrics.class_names, metrics.pictures, model, training_images, ended)
    return _summary(details, aggregated, labels)


def _summary(
    details: Mapping[str, Any], aggregated: Mapping[str, Any], labels: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "Version": 1,
        "EvaluationDetails": details,
        "AggregatedEvaluationResults": aggregated,
        "LabelEvaluationResults": labels,
    }


def _details(
    names: Sequence[str], pictures: int, model: str, training_images: int, ended: str | None
) -> dict[str, Any]:
    return {
        "EvaluationEndTimestamp": ended or datetime.now(UTC).replace(tzinfo=None).isoformat(),
        "Labels": list(names),
        "NumberOfTestingImages": pictures,
        "NumberOfTrainingImages": training_images,
        "ProjectVersionArn": model,
    }


def _means(labels: Sequence[ClassMetrics | ClassFigures]) -> dict[str, Any]:
    """Precision, recall and F1 over all: means over the labels of which they are defined."""
    figures = {
        "Precision": [one.precision for one in labels],
        "Recall": [one.recall for one in labels],
        "F1Score": [one.f1 for one in labels],
    }
    defined = {name: [v for v in values if math.isfinite(v)] for name, values in figures.items()}
    return {name: float(np.mean(v)) if v else None for name, v in defined.items()}


def _label(one: ClassMetrics | ClassFigures, pictures: int) -> dict[str, Any]:
    return {
        "Label": one.name,
        "NumberOfTestingImages": pictures,
        "Metrics": {
            "Precision": _value(one.precision),
            "Recall": _value(one.recall),
            "F1Score": _value(one.f1),
            "Threshold": _value(one.threshold),
        },
    }


def _pictures_showing(metrics: BoxMetrics) -> list[int]:
    """How many pictures have a box of each class."""
    outcomes = metrics.outcomes
    return [
        len(np.unique(outcomes.truth_picture[outcomes.truth_class_id == class_id]))
        for class_id in range(len(metrics.class_names))
    ]


def _confusion(metrics: ClassificationMetrics) -> list[dict[str, Any]]:
    counts = metrics.confusion
    if counts is None:
        return []
    rows, columns = np.nonzero(counts[:, :-1])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return [
        {
            "GroundTruthLabel": metrics.class_names[row],
            "PredictedLabel": metrics.class_names[column],
            "Value": float(shares[row, column]),
        }
        for row, column in zip(rows, columns, strict=True)
    ]


def _value(figure: float) -> float | None:
    return float(figure) if math.isfinite(figure) else None
