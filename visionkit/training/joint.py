"""Training several heads and their one backbone together; a killed run goes on where it stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.utilities.combined_loader import CombinedLoader

from visionkit.data.images import MAX_PIXELS
from visionkit.data.problems import Problem
from visionkit.heads.classification import ClassificationHead
from visionkit.heads.localization import LocalizationHead
from visionkit.models.backbone import Backbone
from visionkit.training.best_average import BestAverage
from visionkit.training.classification import ClassificationFit
from visionkit.training.feature_cache import FeatureCache
from visionkit.training.joint_courses import Lesson, LocatingCourse, NamingCourse
from visionkit.training.joint_module import JointNetwork, JointTraining
from visionkit.training.joint_settings import JointSettings
from visionkit.training.lightning_parts import Clock, calm, last_of, new_trainer, whole_epochs
from visionkit.training.stepping import freeze

__all__ = ["JointFit", "Lesson", "fit_joint"]


@dataclass(frozen=True)
class JointFit:
    """What training came to.

    Attributes:
        start: figures of the validation pictures before the first step, by name: "val/accuracy"
            (or "val/likelihood", the geometric mean probability of the truth, where pictures may
            have several labels), "val/ap" and "val/ap50"; empty without such pictures.
        best: the same of the weights that were kept.
        best_epoch: after which those stood, from 1; 0 is before the first step.
        epochs: trained, those of a resumed run included; the last one may not be whole.
        steps: of the optimizer, likewise.
        seconds: of each epoch of this process.
        curve: a dict an epoch with "train/loss_epoch", the loss of each head as "train/<task>",
            how much it counted as "train/weight_<task>", and after a validation its figures.
        classification: how the classification head began, on the backbone as it was; or None.
        given: class name -> boxes that were to be shown.
        lost: class name -> those of them of which augmentation left too little to be shown.
        problems: head -> pictures and labels that were left out, and classes that lost many boxes.
    """

    start: Mapping[str, float]
    best: Mapping[str, float]
    best_epoch: int
    epochs: int
    steps: int
    seconds: tuple[float, ...]
    curve: tuple[dict[str, float], ...]
    classification: ClassificationFit | None
    given: Mapping[str, int]
    lost: Mapping[str, int]
    problems: Mapping[str, tuple[Problem, ...]]


def fit_joint(
    backbone: Backbone,
    classification: Lesson[ClassificationHead] | None,
    localization: Lesson[LocalizationHead] | None,
    folder: Path,
    settings: JointSettings | None = None,
    *,
    cache: FeatureCache | None = None,
    progress: Callable[[int], None] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> JointFit:
    """Trains the heads, and what of the backbone is free, in place; leaves all for evaluation.

    The classification head begins as it fits the features of the backbone as it is. Then each step
    takes a batch of each head's own pictures and lowers the balanced sum of the losses
    (`LossBalance`). What is kept is an average of past weights: the best one by the mean of the
    heads' figures (`BestAverage`), or the last one without validation pictures. A head that is
    alone learns what its own training would teach it.

    Args:
        backbone: with the pooled features and maps that the heads were made for.
        classification: or None. With fewer than 20 validation pictures a fifth of those to learn
            from is held back, as in `fit_classification`.
        localization: or None.
        folder: of the run: checkpoints and logs. What lies there from a killed run is used:
            training goes on after its last whole epoch.
        settings: None takes the defaults.
        cache: of the features that the classification head begins on; None computes them anew.
        progress: called with the number of frames and views that the backbone saw for these.
        max_pixels: larger pictures are not read.

    Raises:
        ValueError: there is no head, a head has no pictures or another number of classes than
            there are names, or none of the pictures can be read.
        RuntimeError: the loss is not finite, or the disk is full.
    """
    settings = settings or JointSettings()
    if classification is None and localization is None:
        raise ValueError("there must be a classification or localization head to train, got none")
    freeze(backbone, settings.freeze)
    with calm():
        L.seed_everything(settings.seed, verbose=False)
        boxes = names = None
        if localization is not None:
            boxes = LocatingCourse(localization, settings, max_pixels=max_pixels)
        if classification is not None:
            names = NamingCourse(
                backbone,
                classification,
                folder,
                settings,
                cache=cache,
                progress=progress,
                max_pixels=max_pixels,
            )
        learned = _train(backbone, _Courses(names, boxes), folder, settings)
    given: dict[str, int] = {}
    lost: dict[str, int] = {}
    problems = {task: [*found.values()] for task, found in learned.module.problems.items()}
    if names is not None:
        names.finish(learned.module.model)
        problems["classification"] += names.began.problems
    if boxes is not None:
        given, lost = boxes.counts(learned.module.shown)
        problems["localization"] += boxes.problems(learned.module.shown)
    return JointFit(
        start=learned.best.start,
        best=learned.best.figures,
        best_epoch=learned.best.epoch,
        epochs=learned.trainer.current_epoch,
        steps=learned.trainer.global_step,
        seconds=tuple(learned.clock.seconds),
        curve=tuple(learned.clock.curve),
        classification=names.began if names is not None else None,
        given=given,
        lost=lost,
        problems={task: tuple(found) for task, found in problems.items()},
    )


@dataclass(frozen=True)
class _Courses:
    """The parts of the heads that there are."""

    names: NamingCourse | None
    boxes: LocatingCourse | None

    @property
    def by_task(self) -> dict[str, NamingCourse | LocatingCourse]:
        given = {"classification": self.names, "localization": self.boxes}
        return {task: course for task, course in given.items() if course is not None}


@dataclass(frozen=True)
class _Learned:
    """What is left of a training."""

    module: JointTraining
    trainer: L.Trainer
    best: BestAverage
    clock: Clock


def _train(
    backbone: Backbone, courses: _Courses, folder: Path, settings: JointSettings
) -> _Learned:
    """Trains, and leaves the best weights in the network."""
    heads = {task: course.head for task, course in courses.by_task.items()}
    model = JointNetwork(backbone, heads).to(memory_format=torch.channels_last)
    turns = courses.boxes.turns if courses.boxes is not None else None
    module = JointTraining(model, settings, turns)
    judges = [judge for course in courses.by_task.values() for judge in course.judges]
    best, clock = BestAverage(judges, settings.validations, from_start=True), Clock()
    loaders, steps = _side_by_side(courses.by_task)
    callbacks = [best, clock, whole_epochs(folder)]
    trainer = new_trainer(folder, settings, callbacks, log_every=min(10, steps))
    if settings.max_epochs != 0:
        trainer.fit(module, loaders, ckpt_path=last_of(folder))
    best.restore(model)
    model.eval()
    return _Learned(module, trainer, best, clock)


def _side_by_side(
    courses: Mapping[str, NamingCourse | LocatingCourse],
) -> tuple[CombinedLoader, int]:
    """Task -> batch, and how many: as many as the most a head has; the others begin anew."""
    once = {task: course.batches(1) for task, course in courses.items()}
    steps = max(len(loader) for loader in once.values())
    passes = {task: math.ceil(steps / len(loader)) for task, loader in once.items()}
    loaders = {
        task: once[task] if passes[task] == 1 else course.batches(passes[task])
        for task, course in courses.items()
    }
    return CombinedLoader(loaders, "max_size_cycle"), steps
