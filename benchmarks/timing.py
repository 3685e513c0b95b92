"""How long one thing takes in times of another, on a machine that others use too."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def paired(first: Callable[[], object], second: Callable[[], object], *, rounds: int) -> float:
    """Median over rounds of the CPU time of `first` in times of `second`, run in turn."""
    first(), second()
    ratios = []
    for _ in range(rounds):
        start = time.process_time()
        first()
        middle = time.process_time()
        second()
        ratios.append((middle - start) / (time.process_time() - middle))
    return statistics.median(ratios)
