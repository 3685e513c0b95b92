"""Whether the classes of pictures shut each other out, as far as a catalog tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from visionkit.flywheel.answers import Correction, Proposal, Truth


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


def likeliest_class(proposals: Iterable[Proposal]) -> Proposal | None:
    """Of what is said of one picture the likeliest class of the whole; None if none is named."""
    whole = (entry for entry in proposals if entry.box is None)
    return max(whole, key=lambda entry: entry.score, default=None)


def check_one_class(answer: Correction) -> None:
    """Passes if an answer gives a picture as a whole one class at most.

    What changes no truth (unsure, undo) passes with any.

    Raises:
        ValueError: it gives several; what was wrong, and after a semicolon what to do.
    """
    if answer.action in ("unsure", "undo") or len(set(answer.labels)) < 2:
        return
    raise ValueError(
        "a picture as a whole must be of one class at most where classes shut each other out, got "
        f"{len(set(answer.labels))}; name the one that it shows, or say one_class=false where "
        "pictures have several"
    )
