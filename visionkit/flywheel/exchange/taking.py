"""Answers of other annotation tools, taken into the catalog as corrections."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from visionkit.data.problems import Problem
from visionkit.flywheel import exclusive
from visionkit.flywheel.answers import (
    Action,
    Conflict,
    Correction,
    Proposal,
    by_picture,
    newest,
)
from visionkit.flywheel.catalog import Catalog
from visionkit.flywheel.exchange import cvat, label_studio
from visionkit.flywheel.exchange.answered import Answered, Answers
from visionkit.flywheel.exchange.question import likely
from visionkit.types import ObjectBox, Sample

READERS: Mapping[str, Callable[[Path, Mapping[str, Sample]], Answers]] = MappingProxyType(
    {"label_studio": label_studio.read, "cvat": cvat.read}
)
_SAME = 0.05
"""Pixels by which a corner may have moved through rounding, and nobody has moved it."""
_NAMESPACE = uuid.UUID("6f1c1a0e-6d0b-4e0e-9a39-6f8f3ad4f3a1")


@dataclass(frozen=True)
class Taken:
    """What became of a file of answers.

    Attributes:
        corrections: how many were new.
        known: how many had been taken before.
        empty: how many pictures were said to show nothing.
        problems: what was left out, conflicts among it.
    """

    corrections: int
    known: int
    empty: int
    problems: tuple[Problem, ...]


def take_answers(
    catalog: Catalog,
    path: str | Path,
    tool: str,
    *,
    reviewer: str,
    one_class: bool | None = None,
) -> Taken:
    """Takes the answers of a file; the same file again changes nothing.

    A box that is as it was known or proposed keeps who said so; others are the reviewer's.
    Pictures that were answered otherwise since the question was written are left as they are, but
    for those of which the same person could not tell; and so are those that got several classes
    where a picture is of one.

    Args:
        catalog: that the questions came from.
        path: what the tool exported.
        tool: one of `READERS`.
        reviewer: who answered, where the file does not say.
        one_class: whether a picture as a whole is of one class at most; None is as the catalog
            tells before it takes any.

    Raises:
        ValueError: there is no such tool, or the file is not of its form.
    """
    if tool not in READERS:
        raise ValueError(f"the tool must be one of {', '.join(READERS)}, got {tool!r}")
    proposed = by_picture(catalog.proposals())
    if one_class is None:
        one_class = exclusive.one_class(proposed.values(), catalog.truths().values())
    samples = {sample.id: sample for sample in catalog.samples()}
    found = READERS[tool](Path(path), samples)
    problems = list(found.problems)
    before = {entry.id: entry for entry in catalog.corrections()}
    said: dict[str, list[Correction]] = {}
    for entry in before.values():
        said.setdefault(entry.sample_id, []).append(entry)
    corrections = known = empty = 0
    for answer in found.answered:
        entry = _correction(
            answer,
            samples[answer.sample_id],
            proposed.get(answer.sample_id, ()),
            said.setdefault(answer.sample_id, []),
            tool=tool,
            reviewer=reviewer,
            one_class=one_class,
        )
        is_known = entry.id in before
        try:
            if one_class and not is_known:
                exclusive.check_one_class(entry)
            catalog.correct(entry)
        except (Conflict, ValueError) as error:
            reason = f"{answer.sample_id}: {error}; left out"
            problems.append(Problem(str(path), answer.line, reason))
            continue
        if not is_known:
            before[entry.id] = entry
            said[answer.sample_id].append(entry)
        corrections, known = corrections + (not is_known), known + is_known
        empty += entry.action == "reject"
    return Taken(corrections, known, empty, tuple(problems))


def _correction(
    answer: Answered,
    sample: Sample,
    proposals: Sequence[Proposal],
    said: Sequence[Correction],
    *,
    tool: str,
    reviewer: str,
    one_class: bool,
) -> Correction:
    who = answer.reviewer or reviewer
    shown = newest(proposals)
    there = [
        *sample.objects,
        *(
            ObjectBox(entry.label, entry.box, entry.model, entry.created)
            # Older ones, too: they were the newest when the picture was asked about.
            for entry in (*shown, *proposals)
            if entry.box is not None
        ),
    ]
    objects = tuple(_recognised(label, box, there) for label, box in answer.boxes)
    return Correction(
        _id(answer, tool, who, said),
        answer.sample_id,
        _seen_revision(answer, who, said),
        who,
        _action(answer, objects, likely(shown, one_class=one_class)),
        answer.labels,
        objects,
        seen=tuple(entry.id for entry in shown),
        model=next((entry.model for entry in shown), ""),
    )


def _id(answer: Answered, tool: str, who: str, said: Sequence[Correction]) -> str:
    """The same for the same answer, so that it counts once.

    Whether somebody was unsure did not make a difference once: what was taken so keeps its id.
    """
    content = (tool, answer.sample_id, answer.revision, who, answer.labels, answer.boxes)
    plain = str(uuid.uuid5(_NAMESPACE, repr(content)))
    is_of_unsure = any(entry.id == plain and entry.action == "unsure" for entry in said)
    if is_of_unsure == answer.unsure:
        return plain
    return str(uuid.uuid5(_NAMESPACE, repr((*content, answer.unsure))))


def _seen_revision(answer: Answered, who: str, said: Sequence[Correction]) -> int:
    """The revision that an answer is about: who could not tell before may tell later."""
    since = said[answer.revision :]
    only_unsure = all(entry.action == "unsure" and entry.reviewer == who for entry in since)
    return answer.revision + len(since) if only_unsure else answer.revision


def _action(answer: Answered, objects: Sequence[ObjectBox], proposed: Sequence[Proposal]) -> Action:
    if answer.unsure:
        return "unsure"
    if not objects and not answer.labels:
        return "reject"
    boxes = sorted((entry.label, entry.box) for entry in proposed if entry.box is not None)
    labels = {entry.label for entry in proposed if entry.box is None}
    as_proposed = sorted((e.label, e.box) for e in objects) == boxes and {*answer.labels} == labels
    return "accept" if as_proposed else "edit"


def _recognised(
    label: str, box: tuple[float, float, float, float], there: Sequence[ObjectBox]
) -> ObjectBox:
    """The known box that this is, or a new one."""
    same = (
        entry
        for entry in there
        if entry.label == label
        and all(abs(a - b) <= _SAME for a, b in zip(entry.box, box, strict=True))
    )
    return next(same, ObjectBox(label, box))
