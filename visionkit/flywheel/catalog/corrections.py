"""The log of answers, and what pictures show by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from visionkit.data.table import to_table
from visionkit.flywheel.answers import ACTIONS, RESTORE, Conflict, Correction, Truth
from visionkit.flywheel.catalog.samples import SampleTable
from visionkit.flywheel.catalog.schema import CORRECTIONS, objects_of, texts_of
from visionkit.flywheel.catalog.store import Store, without_collecting
from visionkit.flywheel.clock import utc_now
from visionkit.types import ObjectBox, Sample


@dataclass
class _History:
    """What was said of one picture.

    Attributes:
        truths: with the number of the answer from which on each is so; the first came with it.
        standing: of the answers that were not taken back, the last at the end: who gave it, and
            what was so before.
    """

    truths: list[tuple[int, Truth]]
    standing: list[tuple[str, Truth]] = field(default_factory=list)

    @property
    def now(self) -> Truth:
        return self.truths[-1][1]


class CorrectionTable:
    """The answers in their order; they are only ever added to.

    Attributes:
        all: every answer, those taken back and the taking back included.
    """

    def __init__(self, store: Store, samples: SampleTable) -> None:
        self._table = store.table("corrections", CORRECTIONS)
        self._samples = samples
        self._by_id: dict[str, int] = {}
        self._histories: dict[str, _History] = {}
        self.all: list[Correction] = []

    @property
    def last(self) -> int:
        """The number of the last answer; -1 before the first."""
        return self._table.last

    def follow(self) -> None:
        """Takes in what anybody has added, pictures too."""
        rows = self._table.fresh()
        self._samples.follow()  # after it, so that every answer's picture is among them
        self._take(rows)

    def __contains__(self, correction_id: str) -> bool:
        return correction_id in self._by_id

    def place(self, correction_id: str) -> int:
        """Where in `all` an answer stands.

        Raises:
            KeyError: there is no such answer.
        """
        if correction_id not in self._by_id:
            raise KeyError(f"the correction must be in the catalog, got {correction_id!r}")
        return self._by_id[correction_id]

    def truth(self, place: int, *, until: int | None = None) -> Truth:
        """What the picture of a place shows now, or by the answers up to a number."""
        history = self._histories.get(self._samples.all[place].id)
        if history is None:
            return self._samples.imported(place)
        if until is None:
            return history.now
        return next(
            (truth for number, truth in reversed(history.truths) if number <= until),
            self._samples.imported(place),
        )

    def truth_at(self, place: int, revision: int) -> Truth:
        """What the picture of a place showed after so many answers, of which there are as many."""
        return self._history(self._samples.all[place]).truths[revision][1]

    def answered(self, *, since: int) -> list[str]:
        """The pictures that were answered after a number, in the order of their first answers."""
        return list(dict.fromkeys(entry.sample_id for entry in self.all[since + 1 :]))

    def add(self, correction: Correction) -> None:
        """Adds an answer to the log; while `Store.writing` is held and all was followed.

        Raises:
            Conflict: the picture was answered since.
            ValueError: there is nothing to take back, or a value is none.
        """
        sample = self._samples.all[self._samples.place(correction.sample_id)]
        history = self._history(sample)
        if correction.revision != history.now.revision:
            raise Conflict(history.now, self._last_reviewer(sample.id))
        created = utc_now()
        signed = _signed(correction, history.now.objects, created)
        self._append([(signed, _outcome(signed, history))], created)

    def set(self, truths: Sequence[tuple[Sample, Truth]], *, author: str) -> None:
        """Makes pictures show again what they showed, all in one step."""
        entries = [
            (_again(sample, self._history(sample).now, truth, author), truth)
            for sample, truth in truths
        ]
        if entries:
            self._append(entries, utc_now())

    def _append(self, entries: Sequence[tuple[Correction, Truth]], now: str) -> None:
        rows = pa.concat_tables([self._row(entry, truth, now) for entry, truth in entries])
        self._take(self._table.append(rows))

    def _row(self, entry: Correction, after: Truth, now: str) -> pa.Table:
        sample = self._samples.all[self._samples.place(entry.sample_id)]
        shown = entry if entry.action == "unsure" else after
        content = to_table([replace(sample, labels=shown.labels, objects=shown.objects)])
        values = {
            "id": entry.id,
            "sample_id": entry.sample_id,
            "revision": entry.revision,
            "reviewer": entry.reviewer,
            "action": entry.action,
            "labels": content.column("labels").combine_chunks(),
            "objects": content.column("objects").combine_chunks(),
            "reviewed": after.reviewed,
            "seen": list(entry.seen),
            "model": entry.model,
            "milliseconds": entry.milliseconds,
            "created": now,
        }
        columns = [v if isinstance(v, pa.Array) else [v] for v in values.values()]
        return pa.table(dict(zip(values, columns, strict=True)), schema=CORRECTIONS)

    @without_collecting()
    def _take(self, rows: pa.Table) -> None:
        first = len(self.all)
        for number, (entry, reviewed) in enumerate(_entries(rows), start=first):
            sample = self._samples.all[self._samples.place(entry.sample_id)]
            history = self._histories.setdefault(sample.id, self._history(sample))
            before = history.now
            if entry.action == "undo":
                history.standing.pop()
            else:
                history.standing.append((entry.reviewer, before))
            shown = before if entry.action == "unsure" else entry
            after = Truth(shown.labels, shown.objects, before.revision + 1, reviewed)
            history.truths.append((number, after))
            self._by_id[entry.id] = number
            self.all.append(entry)

    def _history(self, sample: Sample) -> _History:
        found = self._histories.get(sample.id)
        if found is not None:
            return found
        return _History([(-1, self._samples.imported(self._samples.place(sample.id)))])

    def _last_reviewer(self, sample_id: str) -> str:
        entries = (entry for entry in reversed(self.all) if entry.sample_id == sample_id)
        return next((entry.reviewer for entry in entries), "somebody")


def check_correction(correction: Correction) -> None:
    """Passes if an answer says who, what and which.

    Raises:
        ValueError: it doesn't.
    """
    if correction.action not in ACTIONS:
        raise ValueError(f"action must be one of {', '.join(ACTIONS)}, got {correction.action!r}")
    for name in ("id", "reviewer"):
        if not getattr(correction, name).strip():
            raise ValueError(f"{name} of a correction must not be empty; say who answers")


def _outcome(correction: Correction, history: _History) -> Truth:
    """What is so after an answer."""
    now = history.now
    if correction.action == "unsure":
        return replace(now, revision=now.revision + 1)
    if correction.action != "undo":
        return Truth(correction.labels, correction.objects, now.revision + 1, reviewed=True)
    if not history.standing:
        raise ValueError("an answer must be there to be taken back, got none of this picture")
    reviewer, before = history.standing[-1]
    if reviewer != correction.reviewer:
        raise ValueError(
            f"only one's own last answer can be taken back, got one of {reviewer}; "
            "say what the picture shows instead"
        )
    return replace(before, revision=now.revision + 1)


def _again(sample: Sample, now: Truth, then: Truth, author: str) -> Correction:
    """The entry of the log by which a picture shows again what it showed."""
    return Correction(
        f"{RESTORE}{sample.id}:{now.revision}",
        sample.id,
        now.revision,
        author,
        "edit",
        then.labels,
        then.objects,
    )


def _signed(correction: Correction, before: tuple[ObjectBox, ...], now: str) -> Correction:
    """The answer, each of its new boxes with who says so and when where that isn't stated."""
    human = f"human:{correction.reviewer}"
    objects = tuple(
        entry
        if entry in before
        else replace(
            entry,
            source=human if entry.source in ("", "human") else entry.source,
            created=entry.created or now,
        )
        for entry in correction.objects
    )
    return replace(correction, objects=objects)


def _entries(rows: pa.Table) -> list[tuple[Correction, bool]]:
    names = ("id", "sample_id", "revision", "reviewer", "action")
    first = [rows.column(name).to_pylist() for name in names]
    labels, seen = texts_of(rows.column("labels")), texts_of(rows.column("seen"))
    rest = [rows.column(name).to_pylist() for name in ("model", "milliseconds", "created")]
    columns = (*first, labels, objects_of(rows.column("objects")), seen, *rest)
    return [
        (Correction(*values), reviewed)
        for *values, reviewed in zip(*columns, rows.column("reviewed").to_pylist(), strict=True)
    ]
