"""A bundle on the frozen test set, as it would answer in use."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import supervision as sv

from visionkit.evaluation import Truth, presence_of
from visionkit.flywheel.marks import Marks, located_marks, named_marks
from visionkit.inference.predictor import Predictor
from visionkit.jobs.dividing import classes_of
from visionkit.jobs.pictures import has_boxes
from visionkit.types import Sample


def judge_bundle(
    bundle: str | Path,
    task: str,
    samples: Sequence[Sample],
    class_names: Sequence[str],
    *,
    accelerator: str = "auto",
) -> Marks:
    """How the head of a task does on pictures of which it is known what they show.

    Args:
        bundle: its folder; a head that is not there finds nothing.
        task: "classification" and "exemplar" are judged by F1 at their own thresholds,
            "localization" by AP50 of all finds.
        samples: the frozen pictures.
        class_names: of what is asked; what else the bundle says is not counted.
        accelerator: where it runs.

    Raises:
        FileNotFoundError: there is no such bundle, or a picture is gone.
        ValueError: the bundle is damaged, or a picture can't be read.
    """
    predictor = Predictor.load(bundle, device=accelerator, engine="torch")
    number = {name: k for k, name in enumerate(class_names)}
    if task not in predictor.tasks:
        answers = [sv.Detections.empty() for _ in samples]
        if task == "localization":
            return located_marks(_truths(samples, number), answers, class_names)
        return named_marks(_shown(samples, number), _nothing(samples, number), class_names)
    uris = [sample.uri for sample in samples]
    if task == "localization":
        found = predictor.predict(uris, [task], score_threshold=0.0)
        boxes = [_known(each.localization, number) for each in found]
        return located_marks(_truths(samples, number), boxes, class_names)
    predictions = predictor.predict(uris, [task])
    if task == "exemplar":
        finds = [_known(each.exemplar, number) for each in predictions]
        scores = presence_of(_truths(samples, number), finds, class_count=len(number))[1]
        return named_marks(_shown(samples, number), np.isfinite(scores), class_names)
    said = _nothing(samples, number)
    for picture, prediction in enumerate(predictions):
        said[picture, [number[name] for name in prediction.labels if name in number]] = True
    return named_marks(_shown(samples, number), said, class_names)


def telling(samples: Sequence[Sample], task: str, class_names: Collection[str]) -> list[Sample]:
    """Those pictures that say something of what the head of a task is asked for.

    A picture without labels and boxes shows nothing, as people have said; one that has labels alone
    says nothing of boxes, and one that has boxes alone nothing of what it is as a whole.

    Args:
        samples: of which people have said what they show.
        task: the head.
        class_names: classes or items that it is asked for.
    """
    if task == "classification":
        return [sample for sample in samples if sample.labels or not sample.objects]
    named = set(class_names) if task == "exemplar" else set()
    return [sample for sample in samples if has_boxes(sample) or named & set(sample.labels)]


def classes_shown(samples: Sequence[Sample], task: str) -> tuple[str, ...]:
    """The classes that the pictures show to the head of a task, sorted."""
    if task == "localization":
        return tuple(sorted({entry.label for each in samples for entry in each.objects}))
    if task == "classification":
        return tuple(sorted({name for sample in samples for name in sample.labels}))
    return tuple(sorted({name for sample in samples for name in classes_of(sample)}))


def _truths(samples: Sequence[Sample], number: dict[str, int]) -> list[Truth]:
    return [
        Truth(
            np.array([entry.box for entry in own], np.float32).reshape(-1, 4),
            np.array([number[entry.label] for entry in own], np.int64),
        )
        for own in (
            [entry for entry in sample.objects if entry.label in number] for sample in samples
        )
    ]


def _shown(
    samples: Sequence[Sample], number: dict[str, int]
) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    present = _nothing(samples, number)
    for picture, sample in enumerate(samples):
        present[picture, [number[name] for name in classes_of(sample) if name in number]] = True
    return present


def _nothing(
    samples: Sequence[Sample], number: dict[str, int]
) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    return np.zeros((len(samples), len(number)), np.bool_)


def _known(found: sv.Detections | None, number: dict[str, int]) -> sv.Detections:
    """The finds whose class is asked for, numbered by it."""
    if found is None or not len(found):
        return sv.Detections.empty()
    names = [str(name) for name in found.data["class_name"]]
    kept = np.array([name in number for name in names], np.bool_)
    if not kept.any():
        return sv.Detections.empty()
    confidence = found.confidence
    return sv.Detections(
        xyxy=found.xyxy[kept],
        confidence=None if confidence is None else confidence[kept],
        class_id=np.array([number[name] for name in names if name in number], np.int64),
    )
