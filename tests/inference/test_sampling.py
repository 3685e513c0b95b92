"""Which frames are taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from visionkit.inference.video.sampling import Every, KeyFrames, Rate, Sampling, sampled


@dataclasses.dataclass(frozen=True)
class At:
    index: int
    time: float


def nearest_by_hand(times: Sequence[float], fps: float) -> list[int]:
    """The frame nearest to each instant up to the end, by plain loops."""
    end = times[-1] + (times[-1] - times[-2]) / 2
    instants = [k / fps for k in range(int(end * fps) + 1)]
    return sorted({min(range(len(times)), key=lambda n: abs(times[n] - t)) for t in instants})


@pytest.mark.parametrize("fps", [0.3, 1, 2, 3.7, 7])
def test_a_rate_takes_the_nearest_frames(fps: float) -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.4, 60)).tolist()
    frames = [At(index, time) for index, time in enumerate(times)]
    taken = [each.index for each in sampled(frames, Rate(fps))]
    assert taken == nearest_by_hand(times, fps)


@pytest.mark.parametrize("sampling", [Every(1), Every(3), Rate(2), KeyFrames()])
def test_no_frames_no_samples(sampling: Sampling) -> None:
    assert list(sampled([], sampling)) == []


@pytest.mark.parametrize("make", [lambda: Every(0), lambda: Rate(0), lambda: Rate(-1)])
def test_samplings_out_of_range(make: Callable[[], Sampling]) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()
