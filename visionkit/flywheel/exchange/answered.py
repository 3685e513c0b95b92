"""What comes back from another annotation tool, whatever its form."""

from __future__ import annotations

from dataclasses import dataclass

from visionkit.data.problems import Problem


@dataclass(frozen=True)
class Answered:
    """What somebody said of a picture in another tool.

    Attributes:
        sample_id: of the picture.
        revision: of the truth when the picture was asked about.
        reviewer: who; "" where the file doesn't say.
        labels: of the whole picture.
        boxes: label and xyxy in pixels of the upright picture.
        outlines: of how many boxes another shape was drawn, which they lie around.
        unread: what else was drawn and can't be a box, each in the tool's word.
        unsure: whether they could not tell.
        line: where in the file, from 1; None where that is not known.
    """

    sample_id: str
    revision: int
    reviewer: str
    labels: tuple[str, ...] = ()
    boxes: tuple[tuple[str, tuple[float, float, float, float]], ...] = ()
    outlines: int = 0
    unread: tuple[str, ...] = ()
    unsure: bool = False
    line: int | None = None


@dataclass(frozen=True)
class Answers:
    """What a file of answers holds, and what of it could not be read."""

    answered: tuple[Answered, ...]
    problems: tuple[Problem, ...]
