"""Measuring a finder on pictures whose items are known, and writing down what came of it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import supervision as sv
import timm
import torch

import visionkit
from visionkit.data.problems import Problem
from visionkit.data.table import save_table, to_table
from visionkit.evaluation import (
    BoxMetrics,
    PresenceMetrics,
    Truth,
    evaluate_boxes,
    presence_metrics,
    presence_of,
)
from visionkit.evaluation.records import write_outcomes
from visionkit.evaluation.report import LearningCurve, Report, TrainingScene, write_report
from visionkit.evaluation.summary import (
    ITEM_COLUMNS,
    headline,
    item_rows,
    metrics_json,
    number,
    remarks,
)
from visionkit.evaluation.watching import read_watched
from visionkit.files import write_json
from visionkit.jobs.sources import Scenes, has_boxes
from visionkit.jobs.terminal import say, say_table
from visionkit.matching.finder import Finder
from visionkit.training.pairs import LabelledScene
from visionkit.types import Image

METRICS_NAME, OUTCOMES_NAME, REPORT_NAME = "metrics.json", "outcomes.jsonl", "report.html"
TABLE_NAME = "table.parquet"
MANIFEST_NAME, SUMMARY_NAME = "evaluation.manifest", "evaluation_summary.json"
SHOWN_ROWS = 60


@dataclass(frozen=True)
class Measured:
    """What a finder did on pictures whose items are known.

    Attributes:
        scenes: all pictures.
        boxes: of the pictures in which every box is known.
        presence: of all pictures, those that only have labels included.
        predictions: all finds of the pictures of `boxes`, whatever their score.
        names: of the pictures of `boxes`.
        places: numbers of the pictures of `boxes` among all.
        seconds: mean time a picture.
    """

    scenes: Scenes
    boxes: BoxMetrics
    presence: PresenceMetrics
    predictions: tuple[sv.Detections, ...]
    names: tuple[str, ...]
    places: tuple[int, ...]
    seconds: float

    @property
    def figures(self) -> dict[str, float]:
        """The main figures, name -> value; those that are not defined are left out."""
        found = {
            "ap50": self.boxes.ap50,
            "ap": self.boxes.ap,
            "precision": self.boxes.precision,
            "recall": self.boxes.recall,
            "f1": self.boxes.f1,
            "false_alarms": self.boxes.false_alarms,
            "presence_f1": self.presence.f1,
            "presence_auc": self.presence.auc,
            "none_accuracy": self.presence.none_accuracy,
            "seconds_per_picture": self.seconds,
        }
        return {name: value for name, value in found.items() if math.isfinite(value)}


def measure(
    finder: Finder,
    scenes: Scenes,
    *,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Measured:
    """How well a finder finds its items in scenes, each item at its own threshold.

    The views that a scene shows are not used on it. Boxes of items that the gallery does not
    have count as background.

    Args:
        finder: with its gallery filled.
        scenes: pictures with boxes or labels, and pictures without any item.
        seed: of the bootstrap intervals.
        progress: called with 1 after each picture.

    Raises:
        ValueError: the gallery is empty, or there is no picture.
    """
    items = finder.item_names
    if not items or not len(scenes):
        raise ValueError(
            f"there must be items to find and pictures to find them in, got {len(items)} items "
            f"and {len(scenes)} pictures"
        )
    predictions, truths = [], []
    start = time.monotonic()
    for index in range(len(scenes)):
        scene = scenes[index]
        predictions.append(finder.find(scene.image, without=scene.shown_views))
        truths.append(_truth(scene, items))
        if progress is not None:
            progress(1)
    seconds = (time.monotonic() - start) / len(scenes)
    places = [place for place, sample in enumerate(scenes.samples) if has_boxes(sample)]
    boxes = evaluate_boxes(
        [truths[place] for place in places],
        [predictions[place] for place in places],
        items,
        thresholds=finder.thresholds,
        seed=seed,
    )
    present, scores = presence_of(truths, predictions, class_count=len(items))
    _add_labels(present, scenes, items)
    return Measured(
        scenes,
        boxes,
        presence_metrics(present, scores, items, thresholds=finder.thresholds, seed=seed),
        tuple(predictions[place] for place in places),
        tuple(scenes.samples[place].id for place in places),
        tuple(places),
        seconds,
    )


def write_measured(
    folder: Path,
    measured: Measured,
    finder: Finder,
    *,
    title: str,
    thresholds_from: str,
    problems: Sequence[Problem] = (),
    training_scenes: Sequence[TrainingScene] = (),
    learning: Sequence[LearningCurve] = (),
    config: str = "",
    versions: Mapping[str, str] | None = None,
) -> Path:
    """Path of the report; beside it metrics.json, outcomes.jsonl and table.parquet are written.

    Args:
        folder: of the run.
        measured: of `measure`.
        finder: that was measured: its views are shown.
        title: heading of the report.
        thresholds_from: how the thresholds were set, a sentence.
        problems: what was wrong in the data.
        training_scenes: composed scenes as seen in training.
        learning: figures over the epochs of the training.
        config: the composed config as text.
        versions: of the code and the packages, and what else the figures depend on.

    Raises:
        RuntimeError: the disk is full.
    """
    save_table(to_table(measured.scenes.samples), folder / TABLE_NAME)
    values = {
        "figures": measured.figures,
        "boxes": metrics_json(measured.boxes),
        "presence": metrics_json(measured.presence),
    }
    write_json(folder / METRICS_NAME, values)
    write_outcomes(folder / OUTCOMES_NAME, measured.boxes, measured.names)
    views: dict[str, dict[str, Image]] = {}
    for view in finder.gallery.views:
        views.setdefault(view.item, {})[view.id] = view.crop()
    report = Report(
        title=title,
        metrics=measured.boxes,
        predictions=measured.predictions,
        image_names=measured.names,
        read_image=lambda picture: measured.scenes[measured.places[picture]].image,
        views=views,
        view_files={view.id: view.source for view in finder.gallery.views},
        presence=measured.presence,
        thresholds_from=thresholds_from,
        training_scenes=training_scenes,
        learning=learning,
        watched=read_watched(folder),
        problems=problems,
        config=config,
        versions=versions or {},
        created=time.strftime("%Y-%m-%d %H:%M"),
    )
    return write_report(folder / REPORT_NAME, report)


def say_measured(measured: Measured) -> None:
    """Prints the table per item and what the figures say."""
    if measured.boxes.pictures:
        rows = item_rows(measured.boxes)
        say_table("Each item at its threshold", ITEM_COLUMNS, rows[:SHOWN_ROWS])
        if len(rows) > SHOWN_ROWS:
            say(f"... and {len(rows) - SHOWN_ROWS} more items: see the report")
        say(headline(measured.boxes), *remarks(measured.boxes))
    presence = measured.presence
    words = f"Is the item in the picture at all: F1 {number(presence.f1)}, AUC "
    words += number(presence.auc)
    if presence.none_pictures:
        right = round(presence.none_accuracy * presence.none_pictures)
        words += f"; 'none of them' right for {right} of {presence.none_pictures} pictures"
    say(words + ".")


def versions() -> dict[str, str]:
    """Name -> version of what figures depend on."""
    return {
        "visionkit": visionkit.__version__,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "timm": timm.__version__,
        "lightning": lightning.__version__,
        "numpy": np.__version__,
    }


def _truth(scene: LabelledScene, items: Sequence[str]) -> Truth:
    """The boxes of items of the gallery; others are not looked for."""
    class_id = {name: index for index, name in enumerate(items)}
    known = [place for place, name in enumerate(scene.items) if name in class_id]
    class_ids = [class_id[scene.items[place]] for place in known]
    return Truth(scene.boxes[known], np.array(class_ids, np.int64))


def _add_labels(
    present: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    scenes: Scenes,
    items: Sequence[str],
) -> None:
    """Marks the items that pictures are labelled with as a whole."""
    class_id = {name: index for index, name in enumerate(items)}
    for row, sample in enumerate(scenes.samples):
        for label in sample.labels:
            if label in class_id:
                present[row, class_id[label]] = True
