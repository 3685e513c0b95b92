"""Which live pictures carry a shift, and by how much."""

from __future__ import annotations

import numpy as np

from visionkit.monitoring.culprits import CARRIES, shift_scores
from visionkit.monitoring.observed import Observed


def observed(rng: np.random.Generator, count: int, colours: int) -> Observed:
    """Pictures of one kind, all grey but for the last few, which are red and of another kind."""
    vectors = rng.normal(size=(count, 16)).astype(np.float32)
    vectors[count - colours :] += 6
    red = rng.normal(scale=1e-5, size=count)  # grey, but for rounding
    red[count - colours :] = 0.3
    names = tuple(f"{number}" for number in range(count))
    size = np.where(red > 0.1, 0.3, np.log10(0.00102))  # not quite without spread, as float32
    return Observed(names, vectors, {"picture.red_green": red, "picture.size": size})


def test_strangers_come_first_and_the_usual_carry_nothing() -> None:
    rng = np.random.default_rng(0)
    scores = shift_scores(observed(rng, 200, 0), observed(rng, 60, 6))
    assert set(np.argsort(-scores)[:6]) == set(range(54, 60))
    assert (scores[54:] > CARRIES).all()
    assert (scores[:54] > CARRIES).mean() < 0.15


def test_what_hardly_varies_is_measured_by_what_can_be_seen() -> None:
    rng = np.random.default_rng(0)
    scores = shift_scores(observed(rng, 200, 0), observed(rng, 60, 6))
    # 0.3 is 15 times what can be seen, not 30,000 times the rounding of the grey ones; nor is a
    # larger picture a million times the rounding of one size.
    assert scores.max() < 1000
