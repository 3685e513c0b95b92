"""The report: one HTML file that needs nothing beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import supervision as sv
from numpy.typing import NDArray

from visionkit.evaluation import charts, summary, wall
from visionkit.evaluation.box_errors import ErrorKind
from visionkit.evaluation.charts import LearningCurve
from visionkit.evaluation.coco import CocoMetrics, box_sizes
from visionkit.evaluation.confusion import confusion_pairs, confusion_rows
from visionkit.evaluation.metrics import BoxMetrics, ClassMetrics
from visionkit.evaluation.page import write_page
from visionkit.evaluation.presence import PresenceMetrics
from visionkit.evaluation.watching import Watched, pictures_of
from visionkit.evaluation.wording import ITEMS, Wording
from visionkit.types import Image

__all__ = ["LearningCurve", "Report", "TrainingScene", "write_report"]

_CARDS = 18  # in each part of the wall; the first nine are open
_SCENES = 12
_SCENE_SIZE = (360, 270)  # width, height
_THUMBNAIL = (64, 44)
_THUMBNAILS = 300  # items beyond these have no thumbnail, so that the file stays small
_CHARTS = 24  # precision-recall curves
_STRIPS = 40  # threshold charts
_PAIRS = 30
_PROBLEMS = 200
_ERROR_WORDS = {
    "class": "on an object of another class",
    "place": "on its object, with too little overlap",
    "both": "on another class, with too little overlap",
    "copy": "a second find of one object",
    "background": "on nothing",
    "missed": "an object that no find is on",
}


class ProblemLine(Protocol):
    """Something wrong in the data that was left out or used with a warning."""

    @property
    def file(self) -> str:
        """The file it stands in."""

    @property
    def line(self) -> int | None:
        """The line, or None where the whole file is meant."""

    @property
    def reason(self) -> str:
        """What is wrong and what to do."""

    @property
    def level(self) -> str:
        """Either "error": left out, or "warning": used."""


@dataclass(frozen=True)
class TrainingScene:
    """One picture, or composed scene, that was learned from.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) xyxy in its pixels; N may be 0.
        labels: the item of each box.
    """

    image: Image
    boxes: NDArray[np.floating]
    labels: Sequence[str]


@dataclass(frozen=True)
class Report:
    """What a report tells of one evaluation.

    Attributes:
        title: heading of the page, for instance "exemplar on fridge, test split".
        metrics: of `evaluate_boxes`.
        predictions: the finds as evaluated. Of `data`, the evidence `view`, `similarity`,
            `inliers`, `runner_up`, `runner_up_score` and `quad` is shown where it is there.
        image_names: the name of each picture.
        read_image: the picture of a number, (H, W, 3) uint8 RGB; called only for those shown.
        views: the pictures of each item by the id of the view.
        view_files: id of a view -> where it came from, which is shown in place of the id.
        presence: of `presence_metrics`, or None.
        coco: COCO's figures, or None.
        errors: of `error_kinds`; may be empty.
        wording: what the task calls that which it finds. Parts of the page that only the exemplar
            head fills are there for `ITEMS`, and for others where there is something in them.
        thresholds_from: how the thresholds were set, a sentence.
        training_scenes: composed scenes as seen in training; the first twelve are shown.
        guessed: pictures with boxes that nobody has drawn and that were learned from because the
            model was sure of them; the first twelve are shown.
        learning: figures over the epochs of the training.
        watched: what was found and seen while it was watched, or None.
        problems: what was wrong in the data.
        config: the composed config as text.
        versions: of the code, the data and the packages, and the command.
        created: when, as text.
    """

    title: str
    metrics: BoxMetrics
    predictions: Sequence[sv.Detections]
    image_names: Sequence[str]
    read_image: Callable[[int], Image]
    views: wall.Views = field(default_factory=dict)
    view_files: Mapping[str, str] = field(default_factory=dict)
    presence: PresenceMetrics | None = None
    coco: CocoMetrics | None = None
    errors: Sequence[ErrorKind] = ()
    wording: Wording = ITEMS
    thresholds_from: str = ""
    training_scenes: Sequence[TrainingScene] = ()
    guessed: Sequence[TrainingScene] = ()
    learning: Sequence[LearningCurve] = ()
    watched: Watched | None = None
    problems: Sequence[ProblemLine] = ()
    config: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""


def write_report(path: str | Path, report: Report) -> Path:
    """Path of the report: one HTML file with its pictures inside, which loads nothing.

    Names from the data are escaped, and a content security policy inside the page forbids
    any other script and every connection.

    Raises:
        ValueError: predictions or names are not one a picture.
        RuntimeError: the disk is full.
    """
    metrics = report.metrics
    for name in ("predictions", "image_names"):
        given = len(getattr(report, name))
        if given != metrics.pictures:
            raise ValueError(
                f"{name} must have one entry a picture evaluated, got {given} for "
                f"{metrics.pictures} pictures; give them in the order evaluated."
            )
    content = {"report": report, "metrics": metrics, "wording": report.wording, **_content(report)}
    return write_page(path, "report.html.jinja", content)


def _content(report: Report) -> dict[str, Any]:
    """Everything that the page shows and that is not in the report already."""
    metrics = report.metrics
    pictures = wall.Pictures(
        report.image_names,
        report.read_image,
        report.predictions,
        report.views,
        report.view_files,
        report.wording,
    )
    weakest = _weakest_first(metrics)
    axis = charts.score_axis(metrics)
    return {
        "headline": summary.headline(metrics, report.wording),
        "remarks": summary.remarks(metrics, report.wording),
        "has_views": bool(report.views) or report.wording is ITEMS,
        "has_scenes": bool(report.training_scenes) or report.wording is ITEMS,
        "items": _items(report),
        "sizes": _sizes(report),
        "errors": [(_ERROR_WORDS[error.name], error) for error in report.errors],
        "wall": [
            ("missed", "Missed", wall.missed_cards(metrics, pictures, _CARDS)),
            ("wrong", "Surest wrong finds", wall.worst_cards(metrics, pictures, _CARDS)),
            ("right", "Surest right finds", wall.best_cards(metrics, pictures, _CARDS)),
        ],
        "missed_count": sum(one.missed for one in metrics.per_class),
        "curves": [
            (metrics.per_class[index], charts.precision_recall_chart(metrics.per_class[index]))
            for index in weakest[:_CHARTS]
        ],
        "axis": axis,
        "strips": [
            (metrics.per_class[index], charts.threshold_chart(metrics, index, axis))
            for index in weakest[:_STRIPS]
        ],
        "confusion": confusion_rows(metrics.confusion, [*metrics.class_names, "none of them"]),
        "pairs": confusion_pairs(metrics.confusion, metrics.class_names)[:_PAIRS],
        "scenes": [_scene(scene, report.wording) for scene in report.training_scenes[:_SCENES]],
        "guessed": [_scene(scene, report.wording) for scene in report.guessed[:_SCENES]],
        "findings": report.watched.findings if report.watched else [],
        "watched": pictures_of(report.watched),
        "learning": [(curve.name, charts.learning_chart(curve)) for curve in report.learning],
        "problems": list(report.problems)[:_PROBLEMS],
    }


def _weakest_first(metrics: BoxMetrics) -> list[int]:
    """Class ids from the lowest F1 up; those that can't be judged come last."""
    f1 = [one.f1 if math.isfinite(one.f1) else 2.0 for one in metrics.per_class]
    return sorted(range(len(f1)), key=lambda index: f1[index])


def _items(report: Report) -> list[tuple[ClassMetrics, str, int]]:
    """Each item with its first view as a data URI, or "", and how many views it has.

    Joined here, since a template takes `views["keys"]` of an item named "keys" for a method.
    """
    rows = []
    for row, one in enumerate(report.metrics.per_class):
        views = report.views.get(one.name, {})
        first = next(iter(views.values()), None) if row < _THUMBNAILS else None
        uri = "" if first is None else wall.data_uri(wall.fitted(first, _THUMBNAIL))
        rows.append((one, uri, len(views)))
    return rows


def _sizes(report: Report) -> list[tuple[str, int, float, float]]:
    """Rows of COCO's figures: size of objects, true boxes of it, AP and recall (AR)."""
    coco = report.coco
    if coco is None:
        return []
    counts = box_sizes(report.metrics.outcomes.truth_box)
    return [
        ("all", report.metrics.truths, coco.ap, coco.ar_100),
        ("small: below 32 × 32 px", counts["small"], coco.ap_small, coco.ar_small),
        ("medium", counts["medium"], coco.ap_medium, coco.ar_medium),
        ("large: above 96 × 96 px", counts["large"], coco.ap_large, coco.ar_large),
    ]


def _scene(scene: TrainingScene, wording: Wording) -> dict[str, Any]:
    small = wall.fitted(scene.image, _SCENE_SIZE, enlarge=2.0)
    scale = small.shape[1] / scene.image.shape[1]
    return {
        "uri": wall.data_uri(small),
        "width": small.shape[1],
        "height": small.shape[0],
        "marks": [wall.mark(box, "drawn", scale=scale) for box in np.asarray(scene.boxes)],
        "words": _scene_words(scene.labels, wording),
    }


def _scene_words(labels: Iterable[str], wording: Wording) -> str:
    counts: dict[str, int] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    if not counts:
        return "no item: an empty scene" if wording is ITEMS else f"no {wording.things}"
    return ", ".join(name if count == 1 else f"{name} × {count}" for name, count in counts.items())
