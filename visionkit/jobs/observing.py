"""Looking at pictures to compare them with others: what a bundle sees of them, as a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from visionkit.data.framing import Framing
from visionkit.inference.embedding import embed
from visionkit.inference.prediction import Prediction
from visionkit.inference.predictor import Predictor
from visionkit.monitoring.answers import Measures, measures_of, unknown_measures
from visionkit.monitoring.observed import Embeddings, Observed
from visionkit.monitoring.properties import PROPERTIES, picture_properties
from visionkit.types import Image

_BATCH = 8


@dataclass(frozen=True)
class Seen:
    """A picture to be looked at.

    Attributes:
        name: of the picture.
        image: (H, W, 3) uint8 RGB.
        labels: what a person said the whole picture shows; empty where nobody did.
        unasked: heads that are not asked about it, such as those that learned from it: what they
            say of it is no measure for what they say of others.
    """

    name: str
    image: Image
    labels: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()


@dataclass
class _Table:
    """Rows as they come."""

    names: list[str] = field(default_factory=list)
    embeddings: list[Embeddings] = field(default_factory=list)
    rows: list[Measures] = field(default_factory=list)

    def finish(self, channels: int) -> Observed:
        vectors = np.concatenate(self.embeddings or [np.zeros((0, channels), np.float32)])
        first = self.rows[0] if self.rows else Measures({}, {})
        numbers = {
            name: np.array([row.numbers[name] for row in self.rows]) for name in first.numbers
        }
        kinds = {name: tuple(row.kinds[name] for row in self.rows) for name in first.kinds}
        return Observed(tuple(self.names), vectors, numbers, kinds)


def observe(
    predictor: Predictor,
    pictures: Iterable[Seen],
    tasks: Sequence[str],
    *,
    found: Counter[tuple[str, str]] | None = None,
) -> Observed:
    """What the predictor sees of the pictures.

    Args:
        predictor: of the bundle.
        pictures: held a few at once.
        tasks: heads that are asked; may be none.
        found: (task, item or class) -> boxes; those of all pictures are added.
    """
    table = _Table()
    left = iter(pictures)
    while group := list(islice(left, _BATCH)):
        images = [each.image for each in group]
        table.names += [each.name for each in group]
        table.embeddings.append(embed(predictor, images))
        answers = _answers(predictor, group, tasks)
        for each, answer in zip(group, answers, strict=True):
            table.rows.append(_row(each, answer, tasks))
            if found is not None:
                found.update(_boxes(answer))
    return table.finish(predictor.backbone.pooled_channels)


def _answers(predictor: Predictor, group: Sequence[Seen], tasks: Sequence[str]) -> list[Prediction]:
    """What the heads say that are asked of each picture."""
    asked: dict[tuple[str, ...], list[int]] = {}
    for place, each in enumerate(group):
        own = tuple(task for task in tasks if task not in each.unasked)
        asked.setdefault(own, []).append(place)
    answers = [Prediction()] * len(group)
    for own, places in asked.items():
        if own:
            found = predictor.predict([group[place].image for place in places], own)
            for place, answer in zip(places, found, strict=True):
                answers[place] = answer
    return answers


def _row(each: Seen, answer: Prediction, tasks: Sequence[str]) -> Measures:
    values = picture_properties(each.image)
    numbers = {
        f"picture.{name}": float(value) for name, value in zip(PROPERTIES, values, strict=True)
    }
    unknown = unknown_measures([task for task in tasks if task not in answer.tasks])
    said = measures_of(answer, (each.image.shape[0], each.image.shape[1]))
    numbers |= unknown.numbers | said.numbers
    if "classification" in tasks:
        numbers["truth.right"] = _right(each, answer)
    return Measures(numbers, unknown.kinds | said.kinds)


def _boxes(answer: Prediction) -> Iterator[tuple[str, str]]:
    """(task, item or class) of each box."""
    for task, boxes in (("exemplar", answer.exemplar), ("localization", answer.localization)):
        names = () if boxes is None else boxes.data.get("class_name", ())
        yield from ((task, str(name)) for name in names)


def _right(each: Seen, answer: Prediction) -> float:
    """1 or 0: whether the likeliest class is what a person said; nan where nobody can tell."""
    if answer.classification is None or not each.labels:
        return math.nan
    scores = answer.classification.confidence
    if scores is None:
        return math.nan
    return float(answer.class_names[int(np.argmax(scores))] in each.labels)


def names_of(predictor: Predictor, tasks: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Task -> what its answers are among."""
    names: dict[str, Sequence[str]] = {"exemplar": predictor.items}
    for part in (predictor.classification, predictor.localization):
        if part is not None:
            names[part.task] = part.class_names
    return {task: names[task] for task in tasks}


def embedder_of(predictor: Predictor) -> str:
    """How embeddings are made, in words that are equal for equal ways only."""
    framing: Framing | None = None
    if predictor.classification is not None:
        framing = predictor.classification.framing
    seen = "small" if framing is None else f"{framing.fit} {framing.size}"
    spec = predictor.backbone.spec
    return f"{spec['name']} {predictor.backbone.weights_id} {seen}"
