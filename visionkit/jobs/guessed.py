"""What heads learned of pictures that nobody has labelled: in words, and in a file."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from visionkit.data.images import ImageError, read_image
from visionkit.data.problems import write_rows
from visionkit.evaluation.report import TrainingScene
from visionkit.evaluation.summary import counted, number
from visionkit.training.classification import ClassificationFit
from visionkit.training.guessed_boxes import GuessedBoxes
from visionkit.training.localization import LONGER
from visionkit.training.localization_course import LocalizationFit

GUESSED_NAME = "guessed.csv"
"""Pictures that nobody has labelled, and what they were learned as."""
_SHOWN = 12


def guessed_labels_words(fitted: ClassificationFit, unlabelled: int) -> str:
    """What became of the pictures that nobody has labelled."""
    if fitted.guessed:
        return (
            f"{len(fitted.guessed)} of {counted(unlabelled, 'picture')} without a label were "
            f"learned as what they seem to show: {GUESSED_NAME} lists them."
        )
    if fitted.frozen.chosen.guesses:
        return f"Of none of {counted(unlabelled, 'picture')} without a label the head was sure."
    why = "held-back pictures were named no better by what the head was sure of"
    if not fitted.frozen.tried:
        why = "too few pictures have labels to tell whether that is better"
    return f"{counted(unlabelled, 'picture')} without a label were not learned from: {why}."


def write_guessed_labels(
    folder: Path, fitted: ClassificationFit, class_names: Sequence[str]
) -> None:
    """Writes which pictures were learned as what, and how sure that is, the least sure first."""
    guesses = fitted.frozen.guesses
    rows = sorted(
        (likelihood, sample.uri, [class_names[k] for k in torch.nonzero(shown).flatten().tolist()])
        for likelihood, sample, shown in zip(
            guesses.likelihood.tolist(), fitted.guessed, guesses.shares, strict=True
        )
    )
    write_rows(
        folder / GUESSED_NAME,
        ("picture", "labels", "likelihood"),
        [(uri, "; ".join(names), f"{likelihood:.3f}") for likelihood, uri, names in rows],
    )


def before_boxes_words(unlabelled: int, minutes: float | None, *, validated: bool) -> str:
    """What a localization training will do with pictures that nobody has labelled.

    Args:
        unlabelled: how many there are.
        minutes: of the whole training, or None.
        validated: whether validation pictures can judge it.
    """
    if not validated:
        return (
            f"{counted(unlabelled, 'picture')} without boxes are not learned from: there are no "
            "validation pictures with boxes to tell whether that is better (data.val, or "
            "data.splits.val)."
        )
    alone = "" if minutes is None else f" for {_alone(minutes)} minutes at most"
    return (
        f"It learns from what is drawn{alone}, and goes on for half as long with what it is then "
        f"sure of in {counted(unlabelled, 'picture')} without boxes."
    )


def guessed_boxes_words(guesses: GuessedBoxes, unlabelled: int, minutes: float | None) -> str:
    """What a localization head was sure of in pictures that nobody has labelled.

    Args:
        guesses: what it was sure of.
        unlabelled: how many pictures it looked at.
        minutes: of the whole training, or None.
    """
    pictures = f"{counted(unlabelled, 'picture')} without boxes"
    if guesses.samples:
        found = f"{counted(guesses.boxes, 'box', 'boxes')} in {len(guesses.samples)} of {pictures}"
        return f"It was sure of {found}: it goes on with what they show. {GUESSED_NAME} lists them."
    alone = f"In none of {pictures} it was sure of a box"
    if minutes is None:
        return f"{alone}."
    return (
        f"{alone}, so it has learned for {_alone(minutes)} minutes alone; data.unlabelled=null "
        "gives it all of them."
    )


def _alone(minutes: float) -> str:
    """How many of these minutes it learns from what is drawn alone."""
    return f"{round(minutes / (1 + LONGER), 1):g}"


def taken_words(fitted: LocalizationFit) -> str:
    """What came of the boxes that nobody has drawn."""
    figures = f"AP {number(fitted.ap_with)} with them, {number(fitted.ap_without)} without"
    kept = "" if fitted.took_guesses else "; what it learned without them is kept"
    return f"Validation pictures: {figures}{kept}."


def write_guessed_boxes(folder: Path, guesses: GuessedBoxes) -> None:
    """Writes the boxes that nobody has drawn and that a head was sure of, the least sure first.

    Where there are none, a list that lies there is deleted.
    """
    if not guesses.samples:
        (folder / GUESSED_NAME).unlink(missing_ok=True)
        return
    found = sorted(
        (score, sample.uri, entry.label, entry.box)
        for sample, scores in zip(guesses.samples, guesses.scores, strict=True)
        for entry, score in zip(sample.objects, scores, strict=True)
    )
    write_rows(
        folder / GUESSED_NAME,
        ("path", "label", "xmin", "ymin", "xmax", "ymax", "score"),
        [
            (uri, label, *(f"{value:.1f}" for value in box), f"{score:.3f}")
            for score, uri, label, box in found
        ],
    )


def shown_guesses(guesses: GuessedBoxes, *, max_pixels: int) -> list[TrainingScene]:
    """Some pictures with their boxes for the report, those with the least sure box first.

    Pictures that can't be read any more are left out.
    """
    scenes: list[TrainingScene] = []
    pairs = zip(guesses.samples, guesses.scores, strict=True)
    for sample, _ in sorted(pairs, key=lambda pair: min(pair[1])):
        if len(scenes) == _SHOWN:
            break
        with contextlib.suppress(ImageError, FileNotFoundError):
            image = read_image(sample.uri, max_pixels=max_pixels)
            boxes = np.array([entry.box for entry in sample.objects], np.float32)
            labels = [entry.label for entry in sample.objects]
            scenes.append(TrainingScene(image, boxes, labels))
    return scenes
