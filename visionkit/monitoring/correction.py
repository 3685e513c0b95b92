"""Many tests at once: chances of each statistic alone, and of the most striking of them all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats

from visionkit.evaluation.outcomes import FloatArray


def surprises(statistic: FloatArray) -> FloatArray:
    """(B,) float64, 0 or more: how rare each value is among all, as minus the logarithm.

    A gamma distribution with their mean and variance says it (Gretton et al., "A Fast, Consistent
    Kernel Two-Sample Test", NIPS 2009, section 3), so that tests of different form compare, and
    values rarer than one of B keep their order. It need not be exact: `chances` counts.

    Args:
        statistic: (B,) of the true division and those by chance.
    """
    shifted = statistic - statistic.min()
    usual, spread = float(shifted.mean()), float(shifted.var())
    if spread <= 1e-18:
        return np.zeros(len(statistic))
    found = stats.gamma.logsf(shifted, usual**2 / spread, scale=spread / usual)
    return np.asarray(np.maximum(-found, 0.0), np.float64)


def chances(statistics: Mapping[str, FloatArray]) -> dict[str, tuple[float, float]]:
    """Test -> chance of a value so large if nothing changed: alone, and corrected for all tests.

    The corrected one is the share of divisions in which any test is as surprising (Westfall and
    Young, "Resampling-Based Multiple Testing", 1993, single-step minP). However much the tests
    depend on each other, one in twenty comparisons without a change has one below 0.05.

    Args:
        statistics: test -> (B,), the first value of the true division; the same B for all.
    """
    if not statistics:
        return {}
    rows = np.stack([surprises(values) for values in statistics.values()])
    rows = np.where(np.isfinite(rows), rows, 700.0)  # smaller than any number: as good as certain
    largest = rows.max(axis=0)
    found = {}
    for name, row, values in zip(statistics, rows, statistics.values(), strict=True):
        if np.ptp(values) <= 0:
            found[name] = (1.0, 1.0)
            continue
        alone = float((values >= values[0] - 1e-12).mean())
        found[name] = (alone, float((largest >= row[0] - 1e-12).mean()))
    return found
