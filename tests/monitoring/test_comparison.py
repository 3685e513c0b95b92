"""Two samples compared: what changed is found, the rest is not, hopeless input is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from visionkit.monitoring import statistics
from visionkit.monitoring.comparison import ComparisonSettings, compare
from visionkit.monitoring.correction import chances
from visionkit.monitoring.culprits import shift_scores
from visionkit.monitoring.observed import Observed, joined

QUICK = ComparisonSettings(permutations=199)


def world(
    count: int, seed: int, *, off: float = 0.0, light: float = 0.5, cats: float = 0.3
) -> Observed:
    """Pictures of 16 channels, a lightness, and a class."""
    rng = np.random.default_rng([seed, 5])
    vectors = rng.normal(size=(count, 16))
    vectors[:, 0] += off
    classes = np.where(rng.random(count) < cats, "cat", "dog")
    return Observed(
        tuple(f"{seed}-{number}" for number in range(count)),
        vectors.astype(np.float32),
        {"picture.brightness": rng.normal(light, 0.1, count), "picture.size": np.ones(count)},
        {"classification.class": tuple(classes.tolist())},
    )


@pytest.mark.parametrize(
    ("live", "first"),
    [
        (world(100, 1, off=1.5), "embedding"),
        (world(100, 1, light=0.4), "picture.brightness"),
        (world(100, 1, cats=0.8), "classification.class"),
    ],
    ids=["embeddings", "brightness", "shares"],
)
def test_what_changed_is_found_and_named_first(live: Observed, first: str) -> None:
    comparison = compare(world(300, 0), live, QUICK)
    assert comparison.verdict != "fine"
    assert comparison.tests[0].name.startswith(first)
    assert {test.name.split(".")[0] for test in comparison.findings} == {first.split(".")[0]}


def test_one_comparison_in_twenty_without_a_change_is_a_false_alarm() -> None:
    settings = replace(QUICK, permutations=99)
    alarms = sum(
        compare(world(60, 2 * number), world(40, 2 * number + 1), settings).verdict != "fine"
        for number in range(100, 250)
    )
    # 150 draws at 0.05: 7.5 are expected, and 1 to 15 hold all but 1 % of what chance makes of it.
    low, high = stats.binom.ppf([0.005, 0.995], 150, 0.05)
    assert low <= alarms <= high


def test_small_changes_are_watched_and_large_ones_acted_on() -> None:
    usual = world(600, 0)
    assert compare(usual, world(400, 1, light=0.47), QUICK).verdict == "watch"
    assert compare(usual, world(400, 1, light=0.3), QUICK).verdict == "act"


def test_a_change_that_nobody_could_see_is_found_and_not_acted_on() -> None:
    """A fixed camera in steady light: every picture is brighter by a grey level, and no more."""

    def steady(count: int, seed: int, light: float) -> Observed:
        values = np.random.default_rng(seed).normal(light, 0.0005, count)
        return replace(world(count, seed), numbers={"picture.brightness": values})

    by_one, by_ten = (
        compare(steady(200, 0, 0.5), steady(100, 1, 0.5 + levels / 255), QUICK)
        for levels in (1, 10)
    )
    assert (by_one.verdict, by_ten.verdict) == ("watch", "act")
    found = {test.name: test for test in by_one.findings}["picture.brightness"]
    # Every value is larger, which is an effect of 1: one level is 0.0039 of the 0.02 to be seen.
    assert found.effect == pytest.approx(1 / 255 / 0.02, rel=0.1)


def test_a_measure_that_never_varies_is_no_finding() -> None:
    found = {test.name: test for test in compare(world(300, 0), world(50, 1, off=2), QUICK).tests}
    assert (found["picture.size"].chance, found["picture.size"].effect) == (1.0, 0.0)


def test_pictures_that_all_look_the_same_are_no_finding() -> None:
    def same(count: int) -> Observed:
        return Observed(tuple(map(str, range(count))), np.full((count, 8), 0.5, np.float32))

    comparison = compare(same(100), same(50), QUICK)
    assert comparison.verdict == "fine"
    # Two looks, each as frequent on both sides: what is equally near is no order of the pictures.
    two = np.eye(2, 8, dtype=np.float32)
    usual, live = (
        Observed(tuple(map(str, range(count))), two[np.arange(count) % 2]) for count in (200, 100)
    )
    assert compare(usual, live, QUICK).verdict == "fine"


def test_what_only_one_side_has_is_said() -> None:
    live = world(50, 1)
    comparison = compare(world(50, 0), replace(live, kinds={}), QUICK)
    assert comparison.missing == ("classification.class",)


@pytest.mark.parametrize(
    ("live", "words"),
    [
        (world(3, 1), "what is live must have at least 20 pictures"),
        (world(0, 1), "got 0"),
        (replace(world(30, 1), embeddings=np.ones((30, 8), np.float32)), "one backbone, got 16"),
    ],
    ids=["three", "none", "another backbone"],
)
def test_what_cannot_be_compared_is_refused(live: Observed, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compare(world(50, 0), live, QUICK)


def test_same_seed_same_answer() -> None:
    assert compare(world(50, 0), world(50, 1), QUICK) == compare(world(50, 0), world(50, 1), QUICK)


def test_the_statistics_are_those_of_scipy_and_of_plain_loops() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, 50).astype(np.float64)  # with ties
    values[3] = np.nan
    drawn = statistics.divisions(20, 30, 4)
    found = statistics.kolmogorov_smirnov(values, drawn)
    for row, live in zip(found, drawn, strict=True):
        own, others = (part[np.isfinite(part)] for part in (values[live], values[~live]))
        scale = np.sqrt(len(own) * len(others) / (len(own) + len(others)))
        assert row == pytest.approx(stats.ks_2samp(own, others).statistic * scale)
    codes = rng.integers(0, 3, 50)
    many, _ = statistics.share_differences(codes, drawn)
    for row, live in zip(many, drawn, strict=True):
        table = [np.bincount(codes[side], minlength=3) for side in (live, ~live)]
        assert row == pytest.approx(stats.chi2_contingency(table).statistic, rel=1e-4)


def test_the_classifier_does_not_learn_from_the_picture_it_judges() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(40, 5)).astype(np.float32)
    drawn = statistics.divisions(15, 25, 1)
    found = statistics.classifier_scores(features, drawn, ridge=0.2)
    x = np.c_[statistics.standardised(features), np.ones(40)].astype(np.float64)
    strength = 0.2 * np.trace(x.T @ x) / 40
    for row, live in zip(found, drawn, strict=True):
        target = live - live.mean()
        for picture in range(40):
            others = np.arange(40) != picture
            inner = x[others].T @ x[others] + strength * np.eye(6)
            weights = np.linalg.solve(inner, x[others].T @ target[others])
            assert row[picture] == pytest.approx(x[picture] @ weights, abs=1e-5)


def test_the_discrepancy_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(size=(30, 3)).astype(np.float32)
    drawn = statistics.divisions(10, 20, 2)
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    kernel = np.exp(-squared / np.median(squared))
    for row, live in zip(statistics.mean_discrepancy(points, drawn), drawn, strict=True):
        own, rest = kernel[live][:, live].mean(), kernel[~live][:, ~live].mean()
        assert row == pytest.approx(own + rest - 2 * kernel[live][:, ~live].mean(), abs=1e-5)


def test_crowding_is_what_plain_loops_count_after_whitening() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(40, 6)).astype(np.float32) * np.array([9, 1, 1, 1, 1, 3])
    drawn = statistics.divisions(15, 25, 2)
    found = statistics.crowding(features.astype(np.float32), drawn)
    x = (features - features.mean(axis=0)) / features.std(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x)
    white = x @ vectors / np.sqrt(values + 0.005 * (x**2).sum())
    white /= np.linalg.norm(white, axis=1, keepdims=True)
    for row, live in zip(found, drawn, strict=True):
        for picture in range(40):
            near = [o for o in np.argsort(-(white @ white[picture])) if o != picture][:5]
            excess = max(np.mean([live[o] for o in near]) - 14 / 39, 0.0) / (1 - 14 / 39)
            assert row[picture] == pytest.approx(excess if live[picture] else 0.0, abs=1e-6)


def test_a_few_pictures_of_a_new_kind_are_found_by_lying_among_their_own() -> None:
    kinds = np.random.default_rng(6).normal(size=(8, 32)) * 3

    def of(numbers: list[int], seed: int) -> Observed:
        noise = np.random.default_rng([seed, 8]).normal(size=(len(numbers), 32))
        names = tuple(f"{seed} {place}" for place in range(len(numbers)))
        return Observed(names, (kinds[numbers] + noise).astype(np.float32))

    usual = of([number % 7 for number in range(400)], 0)
    same = compare(usual, of([number % 7 for number in range(100)], 1), QUICK)
    fresh = compare(usual, of([number % 7 for number in range(94)] + [7] * 6, 1), QUICK)
    assert same.verdict == "fine"
    found = {test.name: test for test in fresh.findings}["embedding.crowding"]
    assert 0.03 < found.effect < 0.09  # 6 of 100
    assert "5 % of the live pictures lie among other live ones" in found.words


def test_correction_counts_the_most_surprising_of_all_tests() -> None:
    rng = np.random.default_rng(3)
    nothing = {f"test {number}": rng.normal(size=500) for number in range(20)}
    strong = rng.normal(size=500)
    strong[0] = 9.0
    found = chances({**nothing, "strong": strong, "same": np.ones(500)})
    assert found["strong"] == (1 / 500, 1 / 500)
    assert found["same"] == (1.0, 1.0)
    assert all(corrected >= alone for alone, corrected in found.values())
    # The smallest of twenty is below 0.05 by chance in two of three cases: corrected it is not.
    lucky = min(found[name][0] for name in nothing)
    assert min(found[name][1] for name in nothing) > 5 * lucky
    assert chances({}) == {}


@pytest.mark.parametrize("live", [40, 130], ids=["at once", "in parts"])
def test_strangers_are_named_as_carrying_the_change(live: int) -> None:
    strangers = world(10, 7, off=9.0)
    scores = shift_scores(world(100, 0), joined([world(live, 1), strangers]), most=100)
    assert set(np.argsort(-scores)[:10]) == {*range(live, live + 10)}
