"""Training several heads on one backbone: what each learns from in, one bundle of them all out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic

import torch

from visionkit.config import AllConfig, TrainConfig
from visionkit.data.framing import Framing
from visionkit.evaluation.summary import counted, number
from visionkit.files import write_json
from visionkit.heads.classification import ClassificationHead
from visionkit.heads.localization import LocalizationHead
from visionkit.inference.device import pick_device
from visionkit.inference.parts import ClassificationPart, LocalizationPart
from visionkit.inference.store import Parts
from visionkit.jobs.labelled import LabelledSet
from visionkit.jobs.measure import METRICS_NAME
from visionkit.jobs.moving import after_moving, others_before
from visionkit.jobs.reference import Kept, keep_training_reference
from visionkit.jobs.sets import check_sets, data_of, names_nothing
from visionkit.jobs.settings import joint_settings
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import progress, say, say_next
from visionkit.jobs.train_classification import (
    classification_framing,
    feature_cache,
    finish_classification,
    frames_of,
    named_part,
    new_classification_head,
)
from visionkit.jobs.train_exemplar import fill_exemplar
from visionkit.jobs.train_localization import (
    DEMO_MINUTES,
    finish_localization,
    localization_framing,
    located_part,
    new_localization_head,
)
from visionkit.jobs.training import (
    BUNDLE_NAME,
    Finished,
    begin,
    config_text,
    read_set,
    save_bundle,
)
from visionkit.models.backbone import Backbone
from visionkit.training.joint import JointFit, Lesson, fit_joint
from visionkit.training.joint_courses import AnyHead


@dataclass(frozen=True)
class _Pupil(Generic[AnyHead]):
    """A head with its set, and where what is measured of it is written."""

    found: LabelledSet
    lesson: Lesson[AnyHead]
    folder: Path


@dataclass(frozen=True)
class _Pupils:
    """The heads that learn together, in their order."""

    classification: _Pupil[ClassificationHead] | None
    localization: _Pupil[LocalizationHead] | None

    def __bool__(self) -> bool:
        return self.classification is not None or self.localization is not None


def train_all(config: TrainConfig, task: AllConfig, run_folder: Path) -> Summary:
    """Trains the heads of `task.heads` together and measures each; see `visionkit.jobs.train`.

    Classification and localization learn together, and the backbone with them where it is free.
    The exemplar head has no gradient into the backbone: it is filled afterwards, on the backbone
    as it is then. What is measured of each head lies in a folder of its name in the run's.
    """
    torch.manual_seed(config.seed)  # heads begin at random
    check_sets(config.data, task.heads)
    text = config_text(run_folder)
    learns = task.freeze != "all" and {*task.heads} != {"exemplar"}
    start = begin(config, learns=learns)
    others = others_before(config, start, task.heads, run_folder)
    backbone = start.backbone
    pupils = _pupils(config, task, start, run_folder)
    classes = boxes = items = None
    if pupils:
        fitted = _fit(config, task, backbone, pupils, run_folder)
        backbone.to(pick_device(config.trainer.accelerator)).freeze().eval()
        classes = _named(config, task, backbone, pupils.classification, fitted, text)
        boxes = _located(config, task, backbone, pupils.localization, fitted, text)
    if "exemplar" in task.heads:
        folder = _folder(run_folder, "exemplar")
        own = replace(config, data=data_of(config.data, "exemplar"))
        items = fill_exemplar(own, task.exemplar, backbone, folder, text=text)
    metadata: dict[str, Any] = {}
    figures: dict[str, float] = {}
    for done in (items, classes, boxes):
        if done is not None:
            metadata |= done.metadata
            figures |= {f"{done.task}/{name}": value for name, value in done.figures.items()}
    write_json(run_folder / METRICS_NAME, {"figures": figures})
    start = after_moving(start, others, config, run_folder)
    save_bundle(
        start,
        run_folder,
        metadata=metadata,
        finder=None if items is None else items.part,
        classification=None if classes is None else classes.part,
        localization=None if boxes is None else boxes.part,
    )
    kept = [done.kept for done in (classes, boxes, items) if done is not None]
    keep_training_reference(
        run_folder / BUNDLE_NAME,
        Kept(
            [sample for one in kept for sample in one.held],
            [sample for one in kept for sample in one.learned],
            moved=learns,
        ),
        device=config.trainer.accelerator,
        max_pixels=int(config.data.max_megapixels * 1e6),
        seed=config.seed,
    )
    _say_end(run_folder, metadata)
    return Summary(run_folder, figures)


def _folder(run_folder: Path, head: str) -> Path:
    folder = run_folder / head
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _pupils(config: TrainConfig, task: AllConfig, start: Parts, run_folder: Path) -> _Pupils:
    """The heads to be trained, with the sets of the config."""
    classes = boxes = None
    backbone = start.backbone
    if "classification" in task.heads:
        folder = _folder(run_folder, "classification")
        data = data_of(config.data, "classification")
        found = read_set(data, "classification", folder, seed=config.seed)
        named = new_classification_head(task.classification, backbone, found)
        framing = classification_framing(task.classification, backbone)
        classes = _Pupil(found, _lesson(found, named, framing), folder)
    if "localization" in task.heads:
        folder = _folder(run_folder, "localization")
        data = data_of(config.data, "localization")
        found = read_set(data, "localization", folder, seed=config.seed)
        located = new_localization_head(
            task.localization, backbone, found.class_names, known=start.localization
        )
        framing = localization_framing(task.localization, found, demo=data.root is None)
        boxes = _Pupil(found, _lesson(found, located, framing), folder)
    return _Pupils(classes, boxes)


def _lesson(found: LabelledSet, head: AnyHead, framing: Framing) -> Lesson[AnyHead]:
    return Lesson(head, found.train, found.val, found.class_names, framing, found.unlabelled)


def _fit(
    config: TrainConfig, task: AllConfig, backbone: Backbone, pupils: _Pupils, run_folder: Path
) -> JointFit:
    settings = joint_settings(config.trainer, task, config.seed, config.debugger)
    if names_nothing(config.data) and settings.minutes is None:
        settings = replace(settings, minutes=DEMO_MINUTES)
        say(f"Demo sets are learned for {DEMO_MINUTES:g} minutes; task.minutes=... sets another.")
    if (run_folder / "checkpoints").is_dir():
        say("Going on after the last whole epoch of the run that was stopped.")
    classes, boxes = pupils.classification, pupils.localization
    frames = 0 if classes is None else frames_of(classes.found, settings.classification)
    with progress("pictures and views", frames) as step:
        fitted = fit_joint(
            backbone,
            None if classes is None else classes.lesson,
            None if boxes is None else boxes.lesson,
            run_folder,
            settings,
            cache=feature_cache(task.classification) if classes is not None else None,
            progress=step,
            max_pixels=int(config.data.max_megapixels * 1e6),
        )
    _say_fitted(fitted)
    return fitted


def _named(
    config: TrainConfig,
    task: AllConfig,
    backbone: Backbone,
    pupil: _Pupil[ClassificationHead] | None,
    fitted: JointFit,
    text: str,
) -> Finished[ClassificationPart] | None:
    if pupil is None or fitted.classification is None:
        return None
    head = pupil.lesson.head.to(next(backbone.parameters()).device)
    return finish_classification(
        named_part(head, pupil.found, pupil.lesson.framing),
        pupil.found,
        fitted.classification,
        backbone,
        pupil.folder,
        config,
        task.classification,
        problems=fitted.problems["classification"],
        curve=[_own(epoch, "classification") for epoch in fitted.curve],
        text=text,
    )


def _located(
    config: TrainConfig,
    task: AllConfig,
    backbone: Backbone,
    pupil: _Pupil[LocalizationHead] | None,
    fitted: JointFit,
    text: str,
) -> Finished[LocalizationPart] | None:
    if pupil is None:
        return None
    head = pupil.lesson.head.to(next(backbone.parameters()).device)
    return finish_localization(
        located_part(head, pupil.found, pupil.lesson.framing, task.localization),
        pupil.found,
        backbone,
        pupil.folder,
        config,
        problems=fitted.problems["localization"],
        curve=[_own(epoch, "localization") for epoch in fitted.curve],
        text=text,
    )


def _own(epoch: Mapping[str, float], head: str) -> dict[str, float]:
    """The figures of an epoch with the loss of this head in place of the sum."""
    return {**epoch, "train/loss_epoch": epoch[f"train/{head}"]}


def _say_fitted(fitted: JointFit) -> None:
    words = f"{counted(fitted.epochs, 'epoch')}, {counted(fitted.steps, 'step')}"
    if fitted.best:
        told = [
            f"{name.removeprefix('val/')} {number(value)} (before: {number(fitted.start[name])})"
            for name, value in fitted.best.items()
        ]
        words += f"; kept is what stood after epoch {fitted.best_epoch}: {', '.join(told)}"
    say(f"{words}.")


def _say_end(run_folder: Path, heads: Mapping[str, Any]) -> None:
    bundle = run_folder / BUNDLE_NAME
    say(f"Bundle: {bundle} ({', '.join(heads)})")
    say(*(f"Measured of {head}: {run_folder / head}" for head in heads))
    say_next(
        ["predict", f"bundle={bundle}", "source=PICTURE_OR_FOLDER"],
        *(["evaluate", f"bundle={bundle}", f"task={head}", "data=FOLDER"] for head in heads),
    )
