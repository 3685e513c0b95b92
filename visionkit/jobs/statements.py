"""What labelled sets say of pictures that the catalog has, and what of it counts."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from visionkit.data.formats import FORMATS
from visionkit.flywheel.answers import Correction, Truth
from visionkit.flywheel.catalog import Catalog
from visionkit.types import ObjectBox, Sample

_IMPORT = "import:"
"""So the ids of answers begin that labelled sets gave."""


def statements(catalog: Catalog) -> dict[str, Truth]:
    """Id of a picture -> what labelled sets have last said of it, without what people answered.

    It is what the picture came with, and of each import after it what that changed; pictures
    without any answer are not in it.
    """
    said: dict[str, Truth] = {}
    shown: dict[str, Truth | Correction] = {}
    for entry in catalog.corrections():
        name = entry.sample_id
        first = said.setdefault(name, catalog.imported(name))
        before = shown.get(name, first)
        if entry.id.startswith(_IMPORT):
            if entry.labels != before.labels:
                said[name] = replace(said[name], labels=entry.labels)
            if entry.objects != before.objects:
                said[name] = replace(said[name], objects=entry.objects)
        if entry.action != "unsure":
            shown[name] = entry
    return said


def correction_of(
    truth: Truth, stated: Truth, said: Sample, form: str, *, known: str, author: str
) -> Correction | None:
    """The answer that a labelled set gives about a known picture; None where it says nothing new.

    What people have vouched for stays where the set states nothing of it or what was stated
    before: an import doesn't take back what was answered since. An absent label states nothing,
    nor do absent boxes where the format has none, or where labels and boxes may come apart (CSV,
    Ground Truth, items) and the picture has a label.

    Args:
        truth: what the picture shows so far.
        stated: what sets have said of it before.
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
    name = f"{_IMPORT}{uuid.uuid4().hex}"
    return Correction(name, known, truth.revision, author, "edit", labels, objects)


def says_the_same(one: Sample | Truth, other: Sample | Truth) -> bool:
    """Whether labels and boxes are the same, in whatever order and whoever said so."""
    labels = sorted(one.labels) == sorted(other.labels)
    return labels and _boxes(one.objects) == _boxes(other.objects)


def _states_labels(said: Sample, form: str, stated: Truth) -> bool:
    new = sorted(said.labels) != sorted(stated.labels)
    return FORMATS[form].carries_labels and bool(said.labels) and new


def _states_boxes(said: Sample, form: str, stated: Truth) -> bool:
    chosen = FORMATS[form]
    labelled_alone = chosen.carries_labels and bool(said.labels) and not said.objects
    new = _boxes(said.objects) != _boxes(stated.objects)
    return chosen.carries_boxes and not labelled_alone and new


def _boxes(objects: Sequence[ObjectBox]) -> list[tuple[str, tuple[float, ...]]]:
    """Label and corners of boxes, whoever said so, in one order."""
    return sorted((entry.label, entry.box) for entry in objects)


def _as_known(said: Sequence[ObjectBox], known: Sequence[ObjectBox]) -> tuple[ObjectBox, ...]:
    """The boxes as a set states them, those that are known with who said so first."""
    there = {(entry.label, entry.box): entry for entry in known}
    return tuple(there.get((entry.label, entry.box), entry) for entry in said)
