"""Champion against challenger on one frozen test set: who is better, beyond chance, and for whom.

Both answer the same pictures, and the pictures are drawn anew many times (paired bootstrap; Efron
and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 16): what both find hard then
doesn't blur the difference between them. A challenger is promoted only if its gain is beyond
chance, is worth it, and no class is lost for it. It doubts by default: when nothing can be told,
the champion stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visionkit.evaluation.bootstrap import Interval, interval, picture_weights
from visionkit.evaluation.outcomes import FloatArray
from visionkit.evaluation.summary import counted, number
from visionkit.flywheel.marks import Marks, class_mean

_MOST_WEIGHTS = 8_000_000  # numbers at once, so that large test sets fit into memory
_NAMED = 3  # classes in a sentence


@dataclass(frozen=True)
class Contest:
    """What a challenger must do to be promoted.

    Attributes:
        level: chance 0..1 of a gain that is none, at which it is believed.
        least_gain: of the figure, 0..1; a smaller one is not worth another model.
        most_loss: of one class's figure, 0..1, that is borne.
        class_level: chance 0..1, shared by all classes, of a loss that is none.
        least_score: of the figure, 0..1, that any model must have to be used.
        rounds: of the bootstrap, at least.
        seed: of the rounds.
    """

    level: float = 0.01
    least_gain: float = 0.005
    most_loss: float = 0.1
    class_level: float = 0.1
    least_score: float = 0.0
    rounds: int = 4000
    seed: int = 0


@dataclass(frozen=True)
class ClassChange:
    """What the challenger makes of one class.

    Attributes:
        name: of the class.
        support: pictures that show it, or boxes of it.
        champion, challenger: their figures, 0..1.
        change: challenger less champion.
        interval: of the change, 95 %.
        forgotten: whether more is lost than is borne, and not by chance.
    """

    name: str
    support: int
    champion: float
    challenger: float
    change: float
    interval: Interval
    forgotten: bool


@dataclass(frozen=True)
class Verdict:
    """Whether the challenger takes the champion's place.

    Attributes:
        promoted: whether it does.
        figure: what was counted.
        pictures: of the test set.
        champion, challenger: their figures.
        gain: challenger less champion.
        interval: of the gain, 95 %.
        chance: share of the rounds in which nothing is gained, 0..1.
        changes: of each class that is shown, the greatest loss first.
        words: the verdict and its reasons, a sentence each.
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

    @property
    def forgotten(self) -> tuple[ClassChange, ...]:
        """The classes that are lost beyond the limit."""
        return tuple(change for change in self.changes if change.forgotten)


def compare(champion: Marks, challenger: Marks, contest: Contest | None = None) -> Verdict:
    """Whether the challenger takes the champion's place.

    Args:
        champion: on the frozen test set. A class that a model does not know counts as one that it
            never finds.
        challenger: on the same pictures in the same order, of the same classes.
        contest: None takes the defaults.

    Raises:
        ValueError: the two were not measured on the same.
    """
    contest = contest or Contest()
    _check(champion, challenger)
    changes, totals = _rounds(champion, challenger, contest)
    before, after = champion.mean(), challenger.mean()
    chance = _chance(totals, worse=False)
    gain = after - before
    by_class = _class_changes(champion, challenger, changes, contest)
    reasons = _reasons(gain, chance, by_class, contest, champion.pictures)
    if after < contest.least_score:
        reasons.append(_too_low(champion.figure, after, contest))
    return Verdict(
        promoted=not reasons,
        figure=champion.figure,
        pictures=champion.pictures,
        champion=before,
        challenger=after,
        gain=gain,
        interval=_span(totals, champion.pictures),
        chance=chance,
        changes=by_class,
        words=(
            *_words(champion.figure, before, after, chance, reasons, champion.pictures),
            *([] if reasons else [_nothing_lost(by_class, contest)]),
        ),
    )


def first_verdict(challenger: Marks, contest: Contest | None = None) -> Verdict:
    """Whether a model is used where there is none yet: where its figure is high enough."""
    contest = contest or Contest()
    nothing = float("nan")
    figures = challenger.by_class()
    value = challenger.mean()
    used = value >= contest.least_score
    words = f"{challenger.figure} {number(value, 3)} on {counted(challenger.pictures, 'picture')}"
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
        words=(
            (f"The first model is used: {words}.",)
            if used
            else ("No model is used yet.", _too_low(challenger.figure, value, contest))
        ),
    )


def _check(champion: Marks, challenger: Marks) -> None:
    for name in ("figure", "class_names", "pictures"):
        first, second = getattr(champion, name), getattr(challenger, name)
        if first != second:
            raise ValueError(
                f"champion and challenger must be measured on the same, got {name} {first} and "
                f"{second}; measure both on the frozen test set"
            )
    if not np.array_equal(champion.support, challenger.support):
        raise ValueError(
            "champion and challenger must be measured on the same labels, got others for each; "
            "measure both on the frozen test set"
        )


def _rounds(champion: Marks, challenger: Marks, contest: Contest) -> tuple[FloatArray, FloatArray]:
    """(R, K) change of each class in each round, and (R,) that of the figure."""
    pictures, classes = champion.pictures, len(champion.class_names)
    # So many that the chance at which a class counts as lost can be told at all.
    rounds = max(contest.rounds, math.ceil(4 * max(classes, 1) / max(contest.class_level, 1e-3)))
    step = max(1, min(rounds, _MOST_WEIGHTS // max(pictures, 1)))
    changes, totals = [], []
    for number_of, first in enumerate(range(0, rounds, step)):
        drawn = picture_weights(
            pictures, rounds=min(step, rounds - first), seed=contest.seed + number_of
        )
        before, after = champion.of(drawn), challenger.of(drawn)
        changes.append(after - before)
        totals.append(class_mean(after) - class_mean(before))
    return np.concatenate(changes), np.concatenate(totals)


def _chance(changes: FloatArray, *, worse: bool) -> float:
    """Share of the rounds that don't show what is claimed; 1 where nothing can be told.

    The figures as they are count as one more round, so that it is never 0 (Davison and Hinkley,
    "Bootstrap Methods and their Application", 1997, equation 4.11).
    """
    defined = changes[np.isfinite(changes)]
    against = (defined >= 0).sum() if worse else (defined <= 0).sum()
    return float((1 + against) / (1 + len(defined)))


def _span(changes: FloatArray, pictures: int) -> Interval:
    """The middle 95 % of a change over the rounds; a change of 0 in all of them is exactly that."""
    defined = changes[np.isfinite(changes)]
    if len(defined) and (defined == 0).all():
        return Interval(0.0, 0.0)
    return interval(changes, pictures=pictures, rate=True)


def _class_changes(
    champion: Marks, challenger: Marks, changes: FloatArray, contest: Contest
) -> tuple[ClassChange, ...]:
    shown = np.flatnonzero(champion.support)
    before, after = champion.by_class(), challenger.by_class()
    found = []
    for k in shown:
        change = float(after[k] - before[k])
        lost = change < -contest.most_loss
        by_chance = _chance(changes[:, k], worse=True) > contest.class_level / len(shown)
        found.append(
            ClassChange(
                name=champion.class_names[k],
                support=int(champion.support[k]),
                champion=float(before[k]),
                challenger=float(after[k]),
                change=change,
                interval=_span(changes[:, k], champion.pictures),
                forgotten=lost and not by_chance,
            )
        )
    return tuple(sorted(found, key=lambda one: one.change))


def _reasons(
    gain: float,
    chance: float,
    changes: Sequence[ClassChange],
    contest: Contest,
    pictures: int,
) -> list[str]:
    """Why the champion stays, a sentence each; none where the challenger takes its place."""
    if not math.isfinite(gain):
        return [f"Nothing can be told from {counted(pictures, 'test picture')}."]
    reasons = []
    if chance > contest.level:
        reasons.append(
            f"In {100 * chance:.3g} % of the draws of the test pictures nothing is gained; at most "
            f"{100 * contest.level:g} % pass for more than chance."
        )
    if gain < contest.least_gain:
        reasons.append(
            f"A gain of {_signed(gain)} is less than the {contest.least_gain:g} that is asked for."
        )
    lost = [one for one in changes if one.forgotten]
    if lost:
        reasons.append(
            f"{counted(len(lost), 'class is', 'classes are')} forgotten, each by more than "
            f"{contest.most_loss:g}: {_names(lost)}."
        )
    return reasons


def _names(changes: Sequence[ClassChange]) -> str:
    named = ", ".join(
        f"{one.name} ({number(one.champion)} to {number(one.challenger)})"
        for one in changes[:_NAMED]
    )
    return f"{named} and {len(changes) - _NAMED} more" if len(changes) > _NAMED else named


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


def _words(
    figure: str, before: float, after: float, chance: float, reasons: Sequence[str], pictures: int
) -> tuple[str, ...]:
    moved = (
        f"{figure} {number(before, 3)} before and {number(after, 3)} after on "
        f"{counted(pictures, 'test picture')}"
    )
    if reasons:
        return (f"The champion stays: {moved}.", *reasons)
    return (
        f"The challenger is promoted: {moved}; in {100 * chance:.3g} % of the draws of the test "
        "pictures it gains nothing.",
    )


def _signed(value: float) -> str:
    return f"{value:+.3f}"
