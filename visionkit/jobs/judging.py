"""A bundle on the frozen test set, as it would answer in use."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import supervision as sv

from visionkit.evaluation import Truth, presence_of
from visionkit.flywheel.marks import Marks, located_marks, named_marks
from visionkit.inference.predictor import Predictor
from visionkit.jobs.dividing import classes_of
from visionkit.jobs.pictures import NONE_LABEL, has_boxes
from visionkit.models.bundle import read_manifest
from visionkit.types import Sample

_NEEDS = {
    "exemplar": "boxes or labels of items that are looked for",
    "classification": "labels of pictures",
    "localization": "boxes",
}


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


def compared(
    task: str, samples: Sequence[Sample], bundles: Sequence[str | Path]
) -> tuple[list[Sample], tuple[str, ...]]:
    """The pictures on which the heads of bundles are compared, and what they are asked for.

    Args:
        task: the head; a bundle may be without it.
        samples: the frozen pictures.
        bundles: folders of those that are compared.

    Raises:
        FileNotFoundError: there is no such bundle.
        ValueError: a bundle is damaged.
    """
    names = classes_shown(samples, task, {name for each in bundles for name in items_of(each)})
    heads = [read_manifest(bundle)["heads"] for bundle in bundles]
    multi_label = all(may_be_silent(task, each[task]) for each in heads if task in each)
    return telling(samples, task, names, multi_label=multi_label), names


def items_of(bundle: str | Path) -> set[str]:
    """The items that a bundle looks for; none where it has no such head.

    Raises:
        FileNotFoundError: there is no such bundle.
        ValueError: it is damaged.
    """
    return set(read_manifest(bundle)["heads"].get("exemplar", {"items": ()})["items"])


def may_be_silent(task: str, head: Mapping[str, Any]) -> bool:
    """Whether a head, as a bundle describes it, may say that a picture shows nothing of it.

    Of all heads only that of classification may not, where it is not for several labels.
    """
    return task != "classification" or bool(head["head"].get("multi_label", False))


def check_told(
    task: str, frozen: Sequence[Sample], items: Collection[str] | None, what: str
) -> None:
    """Passes if pictures show something that the head which is trained is asked for.

    Args:
        task: the head.
        frozen: the frozen test set.
        items: that will be looked for with task=exemplar; None where any may be.
        what: these pictures, in words.

    Raises:
        ValueError: nothing of it is shown.
    """
    named = {name for sample in frozen for name in sample.labels}
    if not classes_shown(frozen, task, named if items is None else items):
        raise ValueError(
            f"{what} must tell something of task={task}, got no {_NEEDS[task]}: no challenger "
            "could be judged; add labelled pictures with split test and say loop.refreeze=true"
        )


def telling(
    samples: Sequence[Sample],
    task: str,
    class_names: Collection[str],
    *,
    multi_label: bool = True,
) -> list[Sample]:
    """Those pictures that say something of what the head of a task is asked for.

    A picture without labels and boxes shows nothing, as people have said; one that has labels alone
    says nothing of boxes, and one that has boxes alone nothing of what it is as a whole.

    Args:
        samples: of which people have said what they show.
        task: the head.
        class_names: classes or items that it is asked for.
        multi_label: whether a classification head may name none. One that always names a class is
            neither taught nor measured on pictures that show none.
    """
    if task == "classification":
        return [
            sample for sample in samples if sample.labels or (multi_label and not sample.objects)
        ]
    named = set(class_names) if task == "exemplar" else set()
    return [sample for sample in samples if has_boxes(sample) or named & set(sample.labels)]


def classes_shown(
    samples: Sequence[Sample], task: str, items: Collection[str] = ()
) -> tuple[str, ...]:
    """The classes that the pictures show to the head of a task, sorted.

    Args:
        samples: of which people have said what they show.
        task: the head.
        items: that are looked for with task=exemplar. Other labels of pictures as a whole, such as
            the kind of a scene, are none; what has a box is.
    """
    boxed = {entry.label for sample in samples for entry in sample.objects}
    named = {name for sample in samples for name in sample.labels}
    if task == "localization":
        return tuple(sorted(boxed))
    if task == "classification":
        return tuple(sorted(named))
    return tuple(sorted((boxed | (named & set(items))) - {NONE_LABEL}))


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
