"""The boxes of an answer: those that were there already, and new ones within the picture."""

from __future__ import annotations

from collections.abc import Sequence

from visionkit.data.formats.entry import box_problem, clip
from visionkit.data.table import label_problem
from visionkit.flywheel.answers import Proposal, newest
from visionkit.flywheel.exchange.answered import Answered
from visionkit.types import ObjectBox, Sample

_READABLE = "only boxes and tags, and closed outlines as the box around them, can be read"
_SAME = 0.05
"""Pixels by which a corner may have moved through rounding, and nobody has moved it."""


def boxes_of(
    answer: Answered, sample: Sample, proposals: Sequence[Proposal]
) -> tuple[tuple[ObjectBox, ...], list[str]]:
    """The boxes of an answer, and in words what is wrong with what can't be used.

    A box that is as it was known or proposed is that one, with who said so. Others are cut to the
    picture.

    Args:
        answer: about the picture.
        sample: the picture as it is known.
        proposals: all that models ever said of it.
    """
    size = (sample.width, sample.height)
    there = _there(sample, proposals)
    objects: list[ObjectBox] = []
    reasons = [f"{_READABLE}, got {shape}" for shape in answer.unread]
    for label, box in answer.boxes:
        same = _recognised(label, box, there)
        reason = "" if same else label_problem(label) or box_problem(box, size)
        if reason:
            reasons.append(reason)
        else:
            objects.append(same or ObjectBox(label, clip(box, size)))
    return tuple(objects), reasons


def _there(sample: Sample, proposals: Sequence[Proposal]) -> list[ObjectBox]:
    """Boxes that the question may have shown.

    Older proposals, too: they were the newest when the picture was asked about.
    """
    proposed = [
        ObjectBox(entry.label, entry.box, entry.model, entry.created)
        for entry in (*newest(proposals), *proposals)
        if entry.box is not None
    ]
    return [*sample.objects, *proposed]


def _recognised(
    label: str, box: tuple[float, float, float, float], there: Sequence[ObjectBox]
) -> ObjectBox | None:
    same = (
        entry
        for entry in there
        if entry.label == label
        and all(abs(a - b) <= _SAME for a, b in zip(entry.box, box, strict=True))
    )
    return next(same, None)
