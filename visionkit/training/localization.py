"""Training the localization head: Lightning runs it, a killed run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from visionkit.data.framing import Framing
from visionkit.data.images import MAX_PIXELS
from visionkit.heads.localization import LocalizationHead
from visionkit.models.backbone import Backbone
from visionkit.models.weights import read_weights
from visionkit.training.guessed_boxes import GuessedBoxes
from visionkit.training.localization_course import Bar, LocalizationCourse, LocalizationFit
from visionkit.training.localization_module import Localizer, head_classes
from visionkit.training.localization_settings import LocalizationSettings
from visionkit.training.stepping import freeze
from visionkit.types import Sample

GUESSED = "guessed"
"""Folder in that of a run, of the training with boxes that nobody has drawn."""
LONGER = 0.5
"""How long a training goes on with such boxes, as a share of what came before."""


def fit_localization(
    backbone: Backbone,
    head: LocalizationHead,
    train: Sequence[Sample],
    val: Sequence[Sample],
    class_names: Sequence[str],
    framing: Framing,
    folder: Path,
    settings: LocalizationSettings | None = None,
    *,
    unlabelled: Sequence[Sample] = (),
    bar: Bar | None = None,
    guessed: Callable[[GuessedBoxes], None] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> LocalizationFit:
    """Trains the head, and what of the backbone is free, in place; leaves both in evaluation mode.

    What is kept is an average of past weights: of the validation that found the most, or the last
    one where there are no validation pictures. A head that begins with boxes learned without
    classes (`LocalizationHead.load_class_agnostic`) learns faster.

    With unlabelled pictures it goes on for half as many steps, on the labelled ones and on what it
    is sure of in the others by then. Of what it is sure of it learns what is there, not where: so
    Liu et al., "Unbiased Teacher for Semi-Supervised Object Detection", ICLR 2021, have it. What it
    had learned before is kept where that finds more in the validation pictures. Where none of these
    shows a class it does not go on. With 10 to 29 labelled pictures of three sets COCO's AP of
    pictures held back rose so by -0.001 to 0.015 (`benchmarks/guessed_boxes.py`).

    Args:
        backbone: with maps of the strides that the head was made for. What is frozen stays so.
        head: for as many classes as there are names.
        train: pictures with boxes to learn from; those without boxes are backgrounds.
        val: pictures to choose the weights on; may be empty.
        class_names: boxes of other labels are left out.
        framing: letterboxed; the size that the network sees.
        folder: of the run: checkpoints and logs. What lies there from a killed run is used:
            training goes on after its last whole epoch.
        settings: None takes the defaults.
        unlabelled: further pictures, whatever they show.
        bar: shows how many of them were looked at.
        guessed: is told what the head is sure of, before it learns from that.
        max_pixels: larger pictures are not read.

    Raises:
        ValueError: there are no pictures to train on, the head has another number of classes, or
            none of the pictures can be read.
        RuntimeError: the loss is not finite.
    """
    settings = settings or LocalizationSettings()
    check_pictures(head, train, class_names)
    freeze(backbone, settings.freeze)
    model = Localizer(backbone, head).to(memory_format=torch.channels_last)
    course = LocalizationCourse(model, train, val, class_names, framing, max_pixels)
    if not unlabelled or not can_judge(val, class_names) or settings.max_epochs == 0:
        return course.run(folder, settings)[0]
    if settings.minutes is not None:
        settings = replace(settings, minutes=settings.minutes / (1 + LONGER))
    first, device = course.run(folder, settings)
    guesses = course.guess(unlabelled, folder / GUESSED, settings, device, bar)
    if guessed is not None:
        guessed(guesses)
    first = replace(first, guesses=guesses, problems=(*first.problems, *guesses.problems))
    if not guesses.samples:
        return first
    learned = {name: value.clone() for name, value in model.state_dict().items()}
    further = replace(course, further=guesses.lessons)
    second, _ = further.run(folder / GUESSED, further.longer(settings, LONGER, first.steps))
    took = second.best_ap >= first.best_ap and second.best_ap > 0
    if not took:
        model.load_state_dict(learned)
    return _both(first, second, took_guesses=took)


def start_boxes(head: LocalizationHead, file: Path) -> None:
    """Gives a head the pyramid and box branch that were learned without classes.

    Args:
        head: of the same sizes, on a backbone with the same weights.
        file: safetensors, from `visionkit.training.pretrain.boxes`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or of other sizes.
    """
    head.load_class_agnostic(read_weights(file))


def check_pictures(
    head: LocalizationHead, train: Sequence[Sample], class_names: Sequence[str]
) -> None:
    """Passes if there is something to learn for this head.

    Raises:
        ValueError: there are no pictures, or the head has another number of classes.
    """
    if not train:
        raise ValueError("training must have at least one picture, got none")
    classes = head_classes(head)
    if classes != len(class_names):
        raise ValueError(
            f"the head must be for as many classes as there are names, {len(class_names)}, "
            f"got {classes}; make it with class_count={len(class_names)}"
        )


def can_judge(val: Sequence[Sample], class_names: Sequence[str]) -> bool:
    """Whether validation pictures tell of two heads which one finds more."""
    return any(entry.label in class_names for sample in val for entry in sample.objects)


def _both(
    first: LocalizationFit, second: LocalizationFit, *, took_guesses: bool
) -> LocalizationFit:
    """A training and how it went on as one."""
    unreadable = (problem for problem in second.problems if problem.level == "error")
    fitted = replace(
        first,
        epochs=first.epochs + second.epochs,
        steps=first.steps + second.steps,
        seconds=first.seconds + second.seconds,
        problems=tuple(dict.fromkeys((*first.problems, *unreadable))),
        ap_without=first.best_ap,
        ap_with=second.best_ap,
        took_guesses=took_guesses,
    )
    if not took_guesses:
        return fitted
    return replace(
        fitted,
        best_ap=second.best_ap,
        best_ap50=second.best_ap50,
        best_epoch=first.epochs + second.best_epoch,
        curve=first.curve + second.curve,
    )
