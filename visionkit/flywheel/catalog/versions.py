"""Versions of a catalog: which pictures and answers each one holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from visionkit.flywheel.catalog.schema import VERSIONS, one_row
from visionkit.flywheel.catalog.store import Store
from visionkit.flywheel.clock import utc_now
from visionkit.types import Sample


@dataclass(frozen=True)
class Version:
    """The pictures of which somebody has said what they show, as they were at one time.

    Attributes:
        name: "v1" and so on.
        number: 1 for the first.
        created: ISO 8601 time in UTC.
        author: who made it.
        note: of the author.
        samples: how many pictures it has.
        boxes: how many boxes they have together.
        corrections: how many answers came since the version before.
        restored: the name of the version that it was made equal to; "" for others.
    """

    name: str
    number: int
    created: str
    author: str
    note: str
    samples: int
    boxes: int
    corrections: int
    restored: str = ""


@dataclass(frozen=True)
class Cut:
    """Up to which sample and answer a version goes, by their numbers."""

    last_sample: int
    last_correction: int


@dataclass(frozen=True)
class Change:
    """What became of one picture between two versions.

    Attributes:
        sample_id: of the picture.
        before, after: as the versions have it; None where one doesn't have it.
    """

    sample_id: str
    before: Sample | None
    after: Sample | None


NOTHING = Cut(-1, -1)


class VersionTable:
    """The versions in their order.

    Attributes:
        all: every version.
    """

    def __init__(self, store: Store) -> None:
        self._table = store.table("versions", VERSIONS)
        self._cuts: dict[str, Cut] = {}
        self.all: list[Version] = []

    @property
    def last(self) -> int:
        """The number of the last version; -1 before the first."""
        return self._table.last

    def follow(self) -> None:
        """Takes in what was added by anybody."""
        self._take(self._table.fresh().to_pylist())

    def cut(self, name: str) -> Cut:
        """Where a version ends.

        Raises:
            KeyError: there is no such version.
        """
        if name not in self._cuts:
            names = ", ".join(self._cuts) or "none yet; merge makes the first"
            raise KeyError(f"the version must be one of the catalog's ({names}), got {name!r}")
        return self._cuts[name]

    def last_cut(self) -> Cut:
        """Where the last version ends; `NOTHING` before the first."""
        return self._cuts[self.all[-1].name] if self.all else NOTHING

    def add(
        self, samples: Sequence[Sample], cut: Cut, *, author: str, note: str, restored: str = ""
    ) -> Version:
        """Adds a version; while `Store.writing` is held and all was followed."""
        number = len(self.all) + 1
        values = {
            "name": f"v{number}",
            "ordinal": number,
            "created": utc_now(),
            "author": author,
            "note": note,
            "restored": restored,
            "samples": len(samples),
            "boxes": sum(len(sample.objects) for sample in samples),
            "corrections": cut.last_correction - self.last_cut().last_correction,
            "last_sample": cut.last_sample,
            "last_correction": cut.last_correction,
        }
        self._take(self._table.append(one_row(VERSIONS, values)).to_pylist())
        return self.all[-1]

    def _take(self, rows: list[dict[str, object]]) -> None:
        for row in rows:
            values = {name: row[name] for name in VERSIONS.names}
            cut = Cut(*(int(str(values.pop(name))) for name in ("last_sample", "last_correction")))
            version = Version(number=values.pop("ordinal"), **values)  # type: ignore[arg-type]
            self.all.append(version)
            self._cuts[version.name] = cut


def changes(old: Sequence[Sample], new: Sequence[Sample]) -> list[Change]:
    """The pictures that two versions have otherwise, or only one of them has, by id."""
    before, after = ({sample.id: sample for sample in each} for each in (old, new))
    return [
        Change(name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
