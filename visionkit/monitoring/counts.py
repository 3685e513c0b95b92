"""How often items and classes were found, run by run, and which of these counts none foresaw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from visionkit.evaluation.outcomes import FloatArray
from visionkit.monitoring.answers import NONE_OF_THEM
from visionkit.monitoring.forecast import Forecast, next_value
from visionkit.monitoring.observed import Observed
from visionkit.monitoring.windows import Window

MOST = 40
"""Counts that are foreseen: those of the commonest items and classes."""
_FEW = 3  # finds in a run that are no matter, however sure the forecast


@dataclass(frozen=True)
class Foreseen:
    """A count and what it should have been.

    Attributes:
        name: `task.count` of all finds, `task.count=item` of one item's, each a picture; or
            `classification.share=class`, 0..1.
        value: of this run.
        forecast: from the runs before.
    """

    name: str
    value: float
    forecast: Forecast

    @property
    def is_off(self) -> bool:
        """Whether the count is far off its forecast."""
        return not self.forecast.low <= self.value <= self.forecast.high

    @property
    def words(self) -> str:
        """A sentence."""
        low, high = self.forecast.low, self.forecast.high
        return (
            f"{self.name} is {self.value:.3g}, and was foreseen at {self.forecast.value:.3g} "
            f"({low:.3g} to {high:.3g}, by {self.forecast.method})."
        )


def counts_of(live: Observed, found: Mapping[tuple[str, str], int]) -> dict[str, float]:
    """Name -> count a picture or share, as of `Foreseen`.

    Args:
        live: the pictures, at least one.
        found: (task, item or class) -> boxes in all of them.
    """
    counts = {
        name: float(values.mean())
        for name, values in live.numbers.items()
        if name.endswith(".count")
    }
    for (task, item), number in sorted(found.items()):
        counts[f"{task}.count={item}"] = number / len(live)
    classes = live.kinds.get("classification.class")
    if classes:
        shares = {NONE_OF_THEM: 0, **Counter(classes)}
        for name, number in sorted(shares.items()):
            counts[f"classification.share={name}"] = number / len(live)
    return counts


def foreseen_counts(
    past: Sequence[Window], now: Window, *, season: int, chance: float
) -> list[Foreseen]:
    """The counts that the past is long enough for, those far off first.

    Args:
        past: the runs before, in their order; they are taken to lie at even distances.
        now: this run.
        season: runs after which counts are alike.
        chance: 0..1 of a false finding, by all counts together.
    """
    series = {name: counted_before(name, past) for name in _names(past, now)}
    least = (_FEW + 1e-6) / max(now.pictures, 1)  # beyond rounding
    found = []
    for name, values in series.items():
        share = chance / len(series)
        forecast = next_value(values, season=season, chance=share, least=least)
        if forecast is not None:
            found.append(Foreseen(name, now.counts.get(name, 0.0), forecast))
    return sorted(found, key=lambda one: (not one.is_off, one.name))


def counted_before(name: str, windows: Sequence[Window]) -> FloatArray:
    """(N,) the count in the last windows that looked for such things; 0 where it was not found."""
    values = []
    for window in reversed(windows):
        if _kind(name) not in {_kind(other) for other in window.counts}:
            break
        values.append(window.counts.get(name, 0.0))
    return np.array(values[::-1], np.float64)


def _names(past: Sequence[Window], now: Window) -> list[str]:
    """The names of the commonest counts whose kind this run looked for."""
    kinds = {_kind(name) for name in now.counts}
    total: Counter[str] = Counter()
    for window in (*past, now):
        total.update({name: v for name, v in window.counts.items() if _kind(name) in kinds})
    return [name for name, _ in total.most_common(MOST)]


def _kind(name: str) -> str:
    return name.partition("=")[0]
