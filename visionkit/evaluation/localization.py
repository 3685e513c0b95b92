"""How well objects of known classes are located: our figures, COCO's, and the kinds of error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import supervision as sv

from visionkit.evaluation.box_errors import ErrorKind, error_kinds
from visionkit.evaluation.coco import CocoMetrics, coco_metrics
from visionkit.evaluation.metrics import BoxMetrics, Truth, evaluate_boxes
from visionkit.evaluation.thresholds import Thresholds


@dataclass(frozen=True)
class LocalizationMetrics:
    """How well objects are located.

    Attributes:
        boxes: figures with intervals, by class and at each class's threshold.
        coco: COCO's figures, by the size of the objects.
        errors: the kinds of error, in the order of `visionkit.evaluation.box_errors.ERRORS`.
    """

    boxes: BoxMetrics
    coco: CocoMetrics
    errors: tuple[ErrorKind, ...]


def evaluate_localization(
    truths: Sequence[Truth],
    predictions: Sequence[sv.Detections],
    class_names: Sequence[str],
    *,
    thresholds: Thresholds = None,
    precision_goal: float = 0.95,
    bootstrap_rounds: int = 1000,
    seed: int = 0,
) -> LocalizationMetrics:
    """How well `predictions` locate the true boxes.

    Give all finds, also those below the thresholds: the curves need them.

    Args:
        truths: one a picture, in pixels of the original; `Truth.empty()` for a background.
        predictions: one a picture, with `class_id` and `confidence`.
        class_names: the name of each class id.
        thresholds: by class name, one for all, or None for each class's own best F1, which
            flatters, since it is chosen on the pictures it is measured on.
        precision_goal: what `precise_threshold` of each class must reach, 0..1.
        bootstrap_rounds: how many times the pictures are drawn anew for the intervals.
        seed: of the bootstrap.

    Raises:
        ValueError: lists of different length, unknown class ids, numbers that are not finite, or
            a class without a threshold.
    """
    boxes = evaluate_boxes(
        truths,
        predictions,
        class_names,
        thresholds=thresholds,
        precision_goal=precision_goal,
        bootstrap_rounds=bootstrap_rounds,
        seed=seed,
    )
    return LocalizationMetrics(
        boxes=boxes,
        coco=coco_metrics(truths, predictions, len(class_names)),
        errors=error_kinds(boxes.outcomes, boxes.above, len(class_names)),
    )
