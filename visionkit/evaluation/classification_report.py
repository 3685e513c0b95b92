"""The report of a classification: one HTML file that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from visionkit.evaluation import charts
from visionkit.evaluation.calibration_error import BINS, Reliability
from visionkit.evaluation.charts import LearningCurve
from visionkit.evaluation.class_cards import Pool, copy_cards, doubt_cards, mistake_cards
from visionkit.evaluation.classification import ClassificationMetrics
from visionkit.evaluation.classification_words import class_headline, class_remarks
from visionkit.evaluation.confusion import confusion_pairs, confusion_rows
from visionkit.evaluation.label_errors import LabelDoubt
from visionkit.evaluation.near_copies import NearCopy
from visionkit.evaluation.page import write_page
from visionkit.evaluation.report import ProblemLine
from visionkit.evaluation.watching import Watched, pictures_of
from visionkit.types import Image

__all__ = ["ClassificationReport", "Pool", "write_classification_report"]

_MISTAKES = 24
_DOUBTS = 24
_COPIES = 12
_PAIRS = 30
_PROBLEMS = 200


@dataclass(frozen=True)
class ClassificationReport:
    """What a report tells of one evaluation.

    Attributes:
        title: heading of the page, for instance "classification on digits, test split".
        metrics: of `evaluate_classes`.
        image_names: the name of each picture evaluated.
        read_image: the picture of a number, (H, W, 3) uint8 RGB; called only for those shown.
        thresholds_from: how the thresholds were set, a sentence, or "".
        pool: all labelled pictures, which doubts and copies count by; None without both.
        doubts: of `label_doubts`.
        copies: of `near_copies`.
        learning: figures over the epochs of the training.
        watched: what was found and seen while it was watched, or None.
        tried: ways that were tried on frozen features: words, share right and negative log
            likelihood on held-back pictures, and whether it was chosen.
        problems: what was wrong in the data.
        config: the composed config as text.
        versions: of the code, the data and the packages, and the command.
        created: when, as text.
    """

    title: str
    metrics: ClassificationMetrics
    image_names: Sequence[str]
    read_image: Callable[[int], Image]
    thresholds_from: str = ""
    pool: Pool | None = None
    doubts: Sequence[LabelDoubt] = ()
    copies: Sequence[NearCopy] = ()
    learning: Sequence[LearningCurve] = ()
    watched: Watched | None = None
    tried: Sequence[tuple[str, float, float, bool]] = ()
    problems: Sequence[ProblemLine] = ()
    config: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""


def write_classification_report(path: str | Path, report: ClassificationReport) -> Path:
    """Path of the report: one HTML file with its pictures inside, which loads nothing.

    Raises:
        ValueError: names are not one a picture, or there are doubts or copies without pictures.
        RuntimeError: the disk is full.
    """
    if len(report.image_names) != report.metrics.pictures:
        raise ValueError(
            f"image_names must have one entry a picture evaluated, got {len(report.image_names)} "
            f"for {report.metrics.pictures} pictures; give them in the order evaluated."
        )
    if report.pool is None and (report.doubts or report.copies):
        raise ValueError("pool must be given with doubts and copies, got None")
    return write_page(path, "classification.html.jinja", _content(report))


def reliability_chart(counted: Reliability) -> Markup:
    """Share of right answers (up) by confidence (right), a bar a part, with the diagonal."""
    left, top, width, height = 26.0, 6.0, 186.0, 110.0
    step = width / BINS
    bars = ""
    for part in np.flatnonzero(counted.count):
        high = height * float(counted.accuracy[part])
        bars += (
            f'<rect class="bar" x="{left + part * step + 0.5:.1f}" y="{top + height - high:.1f}" '
            f'width="{step - 1:.1f}" height="{high:.1f}"/>'
        )
    grid = "".join(
        f'<line class="grid" x1="{left}" x2="{left + width}" y1="{top + height * (1 - level):.1f}" '
        f'y2="{top + height * (1 - level):.1f}"/>'
        f'<text class="tick" x="{left - 5}" y="{top + height * (1 - level):.1f}" dy="3" '
        f'text-anchor="end">{level:g}</text>'
        f'<text class="tick" x="{left + width * level:.1f}" y="{top + height + 13}" '
        f'text-anchor="middle">{level:g}</text>'
        for level in (0.0, 0.5, 1.0)
    )
    return Markup(
        f'<svg class="chart" viewBox="0 0 220 134" role="img">{grid}{bars}<line class="ideal" '
        f'x1="{left}" x2="{left + width}" y1="{top + height}" y2="{top}"/></svg>'
    )


def _content(report: ClassificationReport) -> dict[str, Any]:
    metrics, pool = report.metrics, report.pool
    confusion, pairs = [], []
    if metrics.confusion is not None:
        confusion = confusion_rows(metrics.confusion, metrics.class_names)
        pairs = confusion_pairs(metrics.confusion, metrics.class_names)[:_PAIRS]
    return {
        "report": report,
        "metrics": metrics,
        "headline": class_headline(metrics),
        "remarks": class_remarks(metrics),
        "confusion": confusion,
        "pairs": pairs,
        "calibration": reliability_chart(metrics.reliability),
        "mistakes": mistake_cards(metrics, report.image_names, report.read_image, _MISTAKES),
        "doubts": doubt_cards(report.doubts, metrics.class_names, pool, _DOUBTS) if pool else [],
        "copies": copy_cards(report.copies, pool, _COPIES) if pool else [],
        "findings": report.watched.findings if report.watched else [],
        "watched": pictures_of(report.watched),
        "learning": [(curve.name, charts.learning_chart(curve)) for curve in report.learning],
        "problems": list(report.problems)[:_PROBLEMS],
    }
