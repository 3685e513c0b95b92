"""How far the answers of an exported network are from torch's, on real pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import supervision as sv
import torch

from visionkit.inference.engines.choice import Started
from visionkit.inference.parts import ClassificationPart, Part
from visionkit.inference.prediction import Prediction
from visionkit.inference.predictor import Predictor
from visionkit.inference.seen import see
from visionkit.matching.pyramid import looked_at
from visionkit.types import Image

TOLERANCE: Mapping[str, Mapping[str, float]] = {
    "fp32": {"confidence": 1e-3, "score": 1e-3, "box": 0.1, "map": 1e-3},
    "fp16": {"confidence": 0.03, "score": 0.03, "box": 2.0, "map": 0.01},
}
"""Precision -> what the largest distances of `distances` may be. Half precision keeps three digits
of every weight. For eight bits nothing of this kind can be promised: they are judged by what
answers lose."""
OF_TASK: Mapping[str, tuple[str, ...]] = {
    "classification": ("confidence",),
    "localization": ("score", "box"),
    "exemplar": ("map",),
}
"""Task -> what of `Distances` is measured of its head."""
_SAME_PLACE = 0.5  # IoU


@dataclass
class Distances:
    """The largest distances of an engine's outputs from torch's.

    Attributes:
        confidence: of any class of any picture, 0..1.
        score: of any cell, 0..1, of its quality and of its classes.
        box: of any side of a box in pixels of the frame, of cells that the head would give.
        map: of a searched map, as a share of its own length.
    """

    confidence: float = 0.0
    score: float = 0.0
    box: float = 0.0
    map: float = 0.0

    def beyond(self, precision: str) -> dict[str, float]:
        """Those that are larger than the tolerance, or are no numbers."""
        limits = TOLERANCE[precision]
        return {name: value for name, value in vars(self).items() if not value <= limits[name]}

    def add(self, name: str, value: float) -> None:
        """Takes a distance into account; what is no number stays."""
        self.__dict__[name] = float(np.maximum(vars(self)[name], value))


@torch.no_grad()
def distances(predictor: Predictor, other: Started, pictures: Iterable[Image]) -> Distances:
    """The largest distances on these pictures.

    Args:
        predictor: that runs by torch.
        other: the same network, exported.
        pictures: (H, W, 3) uint8 RGB.
    """
    found = Distances()
    for picture in pictures:
        for part in (predictor.classification, predictor.localization):
            if part is not None:
                _add_part(found, part, predictor, other, picture)
        if other.look is not None:
            settings = predictor.finder.settings.pyramid
            theirs = looked_at(picture, other.look, settings).levels
            for own, level in zip(predictor.finder.pyramid(picture).levels, theirs, strict=True):
                away = (own.features - level.features).norm() / own.features.norm().clamp(min=1e-9)
                found.add("map", float(away))
    return found


def _add_part(
    found: Distances, part: Part, predictor: Predictor, other: Started, picture: Image
) -> None:
    if other.network is None:
        raise RuntimeError("an exported network must have the bundle's trained heads, got none")
    own, theirs = (
        see(network, [picture], part.framing, [part.task]).outputs
        for network in (predictor.network, other.network)
    )
    if isinstance(part, ClassificationPart):
        logits = [each.classification for each in (own, theirs) if each.classification is not None]
        first, second = (part.head.probabilities(each) for each in logits)
        found.add("confidence", float((first - second).abs().max()))
    elif own.localization is not None and theirs.localization is not None:
        mine, its = own.localization, theirs.localization
        found.add("score", float((mine.quality.sigmoid() - its.quality.sigmoid()).abs().max()))
        if mine.classes.shape[2]:
            classes = (mine.classes.sigmoid() - its.classes.sigmoid()).abs().max()
            found.add("score", float(classes))
        given = mine.quality.sigmoid() >= float(part.head.score_threshold)
        if given.any():
            found.add("box", float((mine.boxes - its.boxes)[given].abs().max()))


def agreement(
    predictor: Predictor, other: Predictor, pictures: Iterable[Image]
) -> dict[str, float]:
    """Task -> share 0..1 of the answers that two predictors of one bundle have in common.

    Of classes the share of pictures with the same labels; of boxes and items twice the finds that
    both have in a place, by the finds of both. A head of which neither has any is left out.

    Args:
        predictor: that runs by torch.
        other: with the same heads.
        pictures: (H, W, 3) uint8 RGB.
    """
    common = {task: [0, 0] for task in predictor.tasks}
    for picture in pictures:
        (first,), (second,) = predictor.predict(picture), other.predict(picture)
        for task, counts in common.items():
            both, all_of_them = _in_common(first, second, task)
            counts[0] += both
            counts[1] += all_of_them
    return {task: both / total for task, (both, total) in common.items() if total}


def _in_common(first: Prediction, second: Prediction, task: str) -> tuple[int, int]:
    """How many answers are the same, and of how many."""
    if task == "classification":
        return int(first.labels == second.labels), 1
    one, other = getattr(first, task), getattr(second, task)
    return 2 * _matches(one, other), len(one) + len(other)


def _matches(one: sv.Detections, other: sv.Detections) -> int:
    """How many boxes of one name lie in the same place in both."""
    if not len(one) or not len(other):
        return 0
    alike = sv.box_iou_batch(one.xyxy, other.xyxy) >= _SAME_PLACE
    alike &= np.asarray(one.class_id)[:, None] == np.asarray(other.class_id)[None]
    return int(min(alike.any(1).sum(), alike.any(0).sum()))
