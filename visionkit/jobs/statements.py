"""What a labelled set says of a picture that the catalog has, and what of it counts."""

from __future__ import annotations

from visionkit.data.formats import FORMATS
from visionkit.flywheel.answers import Truth
from visionkit.types import ObjectBox, Sample

_WITH_LABELS = ("csv", "folders", "groundtruth", "items")
"""Formats that hold labels of whole pictures; in the others only visionkit's own file has them."""


def said_now(
    truth: Truth, said: Sample, form: str
) -> tuple[tuple[str, ...], tuple[ObjectBox, ...]]:
    """The labels and boxes of a picture after a labelled set has come.

    What people have vouched for stays where the format can't state it, and where the set states
    nothing of it: an absent label says nothing, and where labels and boxes may come apart (CSV,
    Ground Truth, items) absent boxes of a labelled picture don't either.

    Args:
        truth: what the picture shows so far.
        said: what the set states of it.
        form: one of `FORMATS`.
    """
    if not truth.reviewed:
        return said.labels, said.objects
    labels = said.labels if _states_labels(said, form) else truth.labels
    return labels, said.objects if _states_boxes(said, form) else truth.objects


def _states_labels(said: Sample, form: str) -> bool:
    return form in _WITH_LABELS and bool(said.labels)


def _states_boxes(said: Sample, form: str) -> bool:
    labelled_alone = form in _WITH_LABELS and bool(said.labels) and not said.objects
    return FORMATS[form].carries_boxes and not labelled_alone
