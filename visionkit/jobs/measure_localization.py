"""Measuring a localization head on pictures whose boxes are known, and what came of it in files."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import supervision as sv

from visionkit.data.images import MAX_PIXELS, read_image
from visionkit.data.problems import Problem
from visionkit.data.table import save_table, to_table
from visionkit.evaluation.localization import LocalizationMetrics, evaluate_localization
from visionkit.evaluation.manifest import located_rows, write_manifest
from visionkit.evaluation.metrics import Truth
from visionkit.evaluation.records import write_outcomes
from visionkit.evaluation.rekognition import located_summary
from visionkit.evaluation.report import LearningCurve, Report, TrainingScene, write_report
from visionkit.evaluation.summary import (
    CLASS_COLUMNS,
    headline,
    item_rows,
    json_value,
    metrics_json,
    number,
    remarks,
)
from visionkit.evaluation.thresholds import Thresholds
from visionkit.evaluation.watching import read_watched
from visionkit.evaluation.wording import CLASSES
from visionkit.files import write_json
from visionkit.inference.engines.network import Network
from visionkit.inference.parts import LocalizationPart
from visionkit.inference.prediction import Prediction
from visionkit.inference.seen import see
from visionkit.jobs.asking import ask_each, read_again
from visionkit.jobs.measure import (
    MANIFEST_NAME,
    METRICS_NAME,
    OUTCOMES_NAME,
    REPORT_NAME,
    SHOWN_ROWS,
    SUMMARY_NAME,
    TABLE_NAME,
)
from visionkit.jobs.terminal import say, say_table
from visionkit.types import Sample

Locate = Callable[[str], sv.Detections]
"""The objects in the picture at a path, whatever their score, in pixels of the upright picture.

It raises `ImageError` or `FileNotFoundError` where there is no picture that can be read."""


@dataclass(frozen=True)
class MeasuredLocalization:
    """What was located in pictures whose boxes are known; N pictures that could be read.

    Attributes:
        metrics: of these pictures.
        samples: N.
        predictions: N, all finds whatever their score.
        problems: pictures that could not be read; they are not among the N.
        seconds: mean time a picture, one after the other, reading it included; nan for none.
    """

    metrics: LocalizationMetrics
    samples: tuple[Sample, ...]
    predictions: tuple[sv.Detections, ...]
    problems: tuple[Problem, ...]
    seconds: float

    @property
    def figures(self) -> dict[str, float]:
        """The main figures, name -> value; those that are not defined are left out."""
        boxes, coco = self.metrics.boxes, self.metrics.coco
        found = {
            "ap50": boxes.ap50,
            "ap": boxes.ap,
            "precision": boxes.precision,
            "recall": boxes.recall,
            "f1": boxes.f1,
            "false_alarms": boxes.false_alarms,
            "ap_small": coco.ap_small,
            "ap_medium": coco.ap_medium,
            "ap_large": coco.ap_large,
            "ar_100": coco.ar_100,
            "seconds_per_picture": self.seconds,
        }
        return {name: value for name, value in found.items() if math.isfinite(value)}


def measure_localization(
    part: LocalizationPart,
    network: Network,
    samples: Sequence[Sample],
    *,
    thresholds: Thresholds,
    seed: int = 0,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int], None] | None = None,
) -> MeasuredLocalization:
    """How well a trained head locates the objects of pictures, as it would at prediction.

    Args:
        part: the head; its own thresholds don't count here.
        network: that it is a head of.
        samples: pictures with all their boxes; none is a normal value.
        thresholds: as of `evaluate_localization`, for instance `part.thresholds`.
        seed: of the bootstrap intervals.
        max_pixels: larger pictures are left out.
        progress: called with 1 after each picture.

    Raises:
        ValueError: a class has no threshold.
    """
    return measure_located(
        located_by(part, network, max_pixels=max_pixels),
        samples,
        part.class_names,
        thresholds=thresholds,
        seed=seed,
        progress=progress,
    )


def measure_located(
    locate: Locate,
    samples: Sequence[Sample],
    class_names: Sequence[str],
    *,
    thresholds: Thresholds,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> MeasuredLocalization:
    """As `measure_localization`, of whatever locates objects.

    Boxes of other classes than `class_names` are not looked for: a find on one is on nothing.

    Raises:
        ValueError: a class has no threshold, or a find a class that there is not.
    """
    asked = ask_each(samples, locate, progress=progress)
    read = tuple(samples[index] for index in asked.kept)
    metrics = evaluate_localization(
        [_truth(sample, class_names) for sample in read],
        asked.answers,
        class_names,
        thresholds=thresholds,
        seed=seed,
    )
    return MeasuredLocalization(
        metrics, read, tuple(asked.answers), tuple(asked.problems), asked.seconds
    )


def located_by(part: LocalizationPart, network: Network, *, max_pixels: int = MAX_PIXELS) -> Locate:
    """A function that locates objects as the predictor does, one picture at a time."""

    def locate(uri: str) -> sv.Detections:
        if part.tiles is not None:
            image = read_image(uri, max_pixels=max_pixels)
            answers = part.answer_in_tiles(network, [image], [Prediction()], score_threshold=0.0)
        else:
            seen = see(network, [uri], part.framing, [part.task], max_pixels=max_pixels)
            answers = part.answer(seen, [Prediction()], score_threshold=0.0)
        found = answers[0].localization
        return sv.Detections.empty() if found is None else found

    return locate


def write_located(
    folder: Path,
    measured: MeasuredLocalization,
    *,
    title: str,
    thresholds_from: str,
    problems: Sequence[Problem] = (),
    training_images: int = 0,
    guessed: Sequence[TrainingScene] = (),
    learning: Sequence[LearningCurve] = (),
    config: str = "",
    versions: Mapping[str, str] | None = None,
) -> Path:
    """Path of the report; beside it the figures, every find and the pictures' table are written.

    That is metrics.json, outcomes.jsonl and table.parquet, and in the forms of Rekognition
    Custom Labels evaluation.manifest and evaluation_summary.json.

    Args:
        folder: of the run.
        measured: of `measure_localization`.
        title: heading of the report.
        thresholds_from: how the thresholds were set, a sentence.
        problems: what was wrong in the data; those of `measured` are added.
        training_images: how many pictures were learned from.
        guessed: pictures with boxes that were learned from though nobody has drawn them.
        learning: figures over the epochs of the training.
        config: the composed config as text.
        versions: of the code and the packages, and what else the figures depend on.

    Raises:
        RuntimeError: the disk is full.
    """
    metrics, samples = measured.metrics, measured.samples
    names = [sample.id for sample in samples]
    save_table(to_table(samples), folder / TABLE_NAME)
    values = {
        "figures": measured.figures,
        "boxes": metrics_json(metrics.boxes),
        "coco": metrics_json(metrics.coco),
        "errors": [json_value(asdict(error)) for error in metrics.errors],
    }
    write_json(folder / METRICS_NAME, values)
    write_outcomes(folder / OUTCOMES_NAME, metrics.boxes, names, wording=CLASSES)
    write_manifest(folder / MANIFEST_NAME, located_rows(metrics.boxes, samples, model=title))
    write_json(
        folder / SUMMARY_NAME,
        located_summary(metrics, training_images=training_images, model=title),
    )
    report = Report(
        title=title,
        metrics=metrics.boxes,
        predictions=measured.predictions,
        image_names=names,
        read_image=lambda picture: read_again(samples[picture]),
        coco=metrics.coco,
        errors=metrics.errors,
        wording=CLASSES,
        thresholds_from=thresholds_from,
        guessed=guessed,
        learning=learning,
        watched=read_watched(folder),
        problems=(*problems, *measured.problems),
        config=config,
        versions=versions or {},
        created=time.strftime("%Y-%m-%d %H:%M"),
    )
    return write_report(folder / REPORT_NAME, report)


def say_located(measured: MeasuredLocalization) -> None:
    """Prints the table per class and what the figures say."""
    boxes, coco = measured.metrics.boxes, measured.metrics.coco
    rows = item_rows(boxes)
    say_table("Each class at its threshold", CLASS_COLUMNS, rows[:SHOWN_ROWS])
    if len(rows) > SHOWN_ROWS:
        say(f"... and {len(rows) - SHOWN_ROWS} more classes: see the report")
    say(headline(boxes, CLASSES), *remarks(boxes, CLASSES))
    say(
        f"AP over IoU 0.5 to 0.95: {number(boxes.ap)}; small objects {number(coco.ap_small)}, "
        f"medium {number(coco.ap_medium)}, large {number(coco.ap_large)}."
    )
    if measured.problems:
        say(f"{len(measured.problems)} pictures could not be read and are not measured.")


def _truth(sample: Sample, class_names: Sequence[str]) -> Truth:
    """The boxes of the classes that are looked for."""
    class_id = {name: index for index, name in enumerate(class_names)}
    known = [entry for entry in sample.objects if entry.label in class_id]
    return Truth(
        np.array([entry.box for entry in known], np.float32).reshape(-1, 4),
        np.array([class_id[entry.label] for entry in known], np.int64),
    )
