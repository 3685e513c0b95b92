"""What a predictor says of one picture: an answer a head."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import supervision as sv

TASKS = ("exemplar", "classification", "localization")
"""The heads that a bundle may have, in the order in which answers are given."""


@dataclass(frozen=True)
class Prediction:
    """The answers of all heads that were asked; None from those that were not, or are not there.

    Attributes:
        exemplar: items, as `Predictor.find` gives them.
        classification: classes of the whole picture with their calibrated confidence 0..1, all of
            them or, read back from a file, the surest.
        localization: boxes (N, 4) xyxy in pixels of the upright picture, the surest first, with
            `confidence` 0..1, `class_id` and `data["class_name"]`.
        class_names: the name of each class of `classification`, in its order.
        labels: names of those classes that reach their thresholds, the surest first. One at most
            where a picture shows one class; none is a normal answer.
    """

    exemplar: sv.Detections | None = None
    classification: sv.Classifications | None = None
    localization: sv.Detections | None = None
    class_names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """Those of `TASKS` that have an answer here."""
        return tuple(task for task in TASKS if getattr(self, task) is not None)


def chosen_tasks(tasks: str | Sequence[str] | None, there: Sequence[str]) -> tuple[str, ...]:
    """Those of the heads `there` that are asked for; all for None.

    Raises:
        ValueError: a head is asked for that is not there, or none is.
    """
    if tasks is None:
        return tuple(there)
    tasks = [tasks] if isinstance(tasks, str) else tasks
    wrong = [task for task in tasks if task not in there]
    if wrong or not tasks:
        near = difflib.get_close_matches(wrong[0], there, n=1) if wrong else []
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(
            f"tasks must be among the heads of the bundle ({', '.join(there)}), "
            f"got {wrong[0] if wrong else 'none'}{hint}"
        )
    return tuple(task for task in there if task in tasks)


def above_threshold(
    detections: sv.Detections,
    names: Sequence[str],
    thresholds: Mapping[str, float],
    score_threshold: float | None,
) -> sv.Detections:
    """The detections whose score reaches the threshold, one for all or each class's own.

    Args:
        detections: with `class_id` into `names` and `confidence` 0..1.
        names: of items or classes.
        thresholds: name -> score 0..1.
        score_threshold: one for all; None takes `thresholds`.
    """
    if not len(detections) or detections.class_id is None or detections.confidence is None:
        return detections
    limits = np.array([thresholds[names[k]] for k in detections.class_id], np.float32)
    if score_threshold is not None:
        limits = np.full(len(detections), score_threshold, np.float32)
    enough = detections.confidence >= limits
    if enough.all():
        return detections
    kept = detections[enough]
    if not isinstance(kept, sv.Detections):
        raise TypeError(f"detections must stay detections, got {type(kept).__name__}")
    return kept
