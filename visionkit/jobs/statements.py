"""What labelled sets say of pictures that the catalog has, and what of it counts."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from visionkit.data.formats import FORMATS
from visionkit.flywheel.answers import IMPORT, Correction, Truth
from visionkit.flywheel.catalog import Catalog
from visionkit.types import ObjectBox, Sample

_Said = Truth | Correction


def statements(catalog: Catalog) -> dict[str, tuple[_Said, ...]]:
    """Id of a picture -> what has been said of it before, so that it is nothing new.

    First stands what labelled sets have last said: what the picture came with, and of each import
    after it what that changed. Then come the answers of people that they have answered otherwise
    since: a set that was exported or labelled after those says them again. Pictures without any
    answer are not in it.
    """
    last: dict[str, Truth] = {}
    given: dict[str, list[Correction]] = {}
    for entry in catalog.corrections():
        name = entry.sample_id
        last.setdefault(name, catalog.imported(name))
        standing = given.setdefault(name, [])
        if entry.action == "undo":
            standing.pop()
            continue
        if entry.id.startswith(IMPORT):
            before = next((one for one in reversed(standing) if _tells(one)), last[name])
            if entry.labels != before.labels:
                last[name] = replace(last[name], labels=entry.labels)
            if entry.objects != before.objects:
                last[name] = replace(last[name], objects=entry.objects)
        standing.append(entry)
    return {
        name: (last[name], *[one for one in standing if _is_by_people(one)][:-1])
        for name, standing in given.items()
    }


def correction_of(
    truth: Truth, stated: Sequence[_Said], said: Sample, form: str, *, known: str, author: str
) -> Correction | None:
    """The answer that a labelled set gives about a known picture; None where it says nothing new.

    What people have vouched for stays where the set states nothing of it or what was stated
    before: an import doesn't take back what was answered since. An absent label states nothing,
    nor do absent boxes where the format has none, or where labels and boxes may come apart (CSV,
    Ground Truth, items) and the picture has a label.

    Args:
        truth: what the picture shows so far.
        stated: what has been said of it before.
        said: what the set states of it.
        form: one of `FORMATS`.
        known: id of the picture.
        author: who says so.
    """
    labels, objects = truth.labels, _as_known(said.objects, truth.objects)
    if not truth.reviewed or _states_labels(said, form, stated):
        labels = said.labels
    if truth.reviewed and not _states_boxes(said, form, stated):
        objects = truth.objects
    after = replace(truth, labels=labels, objects=objects)
    if truth.reviewed and says_the_same(after, truth):
        return None
    name = f"{IMPORT}{uuid.uuid4().hex}"
    return Correction(name, known, truth.revision, author, "edit", labels, objects)


def says_the_same(one: Sample | Truth, other: Sample | Truth) -> bool:
    """Whether labels and boxes are the same, in whatever order and whoever said so."""
    labels = sorted(one.labels) == sorted(other.labels)
    return labels and _boxes(one.objects) == _boxes(other.objects)


def _tells(entry: Correction) -> bool:
    return entry.action != "unsure"


def _is_by_people(entry: Correction) -> bool:
    return _tells(entry) and not entry.id.startswith(IMPORT)


def _states_labels(said: Sample, form: str, stated: Sequence[_Said]) -> bool:
    new = sorted(said.labels) not in [sorted(each.labels) for each in stated]
    return FORMATS[form].carries_labels and bool(said.labels) and new


def _states_boxes(said: Sample, form: str, stated: Sequence[_Said]) -> bool:
    chosen = FORMATS[form]
    labelled_alone = chosen.carries_labels and bool(said.labels) and not said.objects
    new = _boxes(said.objects) not in [_boxes(each.objects) for each in stated]
    return chosen.carries_boxes and not labelled_alone and new


def _boxes(objects: Sequence[ObjectBox]) -> list[tuple[str, tuple[float, ...]]]:
    """Label and corners of boxes, whoever said so, in one order."""
    return sorted((entry.label, entry.box) for entry in objects)


def _as_known(said: Sequence[ObjectBox], known: Sequence[ObjectBox]) -> tuple[ObjectBox, ...]:
    """The boxes as a set states them, those that are known with who said so first."""
    there = {(entry.label, entry.box): entry for entry in known}
    return tuple(there.get((entry.label, entry.box), entry) for entry in said)
