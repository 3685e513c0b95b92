from __future__ import annotations

import numpy as np
import pytest

from visionkit.training.folds import assign_folds


def of_classes(labels: list[int], classes: int) -> np.ndarray:
    return np.eye(classes, dtype=bool)[labels]


def test_no_pictures() -> None:
    assert assign_folds(np.zeros((0, 3), bool)).shape == (0,)


@pytest.mark.parametrize("seed", range(3))
def test_every_class_is_spread_over_all_folds(seed: int) -> None:
    labels = [0] * 50 + [1] * 10 + [2] * 5
    folds = assign_folds(of_classes(labels, 3), seed=seed)
    for label, count in [(0, 50), (1, 10), (2, 5)]:
        shown = np.bincount(folds[np.array(labels) == label], minlength=5)
        assert shown.min() >= count // 5 - 1, label
        assert shown.max() <= count // 5 + 1, label
    sizes = np.bincount(folds, minlength=5)
    assert sizes.max() - sizes.min() <= 3


def test_a_group_stays_together() -> None:
    labels = [0] * 20 + [1] * 20
    groups = np.repeat(np.arange(10), 4)
    folds = assign_folds(of_classes(labels, 2), groups=groups)
    for group in range(10):
        assert len(set(folds[groups == group])) == 1
    assert [len(set(folds[:20])), len(set(folds[20:]))] == [5, 5]


def test_pictures_of_several_classes_and_of_none() -> None:
    present = np.array([[1, 1], [1, 0], [0, 1], [0, 0]] * 10, bool)
    folds = assign_folds(present)
    for k in range(2):
        assert np.bincount(folds[present[:, k]], minlength=5).min() >= 3
    assert np.bincount(folds, minlength=5).min() >= 6


def test_the_same_seed_gives_the_same_folds() -> None:
    present = of_classes([0, 1] * 20, 2)
    assert assign_folds(present, seed=3).tolist() == assign_folds(present, seed=3).tolist()
    assert assign_folds(present, seed=3).tolist() != assign_folds(present, seed=4).tolist()


@pytest.mark.parametrize(("count", "groups"), [(1, 4), (5, 3)])
def test_what_does_not_fit(count: int, groups: int) -> None:
    with pytest.raises(ValueError, match=f"got {count} folds, {groups} groups for 4 pictures"):
        assign_folds(of_classes([0, 1, 0, 1], 2), count=count, groups=np.arange(groups))
