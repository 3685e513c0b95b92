"""Two models on the same pictures, which are drawn anew many times (paired bootstrap).

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 16: what both find hard
then doesn't blur the difference between them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from visionkit.evaluation.bootstrap import Interval, interval, picture_weights
from visionkit.evaluation.outcomes import FloatArray
from visionkit.flywheel.marks import Marks, class_mean

_MOST_WEIGHTS = 8_000_000  # numbers at once, so that large test sets fit into memory


@dataclass(frozen=True)
class Contest:
    """What a challenger must do to be promoted.

    Attributes:
        level: chance 0..1 of a gain that is none, at which it is believed.
        least_gain: of the figure, 0..1; a smaller one is not worth another model.
        most_loss: of one class's figure, 0..1, that is borne.
        class_level: chance 0..1, shared by all classes, of a loss that is none.
        least_score: of the figure, 0..1, that any model must have to be used.
        promote: whether a challenger that does all that takes the champion's place; else it is only
            told that it would.
        rounds: of the bootstrap, at least.
        seed: of the rounds.
    """

    level: float = 0.01
    least_gain: float = 0.005
    most_loss: float = 0.1
    class_level: float = 0.1
    least_score: float = 0.0
    promote: bool = True
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
class Difference:
    """What the challenger makes of the figure and of each class.

    Attributes:
        champion, challenger: their figures, 0..1; nan where nothing is shown.
        interval: of challenger less champion, 95 %.
        no_gain: share of the rounds in which nothing is gained, 0..1.
        no_loss: share of the rounds in which nothing is lost, 0..1.
        differing: pictures that the two answer otherwise.
        changes: of each class that is shown, the greatest loss first.
    """

    champion: float
    challenger: float
    interval: Interval
    no_gain: float
    no_loss: float
    differing: int
    changes: tuple[ClassChange, ...]

    @property
    def gain(self) -> float:
        """Challenger less champion."""
        return self.challenger - self.champion

    @property
    def forgotten(self) -> tuple[ClassChange, ...]:
        """The classes that are lost beyond the limit."""
        return tuple(change for change in self.changes if change.forgotten)


def paired_difference(champion: Marks, challenger: Marks, contest: Contest) -> Difference:
    """How far two models differ on the frozen test set, and how surely.

    Args:
        champion: on the frozen test set. A class that a model does not know counts as one that it
            never finds.
        challenger: on the same pictures in the same order, of the same classes.
        contest: what counts as lost.

    Raises:
        ValueError: the two were not measured on the same.
    """
    _check(champion, challenger)
    changes, totals = _rounds(champion, challenger, contest)
    return Difference(
        champion=champion.mean(),
        challenger=challenger.mean(),
        interval=_span(totals, champion.pictures),
        no_gain=_chance(totals, worse=False),
        no_loss=_chance(totals, worse=True),
        differing=sum(a != b for a, b in zip(champion.answers, challenger.answers, strict=True)),
        changes=_class_changes(champion, challenger, changes, contest),
    )


def least_differing(level: float) -> int:
    """How many pictures two models must answer otherwise before one can be better beyond chance.

    Were they equally good, each such picture might as well speak for the other: that all speak for
    the challenger comes once in 2^n times (Dixon and Mood, "The Statistical Sign Test", 1946). With
    fewer no outcome is as rare as the level, whatever drawing them anew says.

    Args:
        level: chance of a gain that is none, above 0 and at most 1.

    >>> least_differing(0.01), least_differing(0.25), least_differing(1.0)
    (7, 2, 0)
    """
    return math.ceil(-math.log2(level))


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
    # So many that the chances at which a gain or a lost class is believed can be told at all.
    least = (1 / max(contest.level, 1e-4), max(classes, 1) / max(contest.class_level, 1e-3))
    rounds = max(contest.rounds, math.ceil(4 * max(least)))
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
