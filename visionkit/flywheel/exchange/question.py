"""What another annotation tool is asked about one picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from visionkit.flywheel.answers import Proposal
from visionkit.types import ObjectBox, Sample


@dataclass(frozen=True)
class Question:
    """A picture with what is known of it and what models propose.

    Attributes:
        sample: with labels and boxes as they are now.
        revision: of its truth.
        proposals: of models.
        reason: why it is asked, in words; "" where it isn't said.
        one_class: whether the picture as a whole is of one class.
    """

    sample: Sample
    revision: int
    proposals: tuple[Proposal, ...] = ()
    reason: str = ""
    one_class: bool = False

    @property
    def shown(self) -> tuple[ObjectBox, ...]:
        """Boxes to begin with: the known ones, or else those that models take to be there."""
        return self.sample.objects or tuple(
            ObjectBox(entry.label, entry.box, entry.model, entry.created)
            for entry in self.proposals
            if entry.box is not None and entry.score >= entry.threshold
        )

    @property
    def shown_labels(self) -> tuple[str, ...]:
        """Labels of the whole picture to begin with, likewise."""
        if self.sample.labels or self.sample.objects:
            return self.sample.labels
        likely = (
            entry.label
            for entry in self.proposals
            if entry.box is None and entry.score >= entry.threshold
        )
        return tuple(dict.fromkeys(likely))


def box_labels(questions: Iterable[Question]) -> list[str]:
    """All labels of boxes, known or proposed, sorted."""
    return sorted(
        {entry.label for question in questions for entry in question.sample.objects}
        | {entry.label for question in questions for entry in question.proposals if entry.box}
    )


def whole_labels(questions: Sequence[Question]) -> list[str]:
    """All labels of whole pictures, known or proposed, sorted."""
    return sorted(
        {label for question in questions for label in question.sample.labels}
        | {entry.label for question in questions for entry in question.proposals if not entry.box}
    )
