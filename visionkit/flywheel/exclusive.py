"""Whether the classes of pictures shut each other out, as far as a catalog tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from visionkit.flywheel.answers import Proposal, Truth


def one_class(proposals: Iterable[Sequence[Proposal]], truths: Iterable[Truth]) -> bool:
    """Whether each picture as a whole is of one class.

    So it is where pictures have classes and nothing speaks against it: no picture has two, and
    every classification head names exactly one in each that it was asked about, as those do that
    learned from pictures of one class. What people add to pictures without classes says nothing.

    Args:
        proposals: all that models say of a picture, for each.
        truths: what each picture shows.
    """
    found = False
    for truth in truths:
        if len(truth.labels) > 1:
            return False
        found |= bool(truth.labels) and not truth.revision
    for said in proposals:
        named: Counter[str] = Counter()
        for entry in said:
            if entry.task == "classification":
                named[entry.model] += entry.score >= entry.threshold
        if any(count != 1 for count in named.values()):
            return False
        found |= bool(named)
    return found
