"""Answers of other annotation tools, taken into the catalog as corrections."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from visionkit.data.problems import Problem
from visionkit.flywheel import exclusive
from visionkit.flywheel.answers import (
    NOBODY,
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
from visionkit.flywheel.exchange.boxes import boxes_of
from visionkit.flywheel.exchange.question import likely
from visionkit.types import ObjectBox, Sample

READERS: Mapping[str, Callable[[Path, Mapping[str, Sample]], Answers]] = MappingProxyType(
    {"label_studio": label_studio.read, "cvat": cvat.read}
)
_NAMESPACE = uuid.UUID("6f1c1a0e-6d0b-4e0e-9a39-6f8f3ad4f3a1")


@dataclass(frozen=True)
class Taken:
    """What became of a file of answers.

    Attributes:
        corrections: how many were new.
        known: how many had been taken before.
        empty: how many pictures were said to show nothing.
        problems: what was left out, conflicts among it, and what was taken otherwise than drawn.
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
    """Takes the answers of a file; the same file again changes nothing, whoever brings it.

    A box that is as it was known or proposed keeps who said so; others are the reviewer's.
    Pictures that were answered since the question was written are left as they are, but for those
    of which people could not tell since; and so are those that got several classes where a picture
    is of one. New boxes are cut to the picture; those that don't cover a pixel of it are left out.

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
    last = catalog.last_asked()
    proposed = by_picture(catalog.proposals())
    if one_class is None:
        one_class = exclusive.one_class(proposed.values(), catalog.truths().values())
    samples = {sample.id: sample for sample in catalog.samples()}
    found = READERS[tool](Path(path), samples)
    problems = list(found.problems)
    said: defaultdict[str, list[Correction]] = defaultdict(list)
    for entry in catalog.corrections():
        said[entry.sample_id].append(entry)
    corrections = known = empty = outlines = 0
    for answer in found.answered:
        ever, log = proposed.get(answer.sample_id, ()), said[answer.sample_id]
        who = answer.reviewer or reviewer
        taken = _taken_before(answer, tool, who, log)
        if taken is not None:
            known += 1
            empty += taken.action == "reject"
            continue
        objects, refused = boxes_of(answer, samples[answer.sample_id], ever)
        problems += [_left_out(path, answer, reason) for reason in refused]
        try:
            _check_boxes(answer, objects)
            name = _id(answer, tool, who, log)
            shown = newest(ever, last=last.get(answer.sample_id, NOBODY))
            entry = _correction(name, who, answer, objects, shown, log, one_class=one_class)
            if one_class:
                exclusive.check_one_class(entry)
            catalog.correct(entry)
        except (Conflict, ValueError) as error:
            problems.append(_left_out(path, answer, str(error)))
            continue
        log.append(entry)
        corrections += 1
        empty += entry.action == "reject"
        outlines += answer.outlines
    if outlines:
        reason = f"of {outlines} polygons, ellipses or masks the box around each is taken"
        problems.append(Problem(str(path), None, reason, "warning"))
    return Taken(corrections, known, empty, tuple(problems))


def _left_out(path: str | Path, answer: Answered, reason: str) -> Problem:
    return Problem(str(path), answer.line, f"{answer.sample_id}: {reason}; left out")


def _check_boxes(answer: Answered, usable: Sequence[ObjectBox]) -> None:
    """Passes if an answer can be taken with those of its boxes that can be used.

    Raises:
        ValueError: none is left.
    """
    drawn = len(answer.boxes) + len(answer.unread)
    if drawn and not usable and not answer.unsure:
        raise ValueError(
            f"none of the {drawn} boxes can be used, and to have no boxes would mean "
            "to show nothing; draw them again"
        )


def _correction(
    name: str,
    who: str,
    answer: Answered,
    objects: tuple[ObjectBox, ...],
    shown: Sequence[Proposal],
    log: Sequence[Correction],
    *,
    one_class: bool,
) -> Correction:
    return Correction(
        name,
        answer.sample_id,
        _seen_revision(answer, log),
        who,
        _action(answer, objects, likely(shown, one_class=one_class)),
        answer.labels,
        objects,
        seen=tuple(entry.id for entry in shown),
        model=next((entry.model for entry in shown), ""),
    )


def _taken_before(
    answer: Answered, tool: str, who: str, log: Sequence[Correction]
) -> Correction | None:
    """The same answer, if it was taken; by anybody where the file doesn't say whose it is."""
    people = {who} if answer.reviewer else {who, *(entry.reviewer for entry in log)}
    names = {_id(answer, tool, person, log) for person in people}
    return next((entry for entry in log if entry.id in names), None)


def _id(answer: Answered, tool: str, who: str, log: Sequence[Correction]) -> str:
    """The same for the same answer, so that it counts once.

    Whether somebody was unsure did not make a difference once: what was taken so keeps its id.
    """
    content = (tool, answer.sample_id, answer.revision, who, answer.labels, answer.boxes)
    plain = str(uuid.uuid5(_NAMESPACE, repr(content)))
    is_of_unsure = any(entry.id == plain and entry.action == "unsure" for entry in log)
    if is_of_unsure == answer.unsure:
        return plain
    return str(uuid.uuid5(_NAMESPACE, repr((*content, answer.unsure))))


def _seen_revision(answer: Answered, log: Sequence[Correction]) -> int:
    """The revision that an answer is about: where people could not tell since, it is still so."""
    since = log[answer.revision :]
    only_unsure = all(entry.action == "unsure" for entry in since)
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
