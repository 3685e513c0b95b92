"""Live pictures against the reference: every test, corrected for all of them, and a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy import stats

from visionkit.evaluation.outcomes import BoolArray, FloatArray, IntArray
from visionkit.monitoring import statistics
from visionkit.monitoring.correction import chances
from visionkit.monitoring.observed import Observed, joined
from visionkit.monitoring.properties import NOTICEABLE

Verdict = Literal["fine", "watch", "act"]
_FEW = 30  # random divisions that the usual effect is told from
LEAST = 20
"""Pictures below which nothing can be said."""
CLASSIFIER, DISCREPANCY = "embedding.classifier", "embedding.discrepancy"
CROWDING = "embedding.crowding"


@dataclass(frozen=True)
class ComparisonSettings:
    """How a comparison is made.

    Attributes:
        level: chance 0..1 of a false alarm by all tests together where nothing has changed.
        act_effect: 0..1 effect from which on a change is acted on; smaller ones are watched.
        permutations: random divisions that chances are counted on.
        most: pictures of each side at most in the tests, drawn at random.
        seed: of the divisions and draws.
    """

    level: float = 0.05
    act_effect: float = 0.35
    permutations: int = 500
    most: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Test:
    """One measure compared.

    Attributes:
        name: `group.measure`.
        chance: of so large a difference if nothing changed, of this test alone.
        corrected: the same of any of all the tests.
        effect: 0..1, above what chance makes of so few pictures. Of numbers the largest
            difference of the shares below any value (less where a property of pictures changed
            by less than can be seen), of kinds half the sum of the differences of
            shares, of the classifier how much better than by chance it tells a live picture from
            one of the reference (2 AUC - 1), of the discrepancy its square root against that
            of two samples without anything in common, and of crowding the share of live pictures
            that lie among their own.
        reference, live: the mean of numbers; nan elsewhere.
        words: what changed, a sentence; "" where there is nothing to say.
    """

    __test__ = False  # pytest takes the name for its own

    name: str
    chance: float
    corrected: float
    effect: float
    reference: float = float("nan")
    live: float = float("nan")
    words: str = ""


@dataclass(frozen=True)
class Comparison:
    """What is to be said of live pictures.

    Attributes:
        verdict: "fine", "watch" or "act".
        tests: all, the most surprising first.
        level: as of the settings.
        pictures: (of the reference, live) that were there.
        missing: measures that only one side has.
    """

    verdict: Verdict
    tests: tuple[Test, ...]
    level: float
    pictures: tuple[int, int]
    missing: tuple[str, ...] = field(default=())

    @property
    def chance(self) -> float:
        """Of any test so surprising if nothing changed; 1 where nothing was tested."""
        return min((test.corrected for test in self.tests), default=1.0)

    @property
    def findings(self) -> tuple[Test, ...]:
        """The tests that found a change."""
        return tuple(test for test in self.tests if test.corrected < self.level)


def compare(
    reference: Observed, live: Observed, settings: ComparisonSettings | None = None
) -> Comparison:
    """Tests of all measures that both sides have.

    Args:
        reference: pictures that are as they should be.
        live: pictures that are asked about.
        settings: None takes the defaults.

    Raises:
        ValueError: a side has fewer than 20 pictures, or their embeddings differ in length.
    """
    settings = settings or ComparisonSettings()
    check_sides(reference, live)
    numbers = [name for name in reference.numbers if name in live.numbers and measured(name)]
    kinds = [name for name in reference.kinds if name in live.kinds]
    used = live.drawn(settings.most, seed=settings.seed).only(numbers, kinds)
    usual = reference.drawn(settings.most, seed=settings.seed).only(numbers, kinds)
    both = joined([used, usual])
    drawn = statistics.divisions(len(used), len(usual), settings.permutations, seed=settings.seed)
    values, effects = _statistics(both, drawn)
    found = [
        _test(name, chance, corrected, effects[name], both, drawn[0])
        for name, (chance, corrected) in chances(values).items()
    ]
    found.sort(key=lambda test: (test.corrected, test.chance, -test.effect))
    sides = ({*side.numbers, *side.kinds} for side in (reference, live))
    missing = filter(measured, set.symmetric_difference(*sides))
    return Comparison(
        _verdict(found, settings),
        tuple(found),
        settings.level,
        (len(reference), len(live)),
        tuple(sorted(missing)),
    )


def measured(name: str) -> bool:
    """Whether a measure is compared; what people said is known of the reference only."""
    return not name.startswith("truth.")


def check_sides(reference: Observed, live: Observed) -> None:
    """Passes if the two can be compared.

    Raises:
        ValueError: a side has fewer than 20 pictures, or their embeddings differ in length.
    """
    for words, side in (("the reference", reference), ("what is live", live)):
        if len(side) < LEAST:
            raise ValueError(
                f"{words} must have at least {LEAST} pictures to be compared, got {len(side)}; "
                "fewer say nothing, whatever they look like"
            )
    lengths = reference.embeddings.shape[1], live.embeddings.shape[1]
    if lengths[0] != lengths[1]:
        raise ValueError(
            f"embeddings must be of one backbone, got {lengths[0]} numbers in the reference and "
            f"{lengths[1]} live; make the reference again with this bundle"
        )


def _statistics(both: Observed, drawn: BoolArray) -> tuple[dict[str, FloatArray], dict[str, float]]:
    """Test -> (B,) statistic, and test -> effect of the true division."""
    values: dict[str, FloatArray] = {}
    effects: dict[str, float] = {}
    for name, column in both.numbers.items():
        values[name] = statistics.kolmogorov_smirnov(column, drawn)
        effect = abs(statistics.largest_step(column, drawn))
        usual = values[name][1:].mean() / max(float(values[name][0]), 1e-9) * effect
        effects[name] = above_chance(effect, float(usual)) * _visible(name, column, drawn[0])
    for name, words in both.kinds.items():
        codes, _ = coded(words)
        many, one = statistics.share_differences(codes, drawn)
        values |= {f"{name}.shares": many, f"{name}.one": one}
        effect_all, effect_one = _share_effect(codes, drawn[0])
        by_chance = np.mean([_share_effect(codes, row) for row in drawn[1 : _FEW + 1]], axis=0)
        effects[f"{name}.shares"] = above_chance(effect_all, float(by_chance[0]))
        effects[f"{name}.one"] = above_chance(effect_one, float(by_chance[1]))
    scores = statistics.classifier_scores(both.embeddings, drawn)
    separation = statistics.separation(scores, drawn)
    values[CLASSIFIER] = separation
    better = np.maximum(2 * separation - 1, 0.0)
    effects[CLASSIFIER] = above_chance(float(better[0]), float(better[1:].mean()))
    discrepancy = statistics.mean_discrepancy(both.embeddings, drawn)
    values[DISCREPANCY] = discrepancy
    excess = max(float(discrepancy[0] - discrepancy[1:].mean()), 0.0)
    effects[DISCREPANCY] = min(1.0, float(np.sqrt(excess)))
    crowds = statistics.crowding(both.embeddings, drawn)
    values[CROWDING] = statistics.crowded(crowds)
    shares = crowds.sum(axis=1) / np.maximum(drawn.sum(axis=1), 1)
    effects[CROWDING] = above_chance(float(shares[0]), float(shares[1:].mean()))
    return values, effects


def _visible(name: str, values: FloatArray, live: BoolArray) -> float:
    """0..1: how much of what can just be seen a property of pictures changed; 1 of all else.

    Where nothing else varies, as with a fixed camera, a grey level is all the difference there is.
    """
    least = NOTICEABLE.get(name.removeprefix("picture."))
    known = np.isfinite(values)
    if least is None or not name.startswith("picture."):
        return 1.0
    own, others = values[known & live], values[known & ~live]
    if not len(own) or not len(others):
        return 1.0
    return min(1.0, float(stats.wasserstein_distance(own, others)) / least)


def above_chance(effect: float, usual: float) -> float:
    """0..1: how much of what chance leaves room for an effect takes; few pictures differ anyway.

    >>> above_chance(0.75, 0.5), above_chance(1.0, 0.5), above_chance(0.25, 0.5)
    (0.5, 1.0, 0.0)
    """
    return max(effect - usual, 0.0) / max(1 - usual, 1e-9) if effect < 1 else 1.0


def coded(words: tuple[str, ...]) -> tuple[IntArray, tuple[str, ...]]:
    """(N,) int64 number of each word among the sorted ones, -1 for "", and these."""
    kinds = tuple(sorted({*words} - {""}))
    number = {word: code for code, word in enumerate(kinds)}
    return np.array([number.get(word, -1) for word in words], np.int64), kinds


def _share_effect(codes: IntArray, live: BoolArray) -> tuple[float, float]:
    """Half the sum of the differences of shares, and the largest of them."""
    own, others = codes[live & (codes >= 0)], codes[~live & (codes >= 0)]
    if not len(own) or not len(others):
        return 0.0, 0.0
    kinds = int(codes.max()) + 1
    difference = np.bincount(own, minlength=kinds) / len(own)
    difference = difference - np.bincount(others, minlength=kinds) / len(others)
    return float(np.abs(difference).sum() / 2), float(np.abs(difference).max())


def _test(
    name: str, chance: float, corrected: float, effect: float, both: Observed, live: BoolArray
) -> Test:
    if name in both.numbers:
        column = both.numbers[name]
        usual, now = _mean(column[~live]), _mean(column[live])
        words = f"{name} is {now:.3g} on average, and was {usual:.3g}."
        return Test(name, chance, corrected, effect, usual, now, words)
    kind = name.rpartition(".")[0]
    words = ""
    if kind in both.kinds:
        words = _share_words(both.kinds[kind], live)
    elif name == CLASSIFIER:
        words = (
            "A classifier tells live pictures from those of the reference, "
            f"{100 * effect:.0f} % of the way from chance to always."
        )
    elif name == CROWDING:
        words = (
            f"About {100 * effect:.0f} % of the live pictures lie among other live ones, as where "
            "something is new."
        )
    return Test(name, chance, corrected, effect, words=words)


def _share_words(words: tuple[str, ...], live: BoolArray) -> str:
    """The kind whose share moved most."""
    now: Mapping[str, int] = Counter(w for w, own in zip(words, live, strict=True) if own and w)
    was: Mapping[str, int] = Counter(w for w, own in zip(words, live, strict=True) if w and not own)
    totals = max(sum(now.values()), 1), max(sum(was.values()), 1)
    moved = {kind: now.get(kind, 0) / totals[0] - was.get(kind, 0) / totals[1]
             for kind in {*now, *was}}  # fmt: skip
    if not moved:
        return ""
    most = max(sorted(moved), key=lambda kind: abs(moved[kind]))
    usual, current = was.get(most, 0) / totals[1], now.get(most, 0) / totals[0]
    return f"{most!r} makes {100 * current:.1f} % of them, and made {100 * usual:.1f} %."


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _verdict(tests: list[Test], settings: ComparisonSettings) -> Verdict:
    effects = [test.effect for test in tests if test.corrected < settings.level]
    if not effects:
        return "fine"
    return "act" if max(effects) >= settings.act_effect else "watch"
