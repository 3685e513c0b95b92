"""What the last answers changed, in words and figures, set against what the model had said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from visionkit.flywheel.answers import Correction, Proposal


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
        kept: how often the model said it and people too.
        added: how often only people said it.
        removed: how often only the model said it.
    """

    item: str
    kept: int
    added: int
    removed: int


def last_changes(
    log: Sequence[Correction], proposal: Callable[[str], Proposal | None], *, count: int
) -> list[Change]:
    """What the last `count` answers changed, the newest first.

    Args:
        log: answers in their order.
        proposal: its id -> a proposal; None for one that is no more.
        count: of answers.
    """
    return [
        Change(correction, _words(correction, proposal))
        for correction in reversed(log[-count:] if count else ())
    ]


def changes_by_item(
    standing: Sequence[Correction], proposal: Callable[[str], Proposal | None]
) -> list[ItemChange]:
    """What standing answers changed, by item, the most changed first."""
    kept: Counter[str] = Counter()
    added: Counter[str] = Counter()
    removed: Counter[str] = Counter()
    for correction in standing:
        if correction.action in ("unsure", "undo"):
            continue
        before, after = _before(correction, proposal), _after(correction)
        kept += before & after
        added += after - before
        removed += before - after
    items = sorted({*kept, *added, *removed}, key=lambda item: (-added[item] - removed[item], item))
    return [ItemChange(item, kept[item], added[item], removed[item]) for item in items]


def _before(correction: Correction, proposal: Callable[[str], Proposal | None]) -> Counter[str]:
    """How often the model said each label, of what was shown."""
    shown = [proposal(entry) for entry in correction.seen]
    return Counter(
        entry.label for entry in shown if entry is not None and entry.score >= entry.threshold
    )


def _after(correction: Correction) -> Counter[str]:
    return Counter([*correction.labels, *(entry.label for entry in correction.objects)])


def _words(correction: Correction, proposal: Callable[[str], Proposal | None]) -> str:
    if correction.action == "undo":
        return "took the last answer back"
    if correction.action == "unsure":
        return "could not tell"
    before, after = _before(correction, proposal), _after(correction)
    parts = [f"{label} {_signed(after[label] - before[label])}" for label in before | after]
    changed = [
        part
        for part, label in zip(parts, before | after, strict=True)
        if after[label] != before[label]
    ]
    if changed:
        return ", ".join(changed)
    moved = correction.action == "edit"
    what = "boxes moved" if moved else "as the model said"
    return f"{what}: {_list(after)}"


def _signed(number: int) -> str:
    return f"+{number}" if number > 0 else f"−{-number}"


def _list(labels: Counter[str]) -> str:
    if not labels:
        return "nothing there"
    return ", ".join(
        f"{count} × {label}" if count > 1 else label for label, count in labels.items()
    )
