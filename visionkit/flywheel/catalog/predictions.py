"""What models say of the pictures of a catalog."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from visionkit.flywheel.answers import Proposal
from visionkit.flywheel.catalog.schema import PROPOSALS, boxes_of
from visionkit.flywheel.catalog.store import Store, without_collecting
from visionkit.flywheel.clock import utc_now

_COMMA = ","
_NAMES = [name for name in PROPOSALS.names if name != "batch"]


@dataclass(frozen=True, slots=True)
class _Said:
    """What a model said of a picture, asked for which tasks, when, and in which batch of all."""

    batch: int
    tasks: frozenset[str]
    created: str
    answers: list[Proposal]


class ProposalTable:
    """The newest answers of each model about each picture."""

    def __init__(self, store: Store) -> None:
        self._table = store.table("predictions", PROPOSALS)
        self._answers: dict[str, dict[str, _Said]] = {}

    @property
    def last(self) -> int:
        """The number of the last row of answers; -1 before the first."""
        return self._table.last

    def follow(self) -> None:
        """Takes in what was added by anybody."""
        self._take(self._table.fresh())

    def add(
        self,
        proposals: Sequence[Proposal],
        asked: Collection[tuple[str, str]],
        tasks: Collection[str],
    ) -> None:
        """Adds answers, all or none; while `Store.writing` is held and all was followed.

        Args:
            proposals: of each model about each picture all that it says.
            asked: sample id and model of those that may have no answers.
            tasks: that these were asked for; none where it is not known.
        """
        created = utc_now()
        answered = {(entry.sample_id, entry.model) for entry in proposals}
        named = _COMMA.join(sorted(tasks))
        nothing = [
            Proposal(f"{sample}:{model}", sample, named, "", 0.0, 0.0, None, model, created=created)
            for sample, model in asked
            if named or (sample, model) not in answered
        ]
        rows = [*proposals, *nothing]
        if not rows:
            return
        columns = {name: [getattr(entry, name) for entry in rows] for name in _NAMES}
        columns["created"] = [entry or created for entry in columns["created"]]
        columns["batch"] = [self._table.last + 1] * len(rows)
        self._take(self._table.append(pa.table(columns, schema=PROPOSALS)))

    def select(self, ids: Sequence[str] | None, model: str | None) -> list[Proposal]:
        """The answers about some pictures or all, by one model or all."""
        # Copies: another thread may add to them at this moment.
        pictures = list(self._answers if ids is None else dict.fromkeys(ids))
        return [
            proposal
            for picture in pictures
            for name, said in list(self._answers.get(picture, {}).items())
            if model is None or name == model
            for proposal in said.answers
        ]

    def asked(self) -> dict[str, tuple[str, ...]]:
        """Picture -> the models that were asked about it, the last one at the end."""
        return {
            picture: tuple(name for name, _ in _in_order(answers))
            for picture, answers in list(self._answers.items())
        }

    def last_asked(self) -> dict[str, dict[str, str]]:
        """Picture -> task -> the model that was asked for it last."""
        return {
            picture: {task: name for name, said in _in_order(answers) for task in said.tasks}
            for picture, answers in list(self._answers.items())
        }

    def asked_at(self) -> dict[str, str]:
        """Picture -> when a model was asked about it last, in ISO 8601."""
        return {
            picture: max(list(answers.values()), key=lambda said: said.batch).created
            for picture, answers in list(self._answers.items())
        }

    @without_collecting()
    def _take(self, rows: pa.Table) -> None:
        fresh: dict[tuple[str, str, int], list[Proposal]] = {}
        batches = rows.column("batch").to_pylist()
        for entry, batch in zip(_proposals(rows), batches, strict=True):
            fresh.setdefault((entry.sample_id, entry.model, batch), []).append(entry)
        for (sample, model, batch), answers in fresh.items():
            kept = [answer for answer in answers if answer.label]
            named = [answer.task for answer in answers if answer.task and not answer.label]
            tasks = named[0].split(_COMMA) if named else (answer.task for answer in kept)
            said = _Said(batch, frozenset(tasks), answers[0].created, kept)
            self._answers.setdefault(sample, {})[model] = said


def _in_order(answers: Mapping[str, _Said]) -> list[tuple[str, _Said]]:
    """What each model said of a picture, the one that was asked last at the end."""
    return sorted(answers.items(), key=lambda entry: entry[1].batch)


def _proposals(rows: pa.Table) -> list[Proposal]:
    columns = [
        boxes_of(rows.column(name)) if name == "box" else rows.column(name).to_pylist()
        for name in _NAMES
    ]
    return [Proposal(*values) for values in zip(*columns, strict=True)]
