"""What a picture shows, what models say of it, and what people make of that: plain values.

Nothing here knows of a table or a network, so that the review page needs neither to be understood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from visionkit.types import ObjectBox

Action = Literal["accept", "edit", "reject", "unsure", "undo"]
"""What a person did: took what the model said as it is; changed labels or boxes; said that the
picture shows none of it; could not tell; or took their last answer back."""
ACTIONS: tuple[Action, ...] = get_args(Action)
IMPORT, RESTORE = "import:", "restore:"
"""So the ids of entries of the log begin that a labelled set or a restored version made."""
NOBODY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Truth:
    """What a picture shows as far as anybody has said.

    Attributes:
        labels: of the whole picture.
        objects: labelled boxes, each with who said so and when.
        revision: how many corrections it is the result of; 0 is as it came into the catalog.
        reviewed: whether a person has said that it is right; what is only proposed is not.
    """

    labels: tuple[str, ...]
    objects: tuple[ObjectBox, ...]
    revision: int
    reviewed: bool


@dataclass(frozen=True)
class Proposal:
    """One thing that a model says of a picture: a find, or a class of the whole picture.

    Attributes:
        id: unique within the catalog.
        sample_id: of the picture.
        task: the head that says so: exemplar, classification or localization.
        label: name of the item or class.
        score: 0..1.
        threshold: 0..1, from which on the model takes it to be there.
        box: x_min, y_min, x_max, y_max in pixels of the upright picture; None for the whole.
        model: name of the bundle.
        runner_up, runner_up_score: what else it may be, and how likely; "" and 0 for nothing.
        inliers: points that agree in geometry; -1 where geometry was not asked.
        track: number of the track in a video; -1 without one.
        seconds: from the start of the video; nan for a picture.
        created: ISO 8601 time.
    """

    id: str
    sample_id: str
    task: str
    label: str
    score: float
    threshold: float
    box: tuple[float, float, float, float] | None
    model: str
    runner_up: str = ""
    runner_up_score: float = 0.0
    inliers: int = -1
    track: int = -1
    seconds: float = float("nan")
    created: str = ""


@dataclass(frozen=True)
class Correction:
    """One answer of one person about one picture; the log of them is only ever added to.

    Attributes:
        id: made by who sends it (a UUID): sent twice it counts once.
        sample_id: of the picture.
        revision: of the truth that the person saw; another one by now is a conflict.
        reviewer: who.
        action: what they did.
        labels, objects: all of what the picture shows by them; with "unsure" as they saw it.
        seen: ids of the proposals that were shown.
        model: name of the bundle that proposed; "" where none did.
        milliseconds: from showing to answering; 0 where it was not measured.
        created: ISO 8601 time in UTC; set by the catalog.
    """

    id: str
    sample_id: str
    revision: int
    reviewer: str
    action: Action
    labels: tuple[str, ...] = ()
    objects: tuple[ObjectBox, ...] = ()
    seen: tuple[str, ...] = ()
    model: str = ""
    milliseconds: int = 0
    created: str = ""

    @property
    def is_judgement(self) -> bool:
        """Whether a person judged the picture, and not a labelled set or a restored version."""
        return not self.id.startswith((IMPORT, RESTORE))


class Conflict(Exception):
    """Somebody else has answered since; it is what the second writer is told, nothing was written.

    Attributes:
        truth: as it is now.
        reviewer: who said so last.
    """

    def __init__(self, truth: Truth, reviewer: str) -> None:
        super().__init__(
            f"the picture must still be as it was shown, but {reviewer} has answered since "
            f"(revision {truth.revision}); look at it again"
        )
        self.truth, self.reviewer = truth, reviewer


@dataclass(frozen=True)
class Reason:
    """Why a person is asked about a picture.

    Attributes:
        kind: margin, entropy, heads, frames, geometry, coverage, label, drift or audit.
        words: a sentence for people, with the figure in it.
        weight: 0..1, how much it counts.
    """

    kind: str
    words: str
    weight: float


@dataclass(frozen=True)
class Asked:
    """A picture in the queue.

    Attributes:
        sample_id: of the picture.
        priority: the higher, the sooner it is asked; any float.
        reasons: why, the weightiest first; at least one.
    """

    sample_id: str
    priority: float
    reasons: tuple[Reason, ...]


def by_picture(proposals: Iterable[Proposal]) -> dict[str, tuple[Proposal, ...]]:
    """Picture -> what models say of it, in the order given; only those of which something is."""
    found: dict[str, list[Proposal]] = {}
    for proposal in proposals:
        found.setdefault(proposal.sample_id, []).append(proposal)
    return {sample_id: tuple(entries) for sample_id, entries in found.items()}


def newest(
    proposals: Iterable[Proposal], *, model: str = "", last: Mapping[str, str] = NOBODY
) -> list[Proposal]:
    """The proposals of one model, or for "" those of each task's model that was asked last.

    Args:
        proposals: about one picture.
        model: name of a bundle, or "".
        last: task -> the model that was asked for it last, which may have been silent; of others
            the one that proposed last counts.
    """
    kept = [entry for entry in proposals if model in ("", entry.model)]
    if not model:
        kept = [entry for entry in kept if last.get(entry.task, entry.model) == entry.model]
    latest: dict[str, tuple[str, str]] = {}
    for entry in kept:
        latest[entry.task] = max(latest.get(entry.task, ("", "")), (entry.created, entry.model))
    return [entry for entry in kept if entry.model == latest[entry.task][1]]
