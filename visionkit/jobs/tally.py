"""How often a bundle's items and classes were found in pictures, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import supervision as sv

from visionkit.evaluation.summary import counted
from visionkit.inference.outputs import PredictionFiles, read_predictions
from visionkit.inference.prediction import Prediction
from visionkit.jobs.terminal import say, say_table
from visionkit.scores import score_text

_SHOWN = 60
_MISSING = 8
_WORDS = {
    "exemplar": ("Found in", "item", "Found nowhere"),
    "classification": ("Classes of", "class", "No picture of"),
    "localization": ("Located in", "class", "Located nowhere"),
}


@dataclass
class Tally:
    """How often each name was found by one head.

    Attributes:
        finds, pictures: name -> how many finds, and in how many pictures.
        best: name -> highest score.
        found_in: names of the pictures with a find.
    """

    finds: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    pictures: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    best: dict[str, float] = field(default_factory=dict)
    found_in: set[str] = field(default_factory=set)

    def count(self, picture: str, found: Sequence[tuple[str, float]]) -> None:
        """Takes the names and scores that were found in a picture."""
        for name, score in found:
            self.finds[name] += 1
            self.best[name] = max(self.best.get(name, 0.0), score)
        for name in {name for name, _ in found}:
            self.pictures[name] += 1
        if found:
            self.found_in.add(picture)


def tally_answers(jsonl: Path, tasks: Sequence[str]) -> dict[str, Tally]:
    """Task -> how often each of its names was found, of a `predictions.jsonl`."""
    tallies = {task: Tally() for task in tasks}
    for picture, prediction in read_predictions(jsonl):
        for task, tally in tallies.items():
            tally.count(picture, list(_found(prediction, task)))
    return tallies


def pictures_with_finds(tallies: Mapping[str, Tally]) -> set[str]:
    """Names of the pictures in which any head found something."""
    return {picture for tally in tallies.values() for picture in tally.found_in}


def say_tallies(
    tallies: Mapping[str, Tally], names: Mapping[str, Sequence[str]], files: PredictionFiles
) -> None:
    """Prints a table a head, and what was found nowhere.

    Args:
        tallies: of `tally_answers`.
        names: task -> all names that could be found.
        files: of the run.
    """
    for task, tally in tallies.items():
        title, kind, nowhere = _WORDS[task]
        rows = [_row(name, tally, task) for name in names[task] if tally.finds[name]]
        columns = [kind, "pictures", "finds", "best score"]
        if task == "classification":
            columns.remove("finds")  # as many as pictures
        if rows:
            say_table(f"{title} {counted(files.images, 'picture')}", columns, rows[:_SHOWN])
        missing = [name for name in names[task] if not tally.finds[name]]
        if missing:
            more = f" and {len(missing) - _MISSING} more" if len(missing) > _MISSING else ""
            say(f"{nowhere}: {', '.join(missing[:_MISSING])}{more}")


def _row(name: str, tally: Tally, task: str) -> tuple[str, ...]:
    finds = () if task == "classification" else (str(tally.finds[name]),)
    return (name, str(tally.pictures[name]), *finds, score_text(tally.best[name]))


def _found(prediction: Prediction, task: str) -> Iterator[tuple[str, float]]:
    """Name and score of each find of one head."""
    answer = getattr(prediction, task)
    if isinstance(answer, sv.Detections) and len(answer):
        scores = answer.confidence if answer.confidence is not None else np.zeros(len(answer))
        names = [str(name) for name in answer.data["class_name"]]
        yield from zip(names, scores.tolist(), strict=True)
    elif isinstance(answer, sv.Classifications) and answer.confidence is not None:
        score = dict(zip(prediction.class_names, answer.confidence.tolist(), strict=True))
        yield from ((label, score[label]) for label in prediction.labels)
