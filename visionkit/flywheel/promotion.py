"""Champion against challenger on one frozen test set: who is better, beyond chance, and for whom.

Both answer the same pictures, and the pictures are drawn anew many times (paired bootstrap; Efron
and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 16): what both find hard then
doesn't blur the difference between them. A challenger is promoted only if its gain is beyond
chance, is worth it, and no class is lost for it, nor a head whose backbone moved. It doubts by
default: when nothing can be told, the champion stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visionkit.evaluation.bootstrap import Interval
from visionkit.evaluation.summary import counted, number
from visionkit.flywheel.marks import Marks
from visionkit.flywheel.paired import (
    ClassChange,
    Contest,
    Difference,
    least_differing,
    paired_difference,
)

_NAMED = 3  # classes in a sentence


@dataclass(frozen=True)
class OtherHead:
    """What became of a head that did not learn, on the backbone that did.

    Attributes:
        task: which head.
        kept: whether it lost no more than is borne, or only by chance.
        figure: what was counted.
        pictures: of the test set that tell something of it.
        champion, challenger: its figures before and after.
        gain: after less before.
        interval: of the gain, 95 %.
        changes: of each class that is shown, the greatest loss first.
        untested: its classes of which the test pictures show nothing.
        words: how it did, in a sentence or two.
    """

    task: str
    kept: bool
    figure: str
    pictures: int
    champion: float
    challenger: float
    gain: float
    interval: Interval
    changes: tuple[ClassChange, ...]
    untested: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class Verdict:
    """Whether the challenger takes the champion's place.

    Attributes:
        promoted: whether it does, or would if that were asked for (`Contest.promote`).
        figure: what was counted.
        pictures: of the test set.
        champion, challenger: their figures.
        gain: challenger less champion.
        interval: of the gain, 95 %.
        chance: share of the rounds in which nothing is gained, 0..1.
        changes: of each class that is shown, the greatest loss first.
        words: the verdict and its reasons, a sentence each.
        others: the heads beside the one that learned, where its backbone moved.
    """

    promoted: bool
    figure: str
    pictures: int
    champion: float
    challenger: float
    gain: float
    interval: Interval
    chance: float
    changes: tuple[ClassChange, ...]
    words: tuple[str, ...]
    others: tuple[OtherHead, ...] = ()

    @property
    def forgotten(self) -> tuple[ClassChange, ...]:
        """The classes that are lost beyond the limit."""
        return tuple(change for change in self.changes if change.forgotten)


def compare(
    champion: Marks,
    challenger: Marks,
    contest: Contest | None = None,
    *,
    others: Sequence[OtherHead] = (),
) -> Verdict:
    """Whether the challenger takes the champion's place.

    Args:
        champion: on the frozen test set. A class that a model does not know counts as one that it
            never finds.
        challenger: on the same pictures in the same order, of the same classes.
        contest: None takes the defaults.
        others: the other heads of the bundle, where its backbone moved; all must be kept.

    Raises:
        ValueError: the two were not measured on the same.
    """
    contest = contest or Contest()
    found = paired_difference(champion, challenger, contest)
    reasons = _reasons(found, contest, champion.pictures)
    if found.challenger < contest.least_score:
        reasons.append(_too_low(champion.figure, found.challenger, contest))
    reasons += [one.words for one in others if not one.kept]
    return Verdict(
        promoted=not reasons,
        figure=champion.figure,
        pictures=champion.pictures,
        champion=found.champion,
        challenger=found.challenger,
        gain=found.gain,
        interval=found.interval,
        chance=found.no_gain,
        changes=found.changes,
        words=(
            *_words(champion.figure, found, reasons, champion.pictures, contest),
            *([] if reasons else [_nothing_lost(found.changes, contest)]),
            *(one.words for one in others if one.kept),
        ),
        others=tuple(others),
    )


def other_head(
    task: str,
    champion: Marks,
    challenger: Marks,
    contest: Contest | None = None,
    *,
    untested: Sequence[str] = (),
) -> OtherHead:
    """What became of a head that did not learn, on the backbone that did.

    Nothing need be gained. It is not kept where a class is forgotten, or where the mean of the
    classes loses more than a class may, either beyond chance; nor where nothing can be told.

    Args:
        task: which head.
        champion: as it was, on the pictures of the frozen test set that tell something of it.
        challenger: as it is now, on the same.
        contest: None takes the defaults.
        untested: its classes of which these pictures show nothing.

    Raises:
        ValueError: the two were not measured on the same.
    """
    contest = contest or Contest()
    found = paired_difference(champion, challenger, contest)
    worse = found.gain < -contest.most_loss and found.no_loss <= contest.class_level
    kept = math.isfinite(found.gain) and not worse and not found.forgotten
    return OtherHead(
        task=task,
        kept=kept,
        figure=champion.figure,
        pictures=champion.pictures,
        champion=found.champion,
        challenger=found.challenger,
        gain=found.gain,
        interval=found.interval,
        changes=found.changes,
        untested=tuple(untested),
        words=" ".join(_other_words(task, champion, found, contest, kept, untested)),
    )


def first_verdict(challenger: Marks, contest: Contest | None = None) -> Verdict:
    """Whether a model is used where there is none yet: where its figure is high enough."""
    contest = contest or Contest()
    nothing = float("nan")
    figures = challenger.by_class()
    value = challenger.mean()
    used = value >= contest.least_score
    words = _first_words(challenger, value, contest)
    return Verdict(
        promoted=used,
        figure=challenger.figure,
        pictures=challenger.pictures,
        champion=nothing,
        challenger=value,
        gain=nothing,
        interval=Interval(nothing, nothing),
        chance=nothing,
        changes=tuple(
            ClassChange(
                challenger.class_names[k],
                int(challenger.support[k]),
                nothing,
                float(figures[k]),
                nothing,
                Interval(nothing, nothing),
                forgotten=False,
            )
            for k in np.flatnonzero(challenger.support)
        ),
        words=words,
    )


def _first_words(marks: Marks, value: float, contest: Contest) -> tuple[str, ...]:
    if not math.isfinite(value):
        return ("No model is used yet.", _nothing_told(marks.pictures))
    if value < contest.least_score:
        return ("No model is used yet.", _too_low(marks.figure, value, contest))
    figure = f"{marks.figure} {number(value, 3)} on {counted(marks.pictures, 'picture')}"
    return (f"The first model {_becomes('used', contest)}: {figure}.",)


def _reasons(found: Difference, contest: Contest, pictures: int) -> list[str]:
    """Why the champion stays, a sentence each; none where the challenger takes its place."""
    if not math.isfinite(found.gain):
        return [_nothing_told(pictures)]
    reasons = []
    needed = least_differing(contest.level)
    if found.differing < needed:
        reasons.append(
            f"The two answer {found.differing} of {counted(pictures, 'test picture')} otherwise, "
            f"and fewer than {needed} can't tell a gain from chance at {100 * contest.level:g} %: "
            "add test pictures and say loop.refreeze=true."
        )
    if found.no_gain > contest.level:
        reasons.append(
            f"In {100 * found.no_gain:.3g} % of the draws of the test pictures nothing is gained; "
            f"at most {100 * contest.level:g} % pass for more than chance."
        )
    if found.gain < contest.least_gain:
        reasons.append(
            f"A gain of {_signed(found.gain)} is less than the {contest.least_gain:g} that is "
            "asked for."
        )
    return [*reasons, *_lost(found, contest)]


def _nothing_told(pictures: int) -> str:
    return f"Nothing can be told from {counted(pictures, 'test picture')}."


def _lost(found: Difference, contest: Contest) -> list[str]:
    """Which classes are forgotten, in a sentence; none where none is."""
    lost = found.forgotten
    if not lost:
        return []
    return [
        f"{counted(len(lost), 'class is', 'classes are')} forgotten, each by more than "
        f"{contest.most_loss:g}: {_names(lost)}."
    ]


def _other_words(
    task: str,
    marks: Marks,
    found: Difference,
    contest: Contest,
    kept: bool,
    untested: Sequence[str],
) -> list[str]:
    head = f"The head {task}, on the backbone that moved, {'is kept' if kept else 'is not kept'}"
    if not math.isfinite(found.gain):
        return [f"{head}.", _nothing_told(marks.pictures)]
    words = [f"{head}: {_moved(marks.figure, found, marks.pictures)}."]
    if kept:
        words.append(_nothing_lost(found.changes, contest))
    else:
        # Without a class that is forgotten by itself, it is the mean that is lost.
        mean = f"The mean of its classes lost more than {contest.most_loss:g}, beyond chance."
        words += _lost(found, contest) or [mean]
    if untested:
        words.append(f"Of {_some(untested)} the test pictures show nothing.")
    return words


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown


def _names(changes: Sequence[ClassChange]) -> str:
    return _some(
        [f"{one.name} ({number(one.champion)} to {number(one.challenger)})" for one in changes]
    )


def _nothing_lost(changes: Sequence[ClassChange], contest: Contest) -> str:
    """What is known of the classes where none counts as forgotten."""
    doubtful = [one for one in changes if one.change < -contest.most_loss]
    if not doubtful:
        return "No class is forgotten."
    return (
        f"No class is forgotten beyond chance; too little of {_names(doubtful)} is in the test "
        "pictures to tell."
    )


def _too_low(figure: str, value: float, contest: Contest) -> str:
    return (
        f"{figure} {number(value, 3)} is less than the {contest.least_score:g} that is asked for."
    )


def _moved(figure: str, found: Difference, pictures: int) -> str:
    return (
        f"{figure} {number(found.champion, 3)} before and {number(found.challenger, 3)} after on "
        f"{counted(pictures, 'test picture')}"
    )


def _words(
    figure: str, found: Difference, reasons: Sequence[str], pictures: int, contest: Contest
) -> tuple[str, ...]:
    moved = _moved(figure, found, pictures)
    if reasons:
        return (f"The champion stays: {moved}.", *reasons)
    return (
        f"The challenger {_becomes('promoted', contest)}: {moved}; in {100 * found.no_gain:.3g} % "
        "of the draws of the test pictures it gains nothing.",
    )


def _becomes(what: str, contest: Contest) -> str:
    """That a model is promoted or used, or only would be."""
    return f"is {what}" if contest.promote else f"would be {what}, but loop.promote is false"


def _signed(value: float) -> str:
    return f"{value:+.3f}"
