"""What the last answers changed, in words and figures, set against what stood there before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from visionkit.flywheel.answers import Correction, Proposal, Truth
from visionkit.flywheel.review.cards import claims_of

FindProposal = Callable[[str], Proposal | None]
"""Its id -> a proposal; None for one that is no more."""
TruthAt = Callable[[str, int], Truth]
"""Id of a picture, and a revision -> what it showed then."""


@dataclass(frozen=True)
class Change:
    """What one answer changed.

    Attributes:
        correction: the answer.
        words: what changed, in a sentence.
    """

    correction: Correction
    words: str


@dataclass(frozen=True)
class ItemChange:
    """What answers changed of one item.

    Attributes:
        item: its label.
        kept: how often it was there before, or the model said it, and people say it too.
        added: how often only people say it.
        removed: how often only the model said it, or it was there before.
    """

    item: str
    kept: int
    added: int
    removed: int


def last_changes(
    log: Sequence[Correction], proposal: FindProposal, truth: TruthAt, *, count: int
) -> list[Change]:
    """What the last `count` answers changed, the newest first.

    Args:
        log: answers in their order.
        proposal: finds those that were shown.
        truth: tells what pictures showed before.
        count: of answers.
    """
    return [
        Change(correction, _words(correction, proposal, truth))
        for correction in reversed(log[-count:] if count else ())
    ]


def changes_by_item(
    standing: Sequence[Correction],
    log: Sequence[Correction],
    proposal: FindProposal,
    truth: TruthAt,
) -> list[ItemChange]:
    """What standing answers changed, by item, the most changed first.

    Args:
        standing: answers of people, of each the last about a picture.
        log: in which they are; of each picture its first answer tells what was there before.
        proposal: finds those that were shown.
        truth: tells what pictures showed before.
    """
    first: dict[str, Correction] = {}
    for correction in log:
        if correction.is_judgement and correction.action != "undo":
            first.setdefault(correction.sample_id, correction)
    kept: Counter[str] = Counter()
    added: Counter[str] = Counter()
    removed: Counter[str] = Counter()
    for correction in standing:
        if correction.action in ("unsure", "undo"):
            continue
        before = _before(first[correction.sample_id], proposal, truth)
        after = _after(correction)
        kept += before & after
        added += after - before
        removed += before - after
    items = sorted({*kept, *added, *removed}, key=lambda item: (-added[item] - removed[item], item))
    return [ItemChange(item, kept[item], added[item], removed[item]) for item in items]


def _before(correction: Correction, proposal: FindProposal, truth: TruthAt) -> Counter[str]:
    """How often each label was there when a person answered: known, or said by the model."""
    shown = [found for entry in correction.seen if (found := proposal(entry)) is not None]
    claims = claims_of(truth(correction.sample_id, correction.revision), shown)
    return Counter(claim.label for claim in claims if claim.there)


def _after(correction: Correction) -> Counter[str]:
    return Counter([*correction.labels, *(entry.label for entry in correction.objects)])


def _words(correction: Correction, proposal: FindProposal, truth: TruthAt) -> str:
    if correction.action == "undo":
        return "took the last answer back"
    if correction.action == "unsure":
        return "could not tell"
    before, after = _before(correction, proposal, truth), _after(correction)
    parts = [f"{label} {_signed(after[label] - before[label])}" for label in before | after]
    changed = [
        part
        for part, label in zip(parts, before | after, strict=True)
        if after[label] != before[label]
    ]
    if changed:
        return ", ".join(changed)
    if correction.action == "edit":
        return f"boxes moved: {_list(after)}"
    known = truth(correction.sample_id, correction.revision).reviewed
    return f"{'as it was' if known else 'as the model said'}: {_list(after)}"


def _signed(number: int) -> str:
    return f"+{number}" if number > 0 else f"−{-number}"


def _list(labels: Counter[str]) -> str:
    if not labels:
        return "nothing there"
    return ", ".join(
        f"{count} × {label}" if count > 1 else label for label, count in labels.items()
    )
