"""Whether two people who judge the same picture say the same of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from visionkit.flywheel.answers import Correction
from visionkit.flywheel.boxes import overlap
from visionkit.types import ObjectBox

_SAME_IOU = 0.5
"""From which overlap on two boxes of one label are the same thing, as evaluators count it."""


@dataclass(frozen=True)
class Agreement:
    """How far people agree.

    Attributes:
        pictures: that two or more people judged.
        same: of these, how many got the same answer of the first two.
        differing: ids of the others that no third person has judged, in their order.
    """

    pictures: int
    same: int
    differing: tuple[str, ...]

    @property
    def share(self) -> float | None:
        """0..1, of the pictures judged twice those with the same answer; None where none was."""
        return self.same / self.pictures if self.pictures else None


def is_asked_twice(sample_id: str, share: float) -> bool:
    """Whether a picture is among the share (0..1) that two people are asked about.

    It is decided by the id alone: so it is the same after a restart and for everybody.
    """
    digest = hashlib.blake2b(sample_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


class Standing:
    """The answers that stand: of each person the last about each picture that was not taken back.

    Attributes:
        answers: picture -> reviewer -> their answer; none is an empty dict, or no key.
        stated: picture -> who imported or restored -> what that said; nobody's judgement.
        lengths: picture -> how many entries of the log are about it.
    """

    def __init__(self, log: Iterable[Correction] = ()) -> None:
        self.answers: dict[str, dict[str, Correction]] = {}
        self.stated: dict[str, dict[str, Correction]] = {}
        self.lengths: Counter[str] = Counter()
        self._given: dict[tuple[str, str], list[Correction]] = {}
        self._known: set[str] = set()
        for correction in log:
            self.add(correction)

    def add(self, correction: Correction) -> bool:
        """Takes the next correction of the log; False for one that was taken already."""
        if correction.id in self._known:
            return False
        self._known.add(correction.id)
        self.lengths[correction.sample_id] += 1
        given = self._given.setdefault((correction.sample_id, correction.reviewer), [])
        if correction.action == "undo":
            del given[-1:]
        else:
            given.append(correction)
        judged = [entry for entry in given if entry.is_judgement]
        stated = [entry for entry in given if not entry.is_judgement]
        _keep_last(self.answers, correction, judged)
        _keep_last(self.stated, correction, stated)
        return True

    def __contains__(self, correction_id: str) -> bool:
        return correction_id in self._known

    def people(self, sample_id: str) -> dict[str, Correction]:
        """Reviewer -> their standing answer about a picture, who answered last at the end."""
        return self.answers.get(sample_id, {})


def _keep_last(
    kept: dict[str, dict[str, Correction]], news: Correction, given: Sequence[Correction]
) -> None:
    people = kept.setdefault(news.sample_id, {})
    last = given[-1] if given else None
    if people.get(news.reviewer) is not last:
        people.pop(news.reviewer, None)
        if last is not None:
            people[news.reviewer] = last


def agreement(standing: Iterable[Correction]) -> Agreement:
    """How far the first two people who judged a picture agree, where they could tell.

    Args:
        standing: answers that stand, of each person one about a picture, the first given first.
    """
    by_picture: dict[str, list[Correction]] = {}
    for answer in standing:
        if answer.action != "unsure":
            by_picture.setdefault(answer.sample_id, []).append(answer)
    pictures, same, differing = 0, 0, []
    for sample_id, told in by_picture.items():
        if len(told) < 2:
            continue
        pictures += 1
        if same_answer(told[0], told[1]):
            same += 1
        elif len(told) == 2:  # a third one has settled it
            differing.append(sample_id)
    return Agreement(pictures, same, tuple(differing))


def same_answer(first: Correction, second: Correction) -> bool:
    """Whether two answers say the same: equal labels, and boxes of one label in one place."""
    if set(first.labels) != set(second.labels) or len(first.objects) != len(second.objects):
        return False
    left = list(second.objects)
    for entry in first.objects:
        partner = _partner(entry, left)
        if partner is None:
            return False
        left.remove(partner)
    return True


def _partner(entry: ObjectBox, others: Sequence[ObjectBox]) -> ObjectBox | None:
    alike = [
        (overlap(entry.box, other.box), number)
        for number, other in enumerate(others)
        if other.label == entry.label
    ]
    best = max(alike, default=(0.0, -1))
    return others[best[1]] if best[0] >= _SAME_IOU else None
