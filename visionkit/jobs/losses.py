"""What an engine loses of a head's figures, on pictures of which it is known what they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from visionkit.config import EvaluateConfig
from visionkit.evaluation.summary import number
from visionkit.inference.parts import ClassificationPart, Part
from visionkit.inference.predictor import Predictor
from visionkit.jobs.evaluate import asked_task
from visionkit.jobs.evaluate_exemplar import read_known
from visionkit.jobs.evaluate_trained import check_labels, read_samples
from visionkit.jobs.figures import Figures, part_figures
from visionkit.jobs.measure import measure
from visionkit.jobs.pictures import has_boxes
from visionkit.jobs.sources import some_names
from visionkit.jobs.terminal import keep_problems, problems_kept, progress, say_table
from visionkit.types import Sample

_MAIN = {
    "classification": ("accuracy", "mean_ap"),
    "localization": ("ap50",),
    "exemplar": ("ap50", "presence_f1"),
}
"""Head -> the figure that counts; the next where one is not defined."""
_SMALLER_IS_BETTER = ("calibration_error", "nll", "false_alarms")
_OF_TIME = "seconds_per_picture"


@dataclass(frozen=True)
class Losses:
    """Figures of a head by torch and by another engine.

    Attributes:
        task: the head.
        before, after: figure -> value.
    """

    task: str
    before: Figures
    after: Figures

    @property
    def lost(self) -> dict[str, float]:
        """Figure -> what it is worse by; below 0 where it is better."""
        both = [name for name in self.before if name in self.after and name != _OF_TIME]
        return {
            name: (self.before[name] - self.after[name])
            * (-1.0 if name in _SMALLER_IS_BETTER else 1.0)
            for name in both
        }

    @property
    def main(self) -> tuple[str, float]:
        """The figure that counts, and what it lost.

        Raises:
            ValueError: the data say nothing of it.
        """
        lost = self.lost
        for name in _MAIN[self.task]:
            if name in lost:
                return name, lost[name]
        raise ValueError(
            f"the data must tell {' or '.join(_MAIN[self.task])} of {self.task}, got "
            f"{', '.join(lost) or 'nothing'}"
        )

    def say(self, engine: str) -> None:
        """Prints a row a figure."""
        rows = [
            [name, number(self.before[name]), number(self.after[name]), f"{lost:+.4f}"]
            for name, lost in self.lost.items()
        ]
        say_table(f"{self.task}: what {engine} loses", ["figure", "torch", engine, "lost"], rows)


@dataclass(frozen=True)
class Examination:
    """What a head is judged on.

    Attributes:
        task: which head.
        pictures: the data, as they were named.
        figures: what gives a predictor's figures on them.
    """

    task: str
    pictures: str
    figures: Callable[[Predictor], Figures]


def examinations(
    common: EvaluateConfig | None,
    own: Mapping[str, EvaluateConfig],
    predictor: Predictor,
    run_folder: Path,
) -> list[Examination]:
    """The heads of a bundle that labelled pictures are named for, each with its own.

    Args:
        common: how the common set is read; it is for the head that it names, or for the only one,
            or where it names none for every head that its labels and boxes say something of.
        own: head -> how the set is read that is for it alone, and takes the common one's place.
        predictor: of the bundle.
        run_folder: where problems of the data are written.

    Raises:
        FileNotFoundError: there are no such data.
        ValueError: a set is for a head that is not there, or says nothing of its head.
    """
    for task in own:
        if task not in predictor.tasks:
            raise ValueError(
                f"a set must be for a head of the bundle, {' or '.join(predictor.tasks)}, got "
                f"{own[task].data} for {task}; leave it away"
            )
    asked = dict(own)
    if common is not None:
        for task in _told(common, predictor, run_folder):
            asked.setdefault(task, replace(common, task=task))
    return [
        Examination(task, asked[task].data, examination(asked[task], predictor, run_folder)[1])
        for task in predictor.tasks
        if task in asked
    ]


def _told(config: EvaluateConfig, predictor: Predictor, run_folder: Path) -> list[str]:
    """The heads that a common set is for."""
    if config.task is not None or len(predictor.tasks) == 1:
        return [asked_task(config, predictor.tasks)]
    samples, _ = read_samples(config, run_folder)
    labels = {name for sample in samples for name in sample.labels}
    boxes = {entry.label for sample in samples for entry in sample.objects}
    shown = {"exemplar": labels | boxes, "classification": labels, "localization": boxes}
    known: dict[str, Sequence[str]] = {task: part.class_names for task, part in _parts(predictor)}
    known["exemplar"] = predictor.items
    told = [task for task in predictor.tasks if shown[task] & set(known[task])]
    if not told:
        raise ValueError(
            f"the pictures must have labels or boxes of what a head of the bundle knows "
            f"({'; '.join(f'{task}: {some_names(known[task])}' for task in predictor.tasks)}), got "
            f"{some_names(labels | boxes)} [{config.data}]"
        )
    return told


def _parts(predictor: Predictor) -> list[tuple[str, Part]]:
    found = (
        ("classification", predictor.classification),
        ("localization", predictor.localization),
    )
    return [(task, part) for task, part in found if part is not None]


def examination(
    config: EvaluateConfig, predictor: Predictor, run_folder: Path
) -> tuple[str, Callable[[Predictor], Figures]]:
    """The head that is measured, and what gives a predictor's figures; data are read once.

    Args:
        config: which data, and how they are read.
        predictor: of the bundle.
        run_folder: where problems of the data are written.

    Raises:
        FileNotFoundError: there are no such data.
        ValueError: the bundle has several heads and none is named, or nothing of the data can be
            used for the head.
    """
    task = asked_task(config, predictor.tasks)
    if task == "exemplar":
        return task, _of_items(config, predictor, run_folder)
    part = predictor.classification if task == "classification" else predictor.localization
    if part is None:
        raise RuntimeError(f"a bundle that lists {task} among its heads must have it, got none")
    samples, problems = read_samples(config, run_folder)
    keep_problems(problems, run_folder)
    samples = [sample for sample in samples if _is_of(sample, part)]
    what = "labelled boxes" if task == "localization" else "labels of pictures"
    check_labels(samples, part.class_names, config.data, what=what)

    def figures(of: Predictor) -> Figures:
        with progress(f"pictures by {of.engine}", len(samples)) as step:
            own = of.classification if task == "classification" else of.localization
            if own is None:
                raise RuntimeError(f"predictors must have the same heads, but {task} is missing")
            return part_figures(own, of.network, samples, progress=step)

    return task, figures


def _is_of(sample: Sample, part: Part) -> bool:
    """Whether a picture says something of what a trained head is asked for."""
    if not isinstance(part, ClassificationPart):
        return has_boxes(sample)
    return bool(sample.labels) or (part.multi_label and not sample.objects)


def _of_items(
    config: EvaluateConfig, predictor: Predictor, run_folder: Path
) -> Callable[[Predictor], Figures]:
    with problems_kept(run_folder):
        scenes, problems = read_known(config, predictor.items)
    keep_problems(problems, run_folder)
    scenes = scenes.hiding(predictor.finder.gallery.views)

    def figures(of: Predictor) -> Figures:
        with progress(f"scenes by {of.engine}", len(scenes)) as step:
            return measure(of.finder, scenes, seed=config.seed, progress=step).figures

    return figures
