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
        unsure: whether they could not tell.
        line: where in the file, from 1; None where that is not known.
    """

    sample_id: str
    revision: int
    reviewer: str
    labels: tuple[str, ...] = ()
    boxes: tuple[tuple[str, tuple[float, float, float, float]], ...] = ()
    unsure: bool = False
    line: int | None = None


@dataclass(frozen=True)
class Answers:
    """What a file of answers holds, and what of it could not be read."""

    answered: tuple[Answered, ...]
    problems: tuple[Problem, ...]
