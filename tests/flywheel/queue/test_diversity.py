"""Spreading what is asked over what there is."""

from __future__ import annotations

import numpy as np
import pytest

from visionkit.flywheel.queue.diversity import commonness, compact, newness, spread_order


def test_nothing_is_a_normal_value() -> None:
    nothing = np.zeros((0, 8), np.float32)
    assert compact(nothing).shape == (0, 8)
    assert newness(nothing, nothing).shape == (0,)
    assert commonness(nothing).shape == (0,)
    assert spread_order(nothing, np.zeros(0), np.zeros(0)).tolist() == []


def test_compact_keeps_the_cosines_of_standardised_vectors() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((60, 1500)) * rng.uniform(0.1, 9, 1500) + 5).astype(np.float32)
    vectors[1] = vectors[0] + 0.01 * vectors[1]
    standard = (vectors - vectors.mean(0)) / vectors.std(0)
    standard /= np.linalg.norm(standard, axis=1, keepdims=True)
    small = compact(vectors)
    assert small.shape == (60, 256)
    assert np.abs(small @ small.T - standard @ standard.T).max() < 0.25  # 4 of 1 / sqrt(256)
    narrow = compact(vectors[:, :40])
    exact = vectors[:, :40] - vectors[:, :40].mean(0)
    exact /= vectors[:, :40].std(0)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    np.testing.assert_allclose(narrow @ narrow.T, exact @ exact.T, atol=1e-4)


def test_newness_is_the_distance_to_the_nearest_labelled() -> None:
    unit = np.array([[1, 0], [0, 1], [-1, 0], [0.6, 0.8]], np.float32)
    assert newness(unit, unit[:0]).tolist() == [1.0, 1.0, 1.0, 1.0]
    assert newness(unit, unit[:1]).tolist() == pytest.approx([0.0, 1.0, 2.0, 0.4])
    assert newness(unit, unit[:2]).tolist() == pytest.approx([0.0, 0.0, 1.0, 0.2])


def test_an_oddity_counts_less_and_the_usual_all_the_same() -> None:
    rng = np.random.default_rng(1)
    crowd = np.array([1.0, 0, 0, 0]) + 0.1 * rng.standard_normal((15, 4))
    loner = np.array([[0, 0, 0, 1.0]])
    vectors = np.concatenate([crowd, loner])
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    found = commonness(unit)
    likeness = np.array([sorted(unit[n] @ unit[m] for m in range(16) if m != n) for n in range(16)])
    nearest = likeness[:, -10:].mean(axis=1)
    assert (found == 1.0).sum() == 12  # all but a quarter
    assert set(np.flatnonzero(found < 1.0)) == set(np.argsort(nearest)[:4])
    assert found[:15].min() > 0.9
    assert found[15] < 0.3
    assert commonness(unit[:5]).tolist() == [1.0] * 5  # too few to tell


def test_the_order_is_farthest_first_as_plain_loops_find_it() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((30, 5))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    weight, start = rng.uniform(0.1, 1, 30), rng.uniform(0.1, 1, 30)
    expected: list[int] = []
    while len(expected) < 30:
        best, most = -1, -1.0
        for n in range(30):
            asked = [start[n], *(1 - float(unit[n] @ unit[m]) for m in expected)]
            value = weight[n] * max(min(asked), 0.0)
            if n not in expected and value > most:
                best, most = n, value
        expected.append(best)
    assert spread_order(unit, start, weight).tolist() == expected


def test_of_two_alike_the_second_comes_last() -> None:
    unit = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    weight = np.array([1.0, 0.9, 0.3, 0.2])
    assert spread_order(unit, np.ones(4), weight).tolist() == [0, 2, 3, 1]
