"""Finds of items that a person has confirmed, by labels or by looking through drawn pictures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from visionkit.data.images import ImageError, content_hash, read_image
from visionkit.data.problems import Problem
from visionkit.data.table import load_table, to_samples
from visionkit.jobs.measure import OUTCOMES_NAME, TABLE_NAME
from visionkit.types import ObjectBox, Sample

_PREDICTIONS, _DRAWN, _COMPOSED = "predictions.jsonl", "pictures", "test_scenes"
_Parsed = TypeVar("_Parsed")
REVIEWED_SOURCE = "exemplar, looked through by a person"
"""Provenance of boxes that a person has left standing, as of `ObjectBox.source`."""


@dataclass(frozen=True)
class Confirmed:
    """A picture of which a person has confirmed finds.

    Attributes:
        sample: with the boxes of all items that are wanted, those that were missed too: a box
            left out would be learned as background.
        items: whose finds were confirmed on it.
    """

    sample: Sample
    items: frozenset[str]

    def count(self) -> Counter[str]:
        """Item -> its boxes, where its finds were confirmed."""
        return Counter(e.label for e in self.sample.objects if e.label in self.items)


def confirmed_finds(
    runs: Sequence[str], items: Collection[str], *, reviewed: bool
) -> tuple[list[Confirmed], list[Problem]]:
    """Each picture with confirmed finds once, and what was wrong with others.

    A run of `visionkit evaluate` confirms the finds that its labels say are true; their
    pictures are given with the labelled boxes, those that were missed too. A run of
    `visionkit predict` confirms what is drawn on the pictures that a person has not deleted from
    its folder `pictures`. Where a picture is in several runs, labelled boxes come first, and of
    each item those of the first run.

    Args:
        runs: their folders.
        items: whose finds are wanted.
        reviewed: whether a person has looked through the drawn pictures.

    Raises:
        FileNotFoundError: a folder is no finished run of either kind.
        ValueError: a run of predict was not looked through or not drawn, or its files are
            damaged; or a run has composed scenes, which nobody has labelled.
    """
    labelled: list[Confirmed] = []
    seen: list[Confirmed] = []
    for name in runs:
        run = Path(name)
        if (run / OUTCOMES_NAME).is_file():
            labelled += _of_evaluation(run, items)
        elif (run / _PREDICTIONS).is_file():
            seen += _of_predictions(run, items, reviewed)
        else:
            raise FileNotFoundError(
                f"finds must be folders of finished runs of predict or evaluate, got {run}; in "
                f"them lies {_PREDICTIONS} or {OUTCOMES_NAME}"
            )
    found, problems = _each_once(labelled)
    others, more = _each_once(seen)
    found |= {digest: other for digest, other in others.items() if digest not in found}
    return list(found.values()), problems + more


def _of_evaluation(run: Path, items: Collection[str]) -> Iterator[Confirmed]:
    if (run / _COMPOSED).is_dir():
        raise ValueError(
            f"finds must be in pictures of one's own, but {run} was measured on composed scenes; "
            "take a run of visionkit evaluate or predict"
        )
    right = {found for found in _records(run / OUTCOMES_NAME, _right_find) if found}
    for sample in to_samples(load_table(run / TABLE_NAME)):
        found = frozenset(item for item in items if (sample.id, item) in right)
        boxes = tuple(entry for entry in sample.objects if entry.label in items)
        if found:
            yield Confirmed(replace(sample, objects=boxes, labels=(), split=""), found)


def _of_predictions(run: Path, items: Collection[str], reviewed: bool) -> Iterator[Confirmed]:
    if not reviewed:
        raise ValueError(
            f"the finds of {run} must be confirmed by a person: look through {run / _DRAWN}, "
            "delete each picture with a wrong box of the item, and say reviewed=true"
        )
    for drawn, sample in _records(run / _PREDICTIONS, _predicted):
        if drawn is None:
            raise ValueError(
                f"the finds of {run} must be drawn, so that they can be looked through; predict "
                "again with draw=true"
            )
        boxes = tuple(entry for entry in sample.objects if entry.label in items)
        if boxes and (run / drawn).is_file():  # deleted, if something in it was wrong
            found = frozenset(entry.label for entry in boxes)
            yield Confirmed(replace(sample, objects=boxes), found)


def _right_find(record: Mapping[str, Any]) -> tuple[str, str] | None:
    """Picture and item of a find that is right and reaches its threshold; None of others."""
    is_right = record["outcome"] == "true" and record["counted"]
    return (record["image"], record["item"]) if is_right else None


def _predicted(record: Mapping[str, Any]) -> tuple[str | None, Sample]:
    """The path of the drawn picture in the run, and the picture with all items found."""
    finds = (find for find in record["finds"] if find["task"] == "exemplar")
    sample = Sample(
        record["image"],
        Path(record["image"]).absolute().as_posix(),
        int(record["width"]),
        int(record["height"]),
        content_hash="",
        objects=tuple(_box(find) for find in finds),
    )
    return record.get("drawn"), sample


def _box(find: Mapping[str, Any]) -> ObjectBox:
    x_min, y_min, x_max, y_max = (float(edge) for edge in find["box"])
    return ObjectBox(find["item"], (x_min, y_min, x_max, y_max), source=REVIEWED_SOURCE)


def _each_once(pictures: Sequence[Confirmed]) -> tuple[dict[str, Confirmed], list[Problem]]:
    """The pictures that can be read by their hash, copies in one, and what is wrong with others."""
    found: dict[str, Confirmed] = {}
    problems = []
    for picture in pictures:
        sample = picture.sample
        try:
            image = read_image(sample.uri)
        except FileNotFoundError:
            problems.append(Problem(sample.uri, None, "the picture is gone; left out"))
        except ImageError as error:
            problems.append(Problem(sample.uri, None, f"{error.reason}; left out"))
        else:
            height, width = image.shape[:2]
            digest = content_hash(image)
            if (height, width) == (sample.height, sample.width):
                new = replace(picture, sample=replace(sample, content_hash=digest, id=sample.uri))
                found[digest] = _with_items_of(found.get(digest, new), new)
            else:
                reason = (
                    f"the picture must be of {sample.width}x{sample.height} pixels, as it was in "
                    f"the run, got {width}x{height}; left out"
                )
                problems.append(Problem(sample.uri, None, reason))
    return found, problems


def _with_items_of(picture: Confirmed, copy: Confirmed) -> Confirmed:
    """The picture with the boxes of a copy, too, of items that it has none of."""
    boxes = picture.sample.objects
    known = {entry.label for entry in boxes}
    more = (entry for entry in copy.sample.objects if entry.label not in known)
    sample = replace(picture.sample, objects=(*boxes, *more))
    return Confirmed(sample, picture.items | copy.items)


def _records(path: Path, parse: Callable[[Mapping[str, Any]], _Parsed]) -> Iterator[_Parsed]:
    """What `parse` makes of each line."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                parsed = parse(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"finds must be lines as a run writes them, got {error!r} [{path}, line "
                    f"{number}]; run it again"
                ) from error
            yield parsed
