"""What the page and the server say to each other, with the limits of every value."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from visionkit.flywheel.answers import Action, Truth
from visionkit.flywheel.review.cards import Card, Claim
from visionkit.flywheel.review.limits import LONGEST_PERSON

MAX_COUNT = 100
_MAX_BOXES = 1000
Label = Annotated[str, Field(min_length=1)]
AnyName = Annotated[str, Field(max_length=200)]
SampleId = Annotated[str, Field(min_length=1, max_length=1000)]
Person = Annotated[str, Field(min_length=1, max_length=LONGEST_PERSON)]
Session = Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{8,64}$")]
CatalogId = Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")]
Number = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Incoming(BaseModel):
    """What the page sends; an unknown key is an error, not a guess."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WantedMessage(Incoming):
    """Which pictures are wanted; empty values take any."""

    item: str = ""
    model: AnyName = ""
    reason: AnyName = ""
    version: AnyName = ""
    least: Share = 0.0
    most: Share = 1.0


class TakeMessage(Incoming):
    """Asks for pictures to judge.

    `held` are those that lie before the reviewer already: they stay theirs and are not sent again;
    with a `count` of 0 nothing is but that. Where `catalog` is not that of the overview, all is
    refused.
    `passed` are not sent either, but free for others.
    With `alone` only pictures come of which nothing but the wanted item is said.
    """

    reviewer: Person
    session: Session
    count: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 10
    held: Annotated[list[SampleId], Field(max_length=2 * MAX_COUNT)] = []
    passed: Annotated[list[SampleId], Field(max_length=2 * MAX_COUNT)] = []
    wanted: WantedMessage = WantedMessage()
    alone: bool = False
    catalog: CatalogId = ""


class BoxMessage(Incoming):
    """A labelled box, xyxy in pixels of the upright picture."""

    label: Label
    box: Annotated[list[Number], Field(min_length=4, max_length=4)]


class AnswerMessage(Incoming):
    """One answer of one person about one picture; the same id may be sent again.

    `labels` and `objects` are all that the picture shows. Where the picture's card says
    `one_class`, `labels` has one name at most. A name that is new to the catalog has at most 200
    characters.
    """

    id: Session
    sample_id: SampleId
    revision: Annotated[int, Field(ge=0, le=2**31 - 1)]
    action: Action
    labels: Annotated[list[Label], Field(max_length=_MAX_BOXES)] = []
    objects: Annotated[list[BoxMessage], Field(max_length=_MAX_BOXES)] = []
    seen: Annotated[list[SampleId], Field(max_length=_MAX_BOXES)] = []
    model: AnyName = ""
    milliseconds: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class AnswersMessage(Incoming):
    """Answers in the order in which they were given.

    Where `catalog` is not that of the overview, all are refused; "" takes any.
    """

    reviewer: Person
    session: Session
    catalog: CatalogId = ""
    answers: Annotated[list[AnswerMessage], Field(min_length=1, max_length=MAX_COUNT)]


class ObjectReply(BaseModel):
    """A box that is there."""

    label: str
    box: tuple[float, float, float, float]
    source: str
    created: str


class TruthReply(BaseModel):
    """What a picture shows now."""

    labels: list[str]
    objects: list[ObjectReply]
    revision: int
    reviewed: bool


class ResultReply(BaseModel):
    """What became of an answer.

    `saved` is on the disk. With `conflict`, where `reviewer` has answered since, and `refused`,
    where the answer can't be (two labels where a picture is of one class among it), nothing was
    written; `what` says what was wrong, and `way_out` what to do.
    """

    id: str
    status: Literal["saved", "conflict", "refused"]
    truth: TruthReply | None = None
    reviewer: str = ""
    what: str = ""
    way_out: str = ""


class ResultsReply(BaseModel):
    """What became of each answer, in their order, and how many pictures are left."""

    results: list[ResultReply]
    left: int


class ReasonReply(BaseModel):
    """Why a picture is asked."""

    kind: str
    words: str
    weight: float


class ClaimReply(BaseModel):
    """One thing that is said to be in the picture; `proposal` is "" where no model says so."""

    label: str
    box: tuple[float, float, float, float] | None
    there: bool
    source: str
    proposal: str
    score: float | None
    threshold: float | None
    runner_up: str
    runner_up_score: float
    inliers: int


class CardReply(BaseModel):
    """A picture as it is put before a person.

    With `one_class` at most one of the claims without a box can hold; an answer with two labels
    is refused.
    """

    id: str
    name: str
    width: int
    height: int
    revision: int
    reviewed: bool
    second: bool
    one_class: bool
    model: str
    seconds: float | None
    reasons: list[ReasonReply]
    claims: list[ClaimReply]


class TakenReply(BaseModel):
    """Pictures to judge; `left` are those that are open for these wishes, with the ones sent."""

    cards: list[CardReply]
    left: int


class ErrorWords(BaseModel):
    """What was wrong with a request, and what to do."""

    what: str
    way_out: str


class ErrorReply(BaseModel):
    """The answer to a request that can't be answered."""

    error: ErrorWords


def truth_reply(truth: Truth) -> TruthReply:
    """A truth as it is sent."""
    objects = [
        ObjectReply(label=entry.label, box=entry.box, source=entry.source, created=entry.created)
        for entry in truth.objects
    ]
    return TruthReply(
        labels=list(truth.labels),
        objects=objects,
        revision=truth.revision,
        reviewed=truth.reviewed,
    )


def card_reply(card: Card) -> CardReply:
    """A card as it is sent; of the picture's path only the file's name."""
    times = [claim.proposal.seconds for claim in card.claims if claim.proposal is not None]
    return CardReply(
        id=card.sample.id,
        name=card.sample.uri.rpartition("/")[2],
        width=card.sample.width,
        height=card.sample.height,
        revision=card.revision,
        reviewed=card.reviewed,
        second=card.second,
        one_class=card.one_class,
        model=card.model,
        seconds=next((time for time in times if math.isfinite(time)), None),
        reasons=[
            ReasonReply(kind=reason.kind, words=reason.words, weight=reason.weight)
            for reason in card.asked.reasons
        ],
        claims=[_claim_reply(claim) for claim in card.claims],
    )


def _claim_reply(claim: Claim) -> ClaimReply:
    proposal = claim.proposal
    return ClaimReply(
        label=claim.label,
        box=claim.box,
        there=claim.there,
        source=claim.source,
        proposal="" if proposal is None else proposal.id,
        score=None if proposal is None else proposal.score,
        threshold=None if proposal is None else proposal.threshold,
        runner_up="" if proposal is None else proposal.runner_up,
        runner_up_score=0.0 if proposal is None else proposal.runner_up_score,
        inliers=-1 if proposal is None else proposal.inliers,
    )
