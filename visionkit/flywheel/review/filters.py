"""Which pictures of the queue a person wants to see: by item, score, reason and model, at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visionkit.flywheel.answers import Asked, Proposal, Truth

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Wanted:
    """What of the queue is wanted.

    Attributes:
        item: label that is proposed or there; "" for any.
        model: name of the bundle that proposed; "" for any.
        reason: kind of the reason; "" for any.
        version: name of a version: the pictures that it changed, judged or not; "" for the queue.
        least, most: bounds, both included, of a score that is proposed, of `item` if it is given.
    """

    item: str = ""
    model: str = ""
    reason: str = ""
    version: str = ""
    least: float = 0.0
    most: float = 1.0


class FilterIndex:
    """The queue as flat arrays, so that a filter over 100,000 pictures takes milliseconds.

    A row is a picture of the queue; a claim is a proposal for one, or a label that it has.
    """

    def __init__(
        self,
        queue: Sequence[Asked],
        proposals: Mapping[str, Sequence[Proposal]],
        truths: Mapping[str, Truth],
    ) -> None:
        self._items: dict[str, int] = {}
        self._models: dict[str, int] = {}
        self._reasons: dict[str, int] = {}
        claims: list[tuple[int, int, int, float]] = []
        reasons: list[tuple[int, int]] = []
        for row, asked in enumerate(queue):
            for proposal in proposals.get(asked.sample_id, ()):
                item = self._items.setdefault(proposal.label, len(self._items))
                model = self._models.setdefault(proposal.model, len(self._models))
                claims.append((row, item, model, proposal.score))
            for label in _labels(truths.get(asked.sample_id)):
                item = self._items.setdefault(label, len(self._items))
                claims.append((row, item, -1, np.nan))
            for reason in asked.reasons:
                kind = self._reasons.setdefault(reason.kind, len(self._reasons))
                reasons.append((row, kind))
        self._size = len(queue)
        table = np.array(claims, np.float64).reshape(-1, 4)
        self._rows, self._item, self._model = (table[:, k].astype(np.int64) for k in range(3))
        self._score = table[:, 3]
        pairs = np.array(reasons, np.int64).reshape(-1, 2)
        self._reason_rows, self._reason = pairs[:, 0], pairs[:, 1]

    def mask(self, wanted: Wanted) -> Mask:
        """(N,) bool: the rows that are wanted; none for an item or a reason that is not there."""
        mask: Mask = np.ones(self._size, bool)
        if wanted.item or wanted.model or wanted.least > 0 or wanted.most < 1:
            mask &= self._claimed(wanted)
        if wanted.reason:
            kind = self._reasons.get(wanted.reason, -1)
            mask &= self._has(self._reason_rows[self._reason == kind])
        return mask

    def facets(self, rows: Mask) -> dict[str, dict[str, int]]:
        """Items, models and reasons -> name -> in how many of the `rows` ((N,) bool) it is."""
        claimed = rows[self._rows] if len(self._rows) else np.zeros(0, bool)
        reasoned = rows[self._reason_rows] if len(self._reason_rows) else np.zeros(0, bool)
        return {
            "items": _counts(self._items, self._item[claimed], self._rows[claimed]),
            "models": _counts(self._models, self._model[claimed], self._rows[claimed]),
            "reasons": _counts(self._reasons, self._reason[reasoned], self._reason_rows[reasoned]),
        }

    def _claimed(self, wanted: Wanted) -> Mask:
        fits: Mask = np.ones(len(self._rows), bool)
        if wanted.item:
            fits &= self._item == self._items.get(wanted.item, -2)
        if wanted.model:
            fits &= self._model == self._models.get(wanted.model, -2)
        if wanted.least > 0 or wanted.most < 1:
            fits &= (self._score >= wanted.least) & (self._score <= wanted.most)
        return self._has(self._rows[fits])

    def _has(self, rows: NDArray[np.int64]) -> Mask:
        mask: Mask = np.zeros(self._size, bool)
        mask[rows] = True
        return mask


def _labels(truth: Truth | None) -> set[str]:
    return set() if truth is None else {*truth.labels, *(entry.label for entry in truth.objects)}


def _counts(
    names: Mapping[str, int], codes: NDArray[np.int64], rows: NDArray[np.int64]
) -> dict[str, int]:
    """Name -> number of different rows, the most frequent first."""
    known = codes >= 0
    size = int(rows.max()) + 1 if len(rows) else 1
    pairs = np.unique(codes[known] * size + rows[known])
    number = np.bincount(pairs // size, minlength=len(names))
    counted = Counter({name: int(number[code]) for name, code in names.items()})
    return {name: count for name, count in counted.most_common() if count}
