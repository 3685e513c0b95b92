"""How far the review has come: what is open, who answered, how far people agree, what changed."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from pydantic import BaseModel

from visionkit.flywheel.answers import Correction
from visionkit.flywheel.review.agreement import agreement
from visionkit.flywheel.review.changes import changes_by_item, last_changes
from visionkit.flywheel.review.desk import Desk

_CHANGES, _DIFFERING = 30, 50


class PersonReply(BaseModel):
    """One reviewer: pictures with an answer that stands, and seconds for one in the median."""

    name: str
    pictures: int
    seconds: float | None


class ChangeReply(BaseModel):
    """One answer and what it changed."""

    sample_id: str
    reviewer: str
    action: str
    created: str
    words: str


class ItemReply(BaseModel):
    """What answers changed of one item, set against what was there or the model had said."""

    item: str
    kept: int
    added: int
    removed: int


class AgreementReply(BaseModel):
    """Pictures that two people judged, how many got the same answer, and ids of the others.

    Without those that a third one has judged since.
    """

    pictures: int
    same: int
    share: float | None
    differing: list[str]


class VersionReply(BaseModel):
    """A version of the table."""

    name: str
    created: str
    corrections: int


class OverviewReply(BaseModel):
    """How far the review has come.

    `asked` pictures are in the queue, `left` of them open; `answered` pictures have an answer that
    stands, `untouched` of which took what the model said as it was. `catalog` is an id that stays
    the same for a catalog and that requests may name, so that none reaches another one. What a
    page holds it must name again within `lease_seconds`, or others may be given it.
    """

    reviewer: str
    catalog: str
    lease_seconds: float
    asked: int
    left: int
    answered: int
    untouched: int
    unmerged: int
    items: dict[str, int]
    models: dict[str, int]
    reasons: dict[str, int]
    labels: list[str]
    people: list[PersonReply]
    agreement: AgreementReply
    versions: list[VersionReply]
    changes: list[ChangeReply]
    changed_items: list[ItemReply]


def overview(desk: Desk, reviewer: str) -> OverviewReply:
    """How far the review has come; `reviewer` is who a new page takes its person to be."""
    asked, left = desk.counts()
    answers = desk.answers()
    people: dict[str, list[Correction]] = {}
    for answer in answers:
        people.setdefault(answer.reviewer, []).append(answer)
    since = desk.since  # once: a queue that is built meanwhile has another
    fresh, log = (
        [answer for answer in each if answer.created > since] for each in (answers, desk.log())
    )
    agreed = agreement(answers)
    return OverviewReply(
        reviewer=reviewer,
        catalog=desk.catalog_id,
        lease_seconds=desk.lease_seconds,
        asked=asked,
        left=left,
        answered=len({answer.sample_id for answer in answers}),
        untouched=sum(answer.action == "accept" for answer in answers),
        unmerged=desk.catalog.unmerged(),
        **desk.facets(),
        labels=desk.labels(),
        people=[_person(name, given) for name, given in sorted(people.items())],
        agreement=AgreementReply(
            pictures=agreed.pictures,
            same=agreed.same,
            share=agreed.share,
            differing=list(agreed.differing[-_DIFFERING:]),
        ),
        versions=[
            VersionReply(
                name=version.name, created=version.created, corrections=version.corrections
            )
            for version in desk.catalog.versions()
        ],
        changes=_changes(desk),
        changed_items=[
            ItemReply(item=row.item, kept=row.kept, added=row.added, removed=row.removed)
            for row in changes_by_item(fresh, log, desk.known_proposal, desk.catalog.truth_at)
        ],
    )


def _person(name: str, answers: Sequence[Correction]) -> PersonReply:
    times = [answer.milliseconds / 1000 for answer in answers if answer.milliseconds]
    return PersonReply(name=name, pictures=len(answers), seconds=median(times) if times else None)


def _changes(desk: Desk) -> list[ChangeReply]:
    return [
        ChangeReply(
            sample_id=change.correction.sample_id,
            reviewer=change.correction.reviewer,
            action=change.correction.action,
            created=change.correction.created,
            words=change.words,
        )
        for change in last_changes(
            desk.log(), desk.known_proposal, desk.catalog.truth_at, count=_CHANGES
        )
    ]
