"""From what a page sends to a correction: values checked, and each box with who said so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from visionkit.data.table import label_problem
from visionkit.flywheel.answers import Correction, Proposal, Truth
from visionkit.flywheel.boxes import Box
from visionkit.flywheel.review.limits import LONGEST_LABEL
from visionkit.flywheel.review.messages import AnswerMessage, BoxMessage
from visionkit.flywheel.review.problems import Refusal
from visionkit.types import ObjectBox, Sample

_SAME_PIXELS = 0.02
"""How far an edge may be off what was sent out and still be the same: a hundredth is rounding."""


def read_answer(
    message: AnswerMessage,
    reviewer: str,
    sample: Sample,
    truth: Truth,
    proposals: Sequence[Proposal],
) -> Correction:
    """The correction that an answer means.

    A box that is as somebody said keeps who that was; any other is the reviewer's own. So nobody
    can sign for a model or for somebody else.

    Raises:
        Refusal: a label or a box is none, or the action does not go with them.
    """
    labels = tuple(dict.fromkeys(message.labels))
    for label in _names(message):
        problem = label_problem(label)
        if problem:
            raise Refusal(422, problem, "write another name")
    if message.action == "reject" and (labels or message.objects):
        raise Refusal(
            422,
            "a picture that shows none of it must come without labels and boxes, got "
            f"{len(labels) + len(message.objects)}",
            "send the action edit to change them",
        )
    known = [*truth.objects, *_boxes(proposals)]
    objects = tuple(_object(entry, reviewer, sample, known) for entry in message.objects)
    return Correction(
        message.id,
        message.sample_id,
        message.revision,
        reviewer,
        message.action,
        labels,
        objects,
        tuple(message.seen),
        message.model,
        message.milliseconds,
    )


def check_new_names(message: AnswerMessage, is_known: Callable[[str], bool]) -> None:
    """Lets all names of an answer pass that are known, and new ones of a fair length.

    Raises:
        Refusal: a name is new and too long.
    """
    for name in _names(message):
        if len(name) > LONGEST_LABEL and not is_known(name):
            raise Refusal(
                422,
                f"a name that is new must have at most {LONGEST_LABEL} characters, "
                f"got {len(name)}: {name[:40]!r} and so on",
                "write a shorter one",
            )


def check_person(name: str) -> str:
    """The name of a reviewer.

    Raises:
        Refusal: it is blank or has control characters.
    """
    if label_problem(name):
        raise Refusal(
            422, "reviewer must be a name without outer blanks, got another", "say who answers"
        )
    return name


def _names(message: AnswerMessage) -> Iterator[str]:
    """The names of all items and classes that an answer gives."""
    yield from message.labels
    yield from (entry.label for entry in message.objects)


def _boxes(proposals: Sequence[Proposal]) -> list[ObjectBox]:
    return [
        ObjectBox(entry.label, entry.box, entry.model, entry.created)
        for entry in proposals
        if entry.box is not None
    ]


def _object(
    message: BoxMessage, reviewer: str, sample: Sample, known: Sequence[ObjectBox]
) -> ObjectBox:
    for entry in known:
        if entry.label == message.label and _is_same(entry.box, message.box):
            return entry
    box = _within(message.box, sample)
    return ObjectBox(message.label, box, f"human:{reviewer}")


def _is_same(box: Box, other: Sequence[float]) -> bool:
    return all(abs(a - b) <= _SAME_PIXELS for a, b in zip(box, other, strict=True))


def _within(box: Sequence[float], sample: Sample) -> Box:
    """The part of a box that lies in the picture."""
    left, top = max(box[0], 0.0), max(box[1], 0.0)
    right, bottom = min(box[2], float(sample.width)), min(box[3], float(sample.height))
    if right - left < 1 or bottom - top < 1:
        raise Refusal(
            422,
            "a box must cover at least a pixel of the picture, as x_min, y_min, x_max, y_max, "
            f"got {[round(value, 2) for value in box]} in {sample.width} x {sample.height}",
            "draw it again",
        )
    return left, top, right, bottom
