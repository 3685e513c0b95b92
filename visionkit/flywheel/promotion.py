"""Champion against challenger on one frozen test set: who is better, beyond chance, and for whom.

Both answer the same pictures, and the pictures are drawn anew many times (paired bootstrap; Efron
and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 16): what both find hard then
doesn't blur the difference between them. A challenger is promoted only if its gain is beyond
chance, is worth it, and no class is lost for it. It doubts by default: when nothing can be told,
the champion stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import supervision as sv

from visionkit.evaluation.average_precision import average_precision_rounds
from visionkit.evaluation.bootstrap import Interval, interval, picture_weights
from visionkit.evaluation.counts import ratio
from visionkit.evaluation.outcomes import BoolArray, FloatArray, IntArray, Truth, judge
from visionkit.evaluation.summary import counted, number

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
class Marks:
    """How one model did on the frozen test set; N pictures, K classes.

    Attributes:
        figure: what is counted: "F1" or "AP50"; the model's is the mean over the classes shown.
        class_names: the K names.
        support: (K,) int64 pictures that show each class, or boxes of it.
        pictures: N.
        of: (R, N) float64 weights of the pictures in R rounds -> (R, K) the figure of each class,
            nan where the round shows none of it.
    """

    figure: str
    class_names: tuple[str, ...]
    support: IntArray
    pictures: int
    of: Callable[[FloatArray], FloatArray]

    def by_class(self) -> FloatArray:
        """(K,) the figure of each class on the pictures as they are."""
        found: FloatArray = self.of(np.ones((1, self.pictures)))[0]
        return found

    def mean(self) -> float:
        """The figure over all classes that are shown; nan without any."""
        return float(_mean(self.by_class()[None])[0])

    def interval(self, *, rounds: int = 1000, seed: int = 0) -> Interval:
        """The 95 % interval of `mean` over pictures drawn anew."""
        weights = picture_weights(self.pictures, rounds=rounds, seed=seed)
        return interval(_mean(self.of(weights)), pictures=self.pictures)


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


def named_marks(present: BoolArray, said: BoolArray, class_names: Sequence[str]) -> Marks:
    """F1 of each class: of naming pictures, or of telling which items they show.

    Args:
        present: (N, K) bool, what each picture shows.
        said: (N, K) bool, what the model says that it shows.
        class_names: the K names.

    Raises:
        ValueError: shapes that don't agree.
    """
    names = tuple(class_names)
    if present.shape != said.shape or present.ndim != 2 or present.shape[1] != len(names):
        raise ValueError(
            f"present and said must both be (pictures, {len(names)}), got {present.shape} and "
            f"{said.shape}; give both for the same pictures and classes"
        )
    true = (present & said).astype(np.float64)
    both = present.astype(np.float64) + said

    def of(weights: FloatArray) -> FloatArray:
        f1 = ratio(2 * (weights @ true), weights @ both)
        return np.where(weights @ present > 0, f1, np.nan)

    return Marks("F1", names, present.sum(axis=0).astype(np.int64), len(present), of)


def located_marks(
    truths: Sequence[Truth], predictions: Sequence[sv.Detections], class_names: Sequence[str]
) -> Marks:
    """AP50 of each class.

    Args:
        truths: one a picture.
        predictions: one a picture, all finds whatever their score.
        class_names: the K names.

    Raises:
        ValueError: lists of different length, or unknown class ids.
    """
    names = tuple(class_names)
    outcomes = judge(truths, predictions, class_count=len(names))
    support = np.bincount(outcomes.truth_class_id, minlength=len(names)).astype(np.int64)

    def of(weights: FloatArray) -> FloatArray:
        found = np.full((len(weights), len(names)), np.nan)
        for k in np.flatnonzero(support):
            own, true = outcomes.class_id == k, outcomes.truth_class_id == k
            found[:, k] = average_precision_rounds(
                outcomes.is_true[own],
                outcomes.score[own],
                outcomes.picture[own],
                outcomes.truth_picture[true],
                weights,
            )
        return found

    return Marks("AP50", names, support, outcomes.pictures, of)


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
        words=_words(champion.figure, before, after, chance, reasons, champion.pictures),
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
        totals.append(_mean(after) - _mean(before))
    return np.concatenate(changes), np.concatenate(totals)


def _mean(figures: FloatArray) -> FloatArray:
    """(R,) mean over the classes that are defined; nan where none is."""
    defined = np.isfinite(figures)
    return ratio(np.where(defined, figures, 0.0).sum(axis=1), defined.sum(axis=1))


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
            f"In {100 * chance:.2g} % of the draws of the test pictures nothing is gained; at most "
            f"{100 * contest.level:g} % pass for more than chance."
        )
    if gain < contest.least_gain:
        reasons.append(
            f"A gain of {_signed(gain)} is less than the {contest.least_gain:g} that is asked for."
        )
    lost = [one for one in changes if one.forgotten]
    if lost:
        named = ", ".join(
            f"{one.name} ({number(one.champion)} to {number(one.challenger)})"
            for one in lost[:_NAMED]
        )
        more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        reasons.append(
            f"{counted(len(lost), 'class is', 'classes are')} forgotten, each by more than "
            f"{contest.most_loss:g}: {named}{more}."
        )
    return reasons


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
        f"The challenger is promoted: {moved}; in {100 * chance:.2g} % of the draws of the test "
        "pictures it gains nothing.",
        "No class is forgotten.",
    )


def _signed(value: float) -> str:
    return f"{value:+.3f}"
