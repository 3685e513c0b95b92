"""What heads say of a picture, as measures: classes, scores, boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import supervision as sv

from visionkit.inference.prediction import Prediction

NONE_OF_THEM = "none of them"
_BOX_MEASURES = ("count", "score", "size", "aspect", "x", "y")


@dataclass(frozen=True)
class Measures:
    """Of one picture: measure -> value, as of `Observed`."""

    numbers: dict[str, float]
    kinds: dict[str, str]


def measures_of(prediction: Prediction, image_size: tuple[int, int]) -> Measures:
    """The measures of all heads that answered.

    Args:
        prediction: with each class's and item's own threshold.
        image_size: (height, width) of the picture that boxes lie in.
    """
    numbers: dict[str, float] = {}
    kinds: dict[str, str] = {}
    answer = prediction.classification
    if answer is not None and answer.confidence is not None:
        numbers["classification.score"] = float(np.max(answer.confidence))
        numbers["classification.entropy"] = _entropy(np.asarray(answer.confidence, np.float64))
        kinds["classification.class"] = prediction.labels[0] if prediction.labels else NONE_OF_THEM
    for task, found in (
        ("exemplar", prediction.exemplar),
        ("localization", prediction.localization),
    ):
        if found is not None:
            numbers |= {f"{task}.{key}": v for key, v in _of_boxes(found, image_size).items()}
            kinds[f"{task}.class"] = _most(found)
    return Measures(numbers, kinds)


def unknown_measures(tasks: Sequence[str]) -> Measures:
    """Of a picture that heads must not be judged by, since they learned from it."""
    numbers: dict[str, float] = {}
    kinds: dict[str, str] = {}
    for task in tasks:
        names = ("score", "entropy") if task == "classification" else _BOX_MEASURES
        numbers |= {f"{task}.{name}": float("nan") for name in names}
        kinds[f"{task}.class"] = ""
    return Measures(numbers, kinds)


def _entropy(scores: np.typing.NDArray[np.float64]) -> float:
    """Bits of doubt between the classes."""
    shares = np.clip(scores / max(float(scores.sum()), 1e-12), 1e-12, 1.0)
    return float(-(shares * np.log2(shares)).sum())


def _of_boxes(found: sv.Detections, image_size: tuple[int, int]) -> dict[str, float]:
    """How many there are, and the means of what they are like; nan where there is none."""
    numbers = dict.fromkeys(_BOX_MEASURES, float("nan"))
    numbers["count"] = float(len(found))
    if len(found):
        height, width = image_size
        boxes = np.asarray(found.xyxy, np.float64)
        wide = np.maximum(boxes[:, 2] - boxes[:, 0], 1e-3)
        high = np.maximum(boxes[:, 3] - boxes[:, 1], 1e-3)
        numbers["size"] = float(np.log10(wide * high / (width * height)).mean())
        numbers["aspect"] = float(np.log10(wide / high).mean())
        numbers["x"] = float((boxes[:, 0] + boxes[:, 2]).mean() / 2 / width)
        numbers["y"] = float((boxes[:, 1] + boxes[:, 3]).mean() / 2 / height)
        if found.confidence is not None:
            numbers["score"] = float(np.mean(found.confidence))
    return numbers


def _most(found: sv.Detections) -> str:
    """The class with the most boxes; the first by name of several."""
    names = found.data.get("class_name")
    if names is None or not len(found):
        return NONE_OF_THEM
    counts = Counter(str(name) for name in names)
    return min(counts, key=lambda name: (-counts[name], name))
