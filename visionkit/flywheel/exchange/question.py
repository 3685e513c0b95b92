"""What another annotation tool is asked about one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from visionkit.flywheel.answers import Proposal
from visionkit.flywheel.exclusive import likeliest_class
from visionkit.types import ObjectBox, Sample


@dataclass(frozen=True)
class Question:
    """A picture with what is known of it and what models propose.

    Attributes:
        sample: with labels and boxes as they are now.
        revision: of its truth.
        proposals: of each task's model that was asked last; none where people have vouched for the
            truth.
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
            for entry in likely(self.proposals, one_class=self.one_class)
            if entry.box is not None
        )

    @property
    def shown_labels(self) -> tuple[str, ...]:
        """Labels of the whole picture to begin with, likewise."""
        if self.sample.labels or self.sample.objects:
            return self.sample.labels
        found = likely(self.proposals, one_class=self.one_class)
        return tuple(dict.fromkeys(entry.label for entry in found if entry.box is None))


def likely(proposals: Sequence[Proposal], *, one_class: bool) -> list[Proposal]:
    """What models take to be in a picture, boxes and classes.

    Args:
        proposals: the newest about one picture.
        one_class: whether of its classes only the likeliest can hold.
    """
    only = likeliest_class(proposals) if one_class else None
    return [
        entry
        for entry in proposals
        if entry.score >= entry.threshold
        and (not one_class or entry.box is not None or entry is only)
    ]
