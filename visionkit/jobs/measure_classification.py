"""Measuring a classification head on pictures whose classes are known, and what came of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visionkit.data.images import MAX_PIXELS
from visionkit.data.problems import Problem
from visionkit.data.table import save_table, to_table
from visionkit.evaluation.class_cards import Pool
from visionkit.evaluation.classification import ClassificationMetrics, evaluate_classes
from visionkit.evaluation.classification_report import (
    ClassificationReport,
    write_classification_report,
)
from visionkit.evaluation.classification_words import (
    CLASS_COLUMNS,
    class_headline,
    class_remarks,
    class_rows,
)
from visionkit.evaluation.label_errors import LabelDoubt
from visionkit.evaluation.manifest import classified_rows, write_manifest
from visionkit.evaluation.near_copies import NearCopy
from visionkit.evaluation.rekognition import classified_summary
from visionkit.evaluation.report import LearningCurve
from visionkit.evaluation.summary import metrics_json
from visionkit.evaluation.thresholds import Thresholds
from visionkit.evaluation.watching import read_watched
from visionkit.files import write_json
from visionkit.inference.engines.network import Network
from visionkit.inference.parts import ClassificationPart
from visionkit.inference.prediction import Prediction
from visionkit.inference.seen import see
from visionkit.jobs.asking import ask_each, read_again
from visionkit.jobs.measure import (
    MANIFEST_NAME,
    METRICS_NAME,
    REPORT_NAME,
    SHOWN_ROWS,
    SUMMARY_NAME,
    TABLE_NAME,
)
from visionkit.jobs.terminal import say, say_table
from visionkit.training.classed import classed
from visionkit.types import Sample


@dataclass(frozen=True)
class MeasuredClassification:
    """What was said of pictures whose classes are known; N pictures that could be read.

    Attributes:
        metrics: of these pictures.
        samples: N.
        scores: (N, K) float64 probabilities 0..1.
        problems: pictures that could not be read or have no class that is known; not of the N.
        seconds: mean time a picture, one after the other, reading it included; nan for none.
    """

    metrics: ClassificationMetrics
    samples: tuple[Sample, ...]
    scores: NDArray[np.float64]
    problems: tuple[Problem, ...]
    seconds: float

    @property
    def figures(self) -> dict[str, float]:
        """The main figures, name -> value; those that are not defined are left out."""
        metrics = self.metrics
        found = {
            "accuracy": metrics.accuracy,
            "top5": metrics.top5,
            "macro_f1": metrics.macro_f1,
            "precision": metrics.precision,
            "recall": metrics.recall,
            "f1": metrics.f1,
            "mean_ap": metrics.mean_ap,
            "calibration_error": metrics.calibration_error,
            "nll": metrics.nll,
            "seconds_per_picture": self.seconds,
        }
        return {name: value for name, value in found.items() if math.isfinite(value)}


def measure_classification(
    part: ClassificationPart,
    network: Network,
    samples: Sequence[Sample],
    *,
    thresholds: Thresholds,
    precision_goal: float = 0.95,
    seed: int = 0,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int], None] | None = None,
) -> MeasuredClassification:
    """How well a trained head names pictures, as it would at prediction.

    Args:
        part: the head; its own thresholds don't count here.
        network: that it is a head of.
        samples: pictures with labels.
        thresholds: as of `evaluate_classes`, for instance `part.thresholds`.
        precision_goal: 0..1, what the second threshold of each class must reach.
        seed: of the bootstrap intervals.
        max_pixels: larger pictures are left out.
        progress: called with 1 after each picture.

    Raises:
        ValueError: a class has no threshold.
    """
    known = classed(samples, part.class_names, multi_label=part.multi_label)
    asked = ask_each(
        known.samples, lambda uri: _scores(part, network, uri, max_pixels), progress=progress
    )
    part_of = known.part(asked.kept)
    targets = part_of.targets.numpy()
    given = np.array(asked.answers, np.float64).reshape(-1, len(part.class_names))
    metrics = evaluate_classes(
        targets > 0 if part.multi_label else targets,
        given,
        part.class_names,
        thresholds=thresholds,
        precision_goal=precision_goal,
        seed=seed,
    )
    problems = (*known.problems, *asked.problems)
    return MeasuredClassification(metrics, part_of.samples, given, problems, asked.seconds)


@dataclass(frozen=True)
class Doubted:
    """What is doubtful about the pictures that were learned from.

    Attributes:
        samples: the pictures.
        doubts: labels that may be wrong, the most doubtful first.
        copies: pairs that are nearly the same, the most alike first.
    """

    samples: tuple[Sample, ...] = ()
    doubts: tuple[LabelDoubt, ...] = ()
    copies: tuple[NearCopy, ...] = ()


def write_classified(
    folder: Path,
    measured: MeasuredClassification,
    *,
    title: str,
    thresholds_from: str = "",
    problems: Sequence[Problem] = (),
    doubted: Doubted | None = None,
    training_images: int = 0,
    learning: Sequence[LearningCurve] = (),
    tried: Sequence[tuple[str, float, float, bool]] = (),
    config: str = "",
    versions: Mapping[str, str] | None = None,
) -> Path:
    """Path of the report; beside it the figures and every picture with its answers are written.

    That is metrics.json and table.parquet, and in the forms of Rekognition Custom Labels
    evaluation.manifest and evaluation_summary.json.

    Args:
        folder: of the run.
        measured: of `measure_classification`.
        title: what was measured on what.
        thresholds_from: how the thresholds were set, a sentence.
        problems: what was wrong in the data; those of `measured` are added.
        doubted: what is doubtful about the training pictures.
        training_images: how many pictures were learned from.
        learning: figures over the epochs of the training.
        tried: see `ClassificationReport`.
        config: the composed config as text.
        versions: of the code and the packages, and what else the figures depend on.

    Raises:
        RuntimeError: the disk is full.
    """
    metrics, samples = measured.metrics, measured.samples
    doubted = doubted or Doubted()
    save_table(to_table(samples), folder / TABLE_NAME)
    values = {"figures": measured.figures, "classes": metrics_json(metrics)}
    write_json(folder / METRICS_NAME, values)
    write_manifest(folder / MANIFEST_NAME, classified_rows(metrics, samples, model=title))
    summary = classified_summary(metrics, training_images=training_images, model=title)
    write_json(folder / SUMMARY_NAME, summary)
    report = ClassificationReport(
        title=title,
        metrics=metrics,
        image_names=[sample.id for sample in samples],
        read_image=lambda picture: read_again(samples[picture]),
        thresholds_from=thresholds_from,
        pool=_pool(doubted.samples),
        doubts=doubted.doubts,
        copies=doubted.copies,
        learning=learning,
        watched=read_watched(folder),
        tried=tried,
        problems=(*problems, *measured.problems),
        config=config,
        versions=versions or {},
        created=time.strftime("%Y-%m-%d %H:%M"),
    )
    return write_classification_report(folder / REPORT_NAME, report)


def say_classified(measured: MeasuredClassification) -> None:
    """Prints the table per class and what the figures say."""
    metrics = measured.metrics
    rows = class_rows(metrics)
    say_table("Each class", CLASS_COLUMNS, rows[:SHOWN_ROWS])
    if len(rows) > SHOWN_ROWS:
        say(f"... and {len(rows) - SHOWN_ROWS} more classes: see the report")
    say(class_headline(metrics), *class_remarks(metrics))
    if measured.problems:
        say(f"{len(measured.problems)} pictures are not measured: they have no class or no pixels.")


def _pool(samples: Sequence[Sample]) -> Pool | None:
    if not samples:
        return None
    return Pool(
        names=[sample.id for sample in samples],
        labels=[", ".join(sample.labels) or "none of them" for sample in samples],
        parts=[sample.split or "train" for sample in samples],
        read=lambda picture: read_again(samples[picture]),
    )


def _scores(
    part: ClassificationPart, network: Network, uri: str, max_pixels: int
) -> NDArray[np.floating]:
    """(K,) probabilities of one picture."""
    seen = see(network, [uri], part.framing, [part.task], max_pixels=max_pixels)
    answer = part.answer(seen, [Prediction()])[0].classification
    if answer is None or answer.confidence is None:
        raise RuntimeError("a classification head must give confidences, got none")
    order = np.argsort(answer.class_id)
    return np.asarray(answer.confidence[order])
