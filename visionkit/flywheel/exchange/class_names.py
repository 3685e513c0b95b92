"""The names that another annotation tool offers to answer with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from visionkit.flywheel.answers import Proposal, Truth
from visionkit.flywheel.catalog import Catalog
from visionkit.types import Sample


@dataclass(frozen=True)
class ClassNames:
    """Names that an answer may give.

    Attributes:
        boxes: to boxes, sorted.
        whole: to pictures as a whole, sorted.
    """

    boxes: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.boxes or self.whole)


STAND_IN = ClassNames(("object",), ("object",))
"""Where nothing has a name yet: a form in which nothing can be chosen takes no answer."""


def class_names(shown: Iterable[Sample | Truth], proposals: Iterable[Proposal]) -> ClassNames:
    """All names that people and models have given, each to what it was given."""
    boxes: set[str] = set()
    whole: set[str] = set()
    for each in shown:
        whole.update(each.labels)
        boxes.update(entry.label for entry in each.objects)
    for proposal in proposals:
        (whole if proposal.box is None else boxes).add(proposal.label)
    return ClassNames(tuple(sorted(boxes)), tuple(sorted(whole)))


def known_names(catalog: Catalog, samples: Sequence[Sample] = ()) -> ClassNames:
    """All names that a catalog knows, and those of samples as they once were."""
    return class_names([*catalog.truths().values(), *samples], catalog.proposals())
