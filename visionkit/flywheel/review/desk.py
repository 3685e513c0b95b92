"""What lies before whom: the queue as it is being worked off by several people at once."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from visionkit.flywheel.answers import (
    NOBODY,
    Asked,
    Conflict,
    Correction,
    Proposal,
    Reason,
    Truth,
)
from visionkit.flywheel.catalog import Catalog
from visionkit.flywheel.clock import utc_now
from visionkit.flywheel.exclusive import check_one_class
from visionkit.flywheel.review.agreement import Standing, is_asked_twice
from visionkit.flywheel.review.cards import Card, make_card, shows_only
from visionkit.flywheel.review.filters import Mask, Wanted
from visionkit.flywheel.review.leases import Leases
from visionkit.flywheel.review.rounds import Pool, build_round, pool_of_version
from visionkit.types import Sample

BuildQueue = Callable[[Catalog], Sequence[Asked]]
_AGAIN = Reason("audit", "asked of a second person, to see how far people agree", 1.0)
_CHOSEN = Reason("audit", "opened by you", 1.0)


@dataclass(frozen=True)
class DeskSettings:
    """How the queue is given out.

    Attributes:
        twice_share: 0..1, of the pictures how many two people are asked about.
        lease_seconds: for which a picture is one person's.
        one_class: whether a picture as a whole is of one class at most; None is as the catalog
            tells.
    """

    twice_share: float = 0.05
    lease_seconds: float = 180.0
    one_class: bool | None = None


class Desk:
    """Gives pictures of a catalog to people, and takes their answers.

    Any number of threads may use it. What people answered lies in the catalog only; who has which
    picture is forgotten when the server stops, and told again by the pages that are open.

    Args:
        catalog: with the pictures.
        build: makes the queue.
        settings: None takes the defaults.
        files: that the queue depends on beside the catalog, there or not.
        frozen: tells ids of pictures that models are compared on though they are in no test split:
            as those of it they are shown where they are looked up alone.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        catalog: Catalog,
        build: BuildQueue,
        settings: DeskSettings | None = None,
        *,
        files: Sequence[Path] = (),
        frozen: Callable[[], Set[str]] = frozenset,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.catalog, self._build, self._frozen = catalog, build, frozen
        self._files = tuple(files)
        self._settings = settings or DeskSettings()
        self._leases = Leases(self._settings.lease_seconds, clock=clock)
        self._lock = threading.RLock()
        self._refreshing = threading.Lock()
        self._next_build = 0.0
        self._built_state: tuple[object, ...] = ()
        self.standing = Standing()
        self._log: list[Correction] = []
        self._labels: set[str] = set()
        self._followed = ""
        self._round = build_round(catalog, ())
        self._compared_on: Set[str] = frozenset()
        self._version_pools: dict[str, Pool] = {}
        self._closed: Mask = np.zeros(0, bool)
        self._waiting: set[int] = set()
        self.refresh()

    def refresh(self) -> None:
        """Builds the queue anew from the catalog, with what others wrote into it meanwhile."""
        with self._refreshing:
            start = time.monotonic()
            state = self._state()
            queue = list(self._build(self.catalog))
            tested = {each.id for each in self.catalog.samples() if each.split == "test"}
            self._compared_on = tested | self._frozen()
            standing = Standing(self.catalog.corrections())
            built = build_round(self.catalog, [*self._seconds(queue, standing), *queue])
            self._built_state = state
            self._next_build = time.monotonic() + 20 * (time.monotonic() - start)
            with self._lock:
                self._follow()
                self._round = built
                self._labels |= built.labels
                self._version_pools = {}
                self._closed = np.zeros(len(built.pool.queue), bool)
                self._waiting = set()
                for sample_id in self.standing.answers:
                    self._settle(sample_id)

    def refresh_if_changed(self) -> bool:
        """Builds the queue anew where something was written since; whether it did.

        A long queue is built at most for a twentieth of the time, so that answering stays quick.
        """
        if time.monotonic() < self._next_build:
            return False
        state = self._state()
        if state == self._built_state:
            return False
        self.refresh()
        return True

    def _state(self) -> tuple[object, ...]:
        return self.catalog.extent(), tuple(_stamp(file) for file in self._files)

    def take(
        self,
        reviewer: str,
        session: str,
        *,
        count: int,
        held: Sequence[str] = (),
        passed: Sequence[str] = (),
        wanted: Wanted | None = None,
        alone: bool = False,
    ) -> tuple[list[Card], int]:
        """The next pictures for a person, the most urgent first, and how many are open for them.

        Raises:
            KeyError: there is no such version.

        Args:
            reviewer: who.
            session: of the browser; what it was given no other session gets for a while.
            count: how many are given at most.
            held: ids of pictures that lie before the session already; renewed, not given again.
            passed: ids of pictures that are not given, but free for others.
            wanted: which pictures; any if None.
            alone: whether only pictures are given of which nothing but `wanted.item` is said.
        """
        wanted = wanted or Wanted()
        with self._lock:
            self._follow()
            self._leases.keep_only(session, held)
            pool = self._version_pool(wanted.version) if wanted.version else self._round.pool
            rows = self._open_rows(reviewer, wanted, pool)
            left_out = {*held, *passed}
            cards: list[Card] = []
            for row in rows:
                if len(cards) >= count:
                    break
                asked = pool.queue[row]
                if asked.sample_id in left_out:
                    continue
                if self._leases.holder(asked.sample_id) not in (None, session):
                    continue
                card = self._card(asked, reviewer, wanted.model)
                if card.revision != self.standing.lengths[asked.sample_id]:
                    continue  # somebody's answer is being written
                if alone and not shows_only(card, wanted.item):
                    continue
                self._leases.take(asked.sample_id, session)
                cards.append(card)
            return cards, len(rows)

    def card(self, sample_id: str, reviewer: str, session: str) -> Card:
        """Any picture of the catalog, in the queue or not; it is leased if it is free.

        Raises:
            KeyError: there is no such picture.
        """
        with self._lock:
            row = self._round.rows.get(sample_id)
            asked = (
                self._round.pool.queue[row]
                if row is not None
                else Asked(sample_id, 0.0, (_CHOSEN,))
            )
            card = self._card(asked, reviewer, "")
            self._leases.take(sample_id, session)
            return card

    def subject(self, sample_id: str) -> tuple[Sample, Truth]:
        """A picture of the catalog, and what it shows as far as anybody has said.

        Raises:
            KeyError: there is no such picture.
        """
        return self._sample(sample_id), self.catalog.truth(sample_id)

    def answer(self, correction: Correction, session: str) -> Truth:
        """What the picture shows now that the answer is written; it is on the disk then.

        Raises:
            Conflict: somebody else has answered since; nothing was written.
            KeyError: there is no such picture.
            ValueError: it names several classes where a picture is of one, or the catalog can't
                take it.
        """
        if self._is_of_one_class() and correction.id not in self.standing:
            check_one_class(correction)
        try:
            truth = self.catalog.correct(correction)
        except Conflict:
            self._follow()
            raise
        noted = replace(correction, created=correction.created or utc_now())
        with self._lock:
            if self._note(noted):
                self._settle(correction.sample_id)
            self._leases.give_back(correction.sample_id, session)
        return truth

    def known_proposal(self, proposal_id: str) -> Proposal | None:
        """A proposal of a model; None where there is none of that id."""
        return self._round.by_id.get(proposal_id)

    def proposals_of(self, sample_id: str) -> tuple[Proposal, ...]:
        """All that models said of a picture."""
        known = self._round.proposals.get(sample_id)
        return known if known is not None else tuple(self.catalog.proposals([sample_id]))

    def counts(self) -> tuple[int, int]:
        """How many pictures the queue had when it was built, and how many of them are open."""
        with self._lock:
            return len(self._closed), int((~self._closed).sum())

    def facets(self) -> dict[str, dict[str, int]]:
        """Items, models and reasons of the open pictures, with their numbers."""
        with self._lock:
            return self._round.pool.index.facets(~self._closed)

    def labels(self) -> list[str]:
        """All names of items and classes that models or people have used, sorted."""
        with self._lock:
            return sorted(self._labels)

    def knows(self, label: str) -> bool:
        """Whether models or people have used a name of an item or class."""
        with self._lock:
            return label in self._labels

    @property
    def catalog_id(self) -> str:
        """What tells the catalog from others, also after a restart, but not where it lies."""
        uri = self.catalog.uri
        address = uri if "://" in uri else Path(uri).resolve().as_posix()
        return hashlib.sha256(address.encode()).hexdigest()[:32]

    @property
    def lease_seconds(self) -> float:
        """For how long a picture is one person's."""
        return self._settings.lease_seconds

    @property
    def since(self) -> str:
        """When the last version was made; what was answered before is settled. "" before any."""
        return self._round.pool.since

    def answers(self) -> list[Correction]:
        """The answers of people that stand, by picture in the order in which they were given."""
        with self._lock:
            return [
                answer for people in self.standing.answers.values() for answer in people.values()
            ]

    def log(self) -> list[Correction]:
        """The corrections in their order, as far as they are known here."""
        with self._lock:
            return list(self._log)

    def _version_pool(self, name: str) -> Pool:
        if name not in self._version_pools:
            self._version_pools[name] = pool_of_version(
                self.catalog, name, self._round.proposals, left_out=self._compared_on
            )
        return self._version_pools[name]

    def _seconds(self, queue: Sequence[Asked], standing: Standing) -> Iterator[Asked]:
        """Pictures that a second person is to judge and that the queue has let go."""
        queued = {asked.sample_id for asked in queue}
        for sample_id, people in standing.answers.items():
            if sample_id not in queued and self._needs_second(sample_id, people):
                yield Asked(sample_id, 0.0, (_AGAIN,))

    def _needs_second(self, sample_id: str, people: dict[str, Correction]) -> bool:
        if sample_id in self._compared_on:
            return False  # another label of theirs would stop retrain
        told = [answer for answer in people.values() if answer.action != "unsure"]
        return len(told) == 1 and is_asked_twice(sample_id, self._settings.twice_share)

    def _note(self, correction: Correction) -> bool:
        if not self.standing.add(correction):
            return False
        self._log.append(correction)
        self._labels |= {*correction.labels, *(entry.label for entry in correction.objects)}
        return True

    def _follow(self) -> None:
        """Takes in what other processes wrote."""
        with self._lock:
            fresh = self.catalog.corrections(since=self._followed)
            for correction in fresh:
                if self._note(correction):
                    self._settle(correction.sample_id)
            if fresh:
                self._followed = fresh[-1].id

    def _settle(self, sample_id: str) -> None:
        """Closes a picture to all, or to those who judged it, or opens it again."""
        row = self._round.rows.get(sample_id)
        if row is None:
            return
        people = self.standing.people(sample_id)
        stated = self.standing.stated.get(sample_id, {})
        told = [
            answer
            for answer in (*people.values(), *stated.values())
            if answer.action != "unsure" and answer.created > self._round.pool.since
        ]
        self._closed[row] = bool(told) and not self._needs_second(sample_id, people)
        self._waiting.discard(row)
        if people and not self._closed[row]:
            self._waiting.add(row)

    def _open_rows(self, reviewer: str, wanted: Wanted, pool: Pool) -> list[int]:
        mask = pool.index.mask(wanted)
        if pool is self._round.pool:
            mask &= ~self._closed
            doubtful: Iterable[int] = self._waiting
        else:
            doubtful = np.flatnonzero(mask).tolist()
        for row in doubtful:
            if self._is_done(pool.queue[row].sample_id, reviewer, pool):
                mask[row] = False
        rows: list[int] = np.flatnonzero(mask).tolist()
        return rows

    def _is_done(self, sample_id: str, reviewer: str, pool: Pool) -> bool:
        """Whether a person has said all that they are asked about a picture of a pool."""
        people = self.standing.people(sample_id)
        if reviewer not in people:
            return False
        asked_of_others = pool is self._round.pool and self._needs_second(sample_id, people)
        return asked_of_others or people[reviewer].created > pool.since

    def _card(self, asked: Asked, reviewer: str, model: str) -> Card:
        sample_id = asked.sample_id
        people = self.standing.people(sample_id)
        second = reviewer not in people and self._needs_second(sample_id, people)
        return make_card(
            self._sample(sample_id),
            self.catalog.truth(sample_id),
            self.proposals_of(sample_id),
            asked,
            model=model,
            last=self._round.last.get(sample_id, NOBODY),
            first=self.catalog.imported(sample_id) if second else None,
            one_class=self._is_of_one_class(),
        )

    def _is_of_one_class(self) -> bool:
        """Whether a picture as a whole is of one class at most, as told or as the catalog tells."""
        told = self._settings.one_class
        return self._round.one_class if told is None else told

    def _sample(self, sample_id: str) -> Sample:
        known = self._round.samples.get(sample_id)
        if known is not None:
            return known
        self.catalog.truth(sample_id)  # KeyError for an unknown one
        return self.catalog.samples([sample_id])[0]


def _stamp(file: Path) -> tuple[int, int] | None:
    """What is another one once a file was written, made or deleted."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
