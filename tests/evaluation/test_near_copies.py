from __future__ import annotations

import numpy as np
import pytest

from visionkit.evaluation.near_copies import NearCopy, copy_groups, near_copies


def features_of(pictures: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(5, 2, (pictures, 40))


@pytest.mark.parametrize("pictures", [0, 1, 2])
def test_too_few_to_be_alike(pictures: int) -> None:
    assert near_copies(features_of(pictures)) == []


def test_pictures_of_one_look_are_not_all_copies() -> None:
    assert near_copies(np.ones((5, 8))) == []


def test_copies_are_found_whatever_the_number_of_pictures() -> None:
    features = features_of(1200)  # more than are compared at once
    rng = np.random.default_rng(1)
    for first, second in [(3, 700), (600, 601), (10, 1199)]:
        features[second] = features[first] + rng.normal(0, 0.2, 40)
    found = near_copies(features)
    assert {(copy.first, copy.second) for copy in found} == {(3, 700), (600, 601), (10, 1199)}
    standard = (features - features.mean(0)) / features.std(0)
    for copy in found:
        a, b = standard[copy.first], standard[copy.second]
        assert copy.similarity == pytest.approx((a @ b) / np.sqrt((a @ a) * (b @ b)))
        assert not copy.equal
    assert [c.similarity for c in found] == sorted((c.similarity for c in found), reverse=True)


def test_equal_pixels_are_copies_whatever_the_features() -> None:
    hashes = ["a", "b", "a", "", "", "a"]
    found = near_copies(features_of(6), hashes)
    assert [(copy.first, copy.second, copy.equal) for copy in found] == [
        (0, 2, True) if found[0].second == 2 else (0, 5, True),
        (0, 5, True) if found[0].second == 2 else (0, 2, True),
    ]


def test_groups_hold_copies_of_copies() -> None:
    copies = [NearCopy(0, 4, 0.95, False), NearCopy(2, 4, 0.91, False)]
    groups = copy_groups(6, copies)
    assert groups[0] == groups[2] == groups[4]
    assert len(set(groups.tolist())) == 4
    assert copy_groups(0, []).shape == (0,)


def test_hashes_of_another_number_of_pictures() -> None:
    with pytest.raises(ValueError, match="one a picture, 6, got 1"):
        near_copies(features_of(6), ["a"])
