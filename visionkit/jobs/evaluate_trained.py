"""Measuring a trained head of a bundle on pictures of which it is known what they show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from visionkit.config import EvaluateConfig
from visionkit.data.formats import read
from visionkit.data.problems import Problem
from visionkit.data.table import to_samples
from visionkit.inference.predictor import Predictor
from visionkit.jobs.dividing import classes_of
from visionkit.jobs.evaluating import require_split, title_of, used_config
from visionkit.jobs.judging import telling
from visionkit.jobs.measure import versions
from visionkit.jobs.measure_classification import (
    measure_classification,
    say_classified,
    write_classified,
)
from visionkit.jobs.measure_localization import measure_localization, say_located, write_located
from visionkit.jobs.pictures import has_boxes
from visionkit.jobs.quickest import take_quickest
from visionkit.jobs.sources import read_backgrounds, some_names
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import keep_problems, problems_kept, progress, say, say_next
from visionkit.types import Sample


def evaluate_classification(
    config: EvaluateConfig, predictor: Predictor, run_folder: Path
) -> Summary:
    """Measures the classification head; see `visionkit.jobs.evaluate`."""
    part = predictor.classification
    if part is None:
        raise RuntimeError("a head that is measured must be there, got no classification")
    samples, problems = read_samples(config, run_folder)
    samples = telling(samples, "classification", (), multi_label=part.multi_label)
    check_labels(samples, part.class_names, config.data, what="labels of pictures")
    take_quickest(predictor, config.engine, len(samples))
    with progress("Naming", len(samples)) as step:
        measured = measure_classification(
            part,
            predictor.network,
            samples,
            thresholds=part.thresholds,
            seed=config.seed,
            progress=step,
        )
    say_classified(measured)
    keep_problems([*problems, *measured.problems], run_folder)
    report = write_classified(
        run_folder,
        measured,
        title=title_of(config),
        thresholds_from="Thresholds are those of the bundle.",
        problems=problems,
        config=used_config(config, predictor),
        versions=versions(),
    )
    _say_end(config, report)
    return Summary(run_folder, measured.figures)


def evaluate_localization(
    config: EvaluateConfig, predictor: Predictor, run_folder: Path
) -> Summary:
    """Measures the localization head; see `visionkit.jobs.evaluate`."""
    part = predictor.localization
    if part is None:
        raise RuntimeError("a head that is measured must be there, got no localization")
    samples, problems = read_samples(config, run_folder)
    samples = [sample for sample in samples if has_boxes(sample)]
    check_labels(samples, part.class_names, config.data, what="labelled boxes")
    take_quickest(predictor, config.engine, len(samples))
    with progress("Searching", len(samples)) as step:
        measured = measure_localization(
            part,
            predictor.network,
            samples,
            thresholds=part.thresholds,
            seed=config.seed,
            progress=step,
        )
    say_located(measured)
    keep_problems([*problems, *measured.problems], run_folder)
    report = write_located(
        run_folder,
        measured,
        title=title_of(config),
        thresholds_from="Thresholds are those of the bundle: each class's own.",
        problems=problems,
        config=used_config(config, predictor),
        versions=versions(),
    )
    _say_end(config, report)
    return Summary(run_folder, measured.figures)


def read_samples(config: EvaluateConfig, run_folder: Path) -> tuple[list[Sample], list[Problem]]:
    """The pictures of the split, those of the background behind them, and what was wrong."""
    with problems_kept(run_folder):
        found = read(config.data, config.format, image_root=config.image_root)
    samples, problems = to_samples(found.table), list(found.problems)
    require_split(config, samples)
    if config.split != "all":
        samples = [sample for sample in samples if sample.split == config.split]
    if config.background is not None:
        pictures, more = read_backgrounds(config.background)
        samples, problems = [*samples, *pictures.scenes.samples], problems + more
    return samples, problems


def check_labels(
    samples: Sequence[Sample], class_names: Sequence[str], source: str, *, what: str
) -> None:
    """Passes if some label is one of the head's classes.

    Raises:
        ValueError: none is.
    """
    labels = {name for sample in samples for name in classes_of(sample)}
    if not labels & set(class_names):
        raise ValueError(
            f"the pictures must have {what} of the head's classes ({some_names(class_names)}), "
            f"got {some_names(labels) if labels else 'none'} [{source}]"
        )


def _say_end(config: EvaluateConfig, report: Path) -> None:
    say("", f"The report: {report}")
    say_next(["predict", f"bundle={config.bundle}", "source=PICTURE_OR_FOLDER"])
