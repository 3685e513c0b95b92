"""A backbone that is said to learn does."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from box_sets import BoxSet, bccd
from located_learner import LocatedLearner


@pytest.mark.parametrize("tuned", [True, False])
def test_a_backbone_learns_only_where_it_is_tuned(
    shared_data: Path, tmp_path: Path, tuned: bool
) -> None:
    cells = bccd()
    few = BoxSet(cells.class_names, cells.train[:4], ())
    learner = LocatedLearner(few, tmp_path, steps=3, side=64, tuned=tuned)
    before = learner.pool().embeddings
    learner.learn(few.train)
    moved = np.abs(learner.pool().embeddings - before).max()
    assert (moved > 1e-4) == tuned  # a frozen one moves by rounding, 2e-7


def test_what_was_learned_is_not_learned_again(shared_data: Path, tmp_path: Path) -> None:
    cells = bccd()
    few = BoxSet(cells.class_names, cells.train[:4], ())
    learned = []
    for _ in range(2):
        learner = LocatedLearner(few, tmp_path, steps=3, side=64, tuned=True)
        learner.learn(few.train)
        learned.append(learner.pool().embeddings)
        files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.ckpt")}
        learned.append(files)
    assert np.array_equal(learned[0], learned[2])
    assert learned[1] == learned[3]
