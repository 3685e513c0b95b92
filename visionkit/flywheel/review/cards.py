"""A picture as a reviewer is shown it: what is said of it, by whom, and why it is asked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from visionkit.flywheel.answers import NOBODY, Asked, Proposal, Truth, newest
from visionkit.flywheel.boxes import overlap
from visionkit.flywheel.exclusive import likeliest_class
from visionkit.types import Sample

_COVERED_IOU = 0.5
"""From which overlap on a proposal is taken to mean a box of its label that is there already."""


@dataclass(frozen=True)
class Claim:
    """One thing that is said to be in a picture.

    Attributes:
        label: name of the item or class.
        box: xyxy in pixels of the upright picture; None for the whole.
        there: whether it holds as it stands, so that accepting confirms it; what a model says
            below its threshold is only offered.
        source: who says so: "human...", or the name of the bundle.
        created: ISO 8601 time, or "".
        proposal: which one it is; None for what was there already.
    """

    label: str
    box: tuple[float, float, float, float] | None
    there: bool
    source: str
    created: str = ""
    proposal: Proposal | None = None


@dataclass(frozen=True)
class Card:
    """One picture as it is put before a person.

    Attributes:
        sample: of the catalog.
        revision: of the truth that the claims show.
        reviewed: whether a person has said that the truth is right.
        asked: why it is asked.
        claims: what is said to be in it, what is there first.
        model: name of the bundle that proposed last; "" where none did.
        second: whether somebody else has judged it, whose answer is not shown.
        one_class: whether of the claims without a box one at most can hold.
    """

    sample: Sample
    revision: int
    reviewed: bool
    asked: Asked
    claims: tuple[Claim, ...]
    model: str
    second: bool
    one_class: bool = False


def make_card(
    sample: Sample,
    truth: Truth,
    proposals: Iterable[Proposal],
    asked: Asked,
    *,
    model: str = "",
    last: Mapping[str, str] = NOBODY,
    first: Truth | None = None,
    one_class: bool = False,
) -> Card:
    """The card of a picture.

    Args:
        sample: of the catalog.
        truth: what it shows as far as anybody has said.
        proposals: all that models said of it.
        asked: why it is asked.
        model: whose proposals are shown; "" shows the newest of each task.
        last: task -> the model that was asked for it last; as of `newest`.
        first: what it showed before somebody judged it, where a second person is to judge it
            without seeing their answer; None where the truth is shown.
        one_class: whether a picture as a whole is of one class at most: others than the one that
            it has, or else than the likeliest, are only offered.
    """
    shown = newest(proposals, model=model, last=last)
    told = truth if first is None else first
    said_by = max(shown, key=lambda entry: entry.created, default=None)
    return Card(
        sample,
        truth.revision,
        told.reviewed,
        asked,
        tuple(claims_of(told, shown, one_class=one_class)),
        said_by.model if said_by is not None else "",
        first is not None,
        one_class,
    )


def claims_of(truth: Truth, shown: Sequence[Proposal], *, one_class: bool = False) -> list[Claim]:
    """What is said to be in a picture, what is there first.

    Args:
        truth: what it shows as far as anybody has said.
        shown: what models say of it.
        one_class: as of `make_card`.
    """
    claims = _known(truth)
    only = likeliest_class(shown) if one_class and not truth.labels else None
    offered = [
        Claim(
            proposal.label,
            proposal.box,
            not truth.reviewed
            and proposal.score >= proposal.threshold
            and (not one_class or proposal.box is not None or proposal is only),
            proposal.model,
            proposal.created,
            proposal,
        )
        for proposal in shown
        if not any(_covers(claim, proposal) for claim in claims)
    ]
    for claim in sorted(offered, key=lambda claim: (not claim.there, -_score(claim))):
        if not any(_by_another_head(known, claim) for known in claims):
            claims.append(claim)
    return claims


def shows_only(card: Card, item: str) -> bool:
    """Whether all that is said to be there is `item`, at least once, and a model said it."""
    there = [claim for claim in card.claims if claim.there]
    return bool(there) and all(
        claim.label == item and claim.proposal is not None for claim in there
    )


def _known(truth: Truth) -> list[Claim]:
    boxes = [
        Claim(entry.label, entry.box, True, entry.source, entry.created) for entry in truth.objects
    ]
    return [*boxes, *(Claim(label, None, True, "human") for label in truth.labels)]


def _covers(claim: Claim, proposal: Proposal) -> bool:
    if claim.label != proposal.label or (claim.box is None) != (proposal.box is None):
        return False
    if claim.box is None or proposal.box is None:
        return True
    return overlap(claim.box, proposal.box) >= _COVERED_IOU


def _by_another_head(known: Claim, claim: Claim) -> bool:
    """Whether a claim is one that another head has made already: one can, found by two."""
    first, second = known.proposal, claim.proposal
    if first is None or second is None or first.task == second.task:
        return False
    return _covers(known, second)


def _score(claim: Claim) -> float:
    return claim.proposal.score if claim.proposal is not None else math.inf
