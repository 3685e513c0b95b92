from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from visionkit.matching.calibration import (
    BackgroundStatistics,
    background_statistics,
    best_similarities,
    chance_prior,
    item_rate,
    item_thresholds,
    logit,
    relative_sizes,
    statistics_of_others,
)
from visionkit.matching.candidates import Candidates, no_candidates

GUMBEL_SCALE = 0.7797  # of a Gumbel distribution with standard deviation 1: sqrt(6) / pi


def candidates(*found: tuple[int, float]) -> Candidates:
    """Candidates from (template, similarity)."""
    count = len(found)
    return Candidates(
        np.zeros((count, 4), np.float32),
        np.array([similarity for _, similarity in found], np.float32),
        np.array([template for template, _ in found], np.int64),
        np.zeros(count, np.int64),
    )


def test_no_templates_need_no_statistics() -> None:
    best = best_similarities([no_candidates()], 0)
    statistics = background_statistics(best, np.zeros(1))
    assert statistics.mean.shape == statistics.spread.shape == (0,)
    assert statistics.standardise(no_candidates()).shape == (0,)


def test_statistics_are_of_the_best_match_a_picture() -> None:
    pictures = [
        candidates((0, 0.2), (0, 0.5), (1, 0.1)),
        candidates((1, 0.3), (0, 0.4), (1, 0.25)),
        candidates((0, 0.3)),  # template 1 does not fit in here
    ]
    statistics = background_statistics(best_similarities(pictures, 3), np.zeros(3))
    best = [[0.5, 0.4, 0.3], [0.1, 0.3]]
    for template in (0, 1):
        assert statistics.mean[template] == pytest.approx(np.mean(best[template]))
        assert statistics.spread[template] == pytest.approx(np.std(best[template]) + 0.01)
    # Template 2 fits nowhere: the average of the others.
    assert statistics.mean[2] == pytest.approx((0.4 + 0.2) / 2)
    assert statistics.spread[2] > 0


def test_backgrounds_in_which_nothing_fits_can_not_calibrate() -> None:
    with pytest.raises(ValueError, match="large enough to search in, got 2 pictures"):
        background_statistics(best_similarities([no_candidates()] * 2, 2), np.zeros(2))


def test_one_background_is_enough() -> None:
    best = np.array([[0.5]])
    for statistics in (
        background_statistics(best, np.zeros(1)),
        statistics_of_others(best, np.zeros(1), 0),  # there are no others
    ):
        assert statistics.mean[0] == pytest.approx(0.5)
        assert 0 < statistics.spread[0] < 0.1


def test_standardised_by_the_candidates_own_template() -> None:
    statistics = BackgroundStatistics(
        np.array([0.5, 0.2], np.float32), np.array([0.1, 0.05], np.float32)
    )
    found = candidates((1, 0.3), (0, 0.3), (1, 0.1))
    np.testing.assert_allclose(statistics.standardise(found), [2, -2, -2], rtol=1e-5)
    # In a picture with ten times as many places the best background match is better by that.
    better = GUMBEL_SCALE * math.log(10)
    np.testing.assert_allclose(
        statistics.standardise(found, math.log(10)), [2 - better, -2 - better, -2 - better], 1e-3
    )


def test_relative_sizes_are_logs_against_the_usual_picture() -> None:
    # The usual picture of 100 and 400 cells has 200: the logs' mean.
    np.testing.assert_allclose(
        relative_sizes([200, 400, 50], [100, 400]), [0, math.log(2), -math.log(4)], atol=1e-9
    )


def test_statistics_are_those_of_one_size_though_pictures_differ() -> None:
    rng = np.random.default_rng(0)
    cells = rng.choice([300, 900, 2700], 6000)
    # The best of so many places, each an exponential draw: its location grows with 0.05 log n.
    best = 0.3 + 0.05 * (rng.gumbel(size=6000) + np.log(cells))
    statistics = background_statistics(best[:, None], relative_sizes(cells, cells))
    usual = np.exp(np.log(cells).mean())
    assert statistics.mean[0] == pytest.approx(0.3 + 0.05 * (0.5772 + np.log(usual)), abs=0.003)
    # One step away from the spread of all sizes together; the floor of 0.01 comes on top.
    one_size, all_sizes = 0.05 * math.pi / math.sqrt(6), best.std()
    assert one_size - 0.01 < statistics.spread[0] - 0.01 < (one_size + all_sizes) / 2


def test_statistics_of_others_know_nothing_of_the_picture() -> None:
    best, sizes = np.array([[0.2, 0.1], [0.4, 0.3], [0.9, -np.inf]]), np.zeros(3)
    others = statistics_of_others(best, sizes, 2)
    np.testing.assert_allclose(others.mean, [0.3, 0.2], rtol=1e-6)
    np.testing.assert_allclose(others.spread, [0.11, 0.11], rtol=1e-6)


def test_where_only_one_picture_can_be_searched_in_it_has_to_do() -> None:
    best = np.array([[-np.inf], [0.4]])
    assert statistics_of_others(best, np.zeros(2), 1).mean[0] == pytest.approx(0.4)


@pytest.mark.parametrize(("rate", "items"), [(0.05, 1), (0.05, 17), (0.5, 3), (1e-9, 1000)])
def test_items_together_have_the_rate_of_the_picture(rate: float, items: int) -> None:
    each = item_rate(rate, items)
    assert 1 - (1 - each) ** items == pytest.approx(rate, rel=1e-4)


def test_no_items_have_a_rate_all_the_same() -> None:
    assert item_rate(0.05, 0) == pytest.approx(0.05)


@pytest.mark.parametrize("rate", [0, 1, float("nan")])
def test_the_rate_of_a_picture_is_between_0_and_1(rate: float) -> None:
    with pytest.raises(ValueError, match="false_alarm_rate must be between 0 and 1"):
        item_rate(rate, 3)


@pytest.mark.parametrize(
    ("score", "odds"), [(0.5, 0), (0.75, math.log(3)), (0, -16.118), (1, 16.118)]
)
def test_logit(score: float, odds: float) -> None:
    assert logit(np.array([score], np.float32))[0] == pytest.approx(odds, abs=2e-3)


def test_no_items_no_thresholds() -> None:
    assert item_thresholds({}, 0.05) == {}


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, float("nan")])
def test_a_rate_is_between_0_and_1(rate: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        item_thresholds({"a": [0.1]}, rate)


def test_an_item_without_scores_is_named() -> None:
    with pytest.raises(ValueError, match="'juice'"):
        item_thresholds({"soda": [0.1], "juice": []}, 0.05)


def test_threshold_of_one_item_is_a_gumbel_quantile() -> None:
    scores = [0.1, 0.3, 0.2, 0.05, 0.15]
    odds = [math.log(score / (1 - score)) for score in scores]
    mean = sum(odds) / 5
    variance = sum((value - mean) ** 2 for value in odds) / 5
    # Moments of a Gumbel distribution: variance pi^2 / 6 scale^2, mean location + 0.5772 scale.
    scale = math.sqrt(6 * variance) / math.pi
    location = mean - 0.5772156649 * scale
    quantile = stats.gumbel_r.ppf(0.95, location, scale)
    threshold = item_thresholds({"a": scores}, 0.05)["a"]
    assert threshold == pytest.approx(1 / (1 + math.exp(-quantile)), abs=1e-4)


def test_spread_is_drawn_towards_that_of_all_items() -> None:
    calm, wild = [0.2, 0.2, 0.2, 0.2], [0.02, 0.6, 0.1, 0.3]
    together = item_thresholds({"calm": calm, "wild": wild}, 0.05)
    assert together["calm"] > item_thresholds({"calm": calm}, 0.05)["calm"]
    assert together["wild"] < item_thresholds({"wild": wild}, 0.05)["wild"]


def test_a_smaller_rate_asks_for_more() -> None:
    scores = {"a": [0.1, 0.3, 0.2], "b": [0.4, 0.6]}
    found = [item_thresholds(scores, rate) for rate in (0.5, 0.1, 0.01, 0.0001)]
    for item in scores:
        values = [threshold[item] for threshold in found]
        assert values == sorted(values)
        assert 0 < values[0] < values[-1] < 1


def test_the_rate_is_kept_where_scores_are_maxima() -> None:
    rng = np.random.default_rng(0)
    odds = rng.gumbel(-3, 0.8, size=(2, 4000))
    scores = 1 / (1 + np.exp(-odds))
    threshold = item_thresholds({"a": scores[0].tolist()}, 0.05)["a"]
    assert np.mean(scores[1] >= threshold) == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize("scores", [[0.0, 0.0, 0.0], [1.0, 1.0], [0.0], [0.0, 1.0]])
def test_extreme_scores_give_a_threshold_all_the_same(scores: list[float]) -> None:
    assert 0 <= item_thresholds({"a": scores}, 0.05)["a"] <= 1


def test_chance_is_what_more_views_add_to_the_best_of_a_background() -> None:
    rng = np.random.default_rng(0)
    scale = GUMBEL_SCALE
    best = {n: rng.gumbel(0, scale, (2000, n)).max(1).mean() for n in (200, 1000, 4000)}
    for views, mean in best.items():
        assert chance_prior(views) == pytest.approx(mean - best[200], abs=0.08)
