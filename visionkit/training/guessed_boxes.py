"""Boxes that a head is sure of in pictures that nobody has labelled, to be learned from.

What was learned from labelled pictures says what others show, and the head learns from both:
Sohn et al., "A Simple Semi-Supervised Learning Framework for Object Detection", 2020.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

from visionkit.data.problems import Problem
from visionkit.files import write_json
from visionkit.training.boxed import OPEN, FramedPictures
from visionkit.training.localization_module import Localizer
from visionkit.training.locating import located
from visionkit.types import ObjectBox, Sample

SOURCE = "model"
"""Who says so, of a box that nobody has drawn."""


@dataclass(frozen=True)
class GuessedBoxes:
    """The pictures in which a head is sure of a box.

    Attributes:
        samples: with the boxes that it is sure of, and no labels.
        scores: 0..1 of the boxes of each, in their order.
        doubtful: the boxes of each that it finds without being sure.
        problems: pictures that could not be read.
    """

    samples: tuple[Sample, ...] = ()
    scores: tuple[tuple[float, ...], ...] = ()
    doubtful: tuple[tuple[ObjectBox, ...], ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def boxes(self) -> int:
        """How many it is sure of, in all pictures."""
        return sum(len(sample.objects) for sample in self.samples)

    @property
    def lessons(self) -> list[Sample]:
        """The pictures as they are learned: nothing is judged where the head was not sure.

        Else what it overlooks would be learned as background: small things, most of all.
        """
        return [
            replace(
                sample,
                objects=(*sample.objects, *(replace(each, label=OPEN) for each in doubtful)),
            )
            for sample, doubtful in zip(self.samples, self.doubtful, strict=True)
        ]


def guess_boxes(
    model: Localizer,
    pictures: FramedPictures,
    class_names: Sequence[str],
    *,
    sure: float,
    doubt: float,
    batch_size: int,
    progress: Callable[[int], None] | None = None,
) -> GuessedBoxes:
    """What the head is sure of. Pictures in which that is nothing are left out.

    Learned as empty, they would teach it to pass over what it does not know yet.

    Args:
        model: that has learned; in evaluation mode.
        pictures: to look at.
        class_names: of the head, in its order.
        sure: 0..1, the least score of a box.
        doubt: 0..1, the least of one that is doubtful.
        batch_size: pictures at once.
        progress: called with 1 after each picture.
    """
    guesses = []
    problems: list[Problem] = []
    looked = progress or (lambda _: None)

    def report(problem: Problem) -> None:
        problems.append(problem)
        looked(1)

    for each in located(model, pictures, batch_size=batch_size, report=report):
        looked(1)
        boxes = each.picture.placement.back(each.boxes).tolist()
        found = [
            ObjectBox(class_names[label], tuple(box), SOURCE)
            for box, label in zip(boxes, each.labels, strict=True)
        ]
        scores = each.scores.tolist()
        is_sure = [score >= sure for score in scores]
        if not any(is_sure):
            continue
        sample = replace(
            pictures.samples[each.index], labels=(), objects=tuple(compress(found, is_sure))
        )
        doubtful = [doubt <= score < sure for score in scores]
        guesses.append((sample, tuple(compress(scores, is_sure)), tuple(compress(found, doubtful))))
    samples, kept, open_ones = zip(*guesses, strict=True) if guesses else ((), (), ())
    return GuessedBoxes(samples, kept, open_ones, tuple(problems))


def write_guesses(path: Path, guesses: GuessedBoxes) -> None:
    """Keeps them for a run that goes on.

    Raises:
        RuntimeError: the disk is full.
    """
    pictures = [
        {
            "uri": sample.uri,
            "content_hash": sample.content_hash,
            "boxes": [_row(*pair) for pair in zip(sample.objects, scores, strict=True)],
            "doubtful": [_row(entry) for entry in doubtful],
        }
        for sample, scores, doubtful in zip(
            guesses.samples, guesses.scores, guesses.doubtful, strict=True
        )
    ]
    problems = [asdict(problem) for problem in guesses.problems]
    write_json(path, {"pictures": pictures, "problems": problems})


def read_guesses(path: Path, unlabelled: Sequence[Sample]) -> GuessedBoxes:
    """What `write_guesses` kept, of those pictures that are still as they were.

    Args:
        path: of the file.
        unlabelled: the pictures that are there now.
    """
    kept = json.loads(path.read_text("utf-8"))
    there = {(sample.uri, sample.content_hash): sample for sample in unlabelled}
    pictures = [
        (there[row["uri"], row["content_hash"]], row)
        for row in kept["pictures"]
        if (row["uri"], row["content_hash"]) in there
    ]
    return GuessedBoxes(
        tuple(
            replace(sample, labels=(), objects=tuple(map(_box, row["boxes"])))
            for sample, row in pictures
        ),
        tuple(tuple(box["score"] for box in row["boxes"]) for _, row in pictures),
        tuple(tuple(map(_box, row["doubtful"])) for _, row in pictures),
        tuple(Problem(**problem) for problem in kept["problems"]),
    )


def _row(entry: ObjectBox, score: float | None = None) -> dict[str, Any]:
    return {"label": entry.label, "box": list(entry.box), "score": score}


def _box(row: Mapping[str, Any]) -> ObjectBox:
    return ObjectBox(row["label"], tuple(row["box"]), SOURCE)
