"""Comparisons over time: a line each in a file, and each measure with the band it usually keeps."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from markupsafe import Markup, escape

from visionkit.evaluation.summary import json_value
from visionkit.files import write_text
from visionkit.monitoring.accuracy import Estimate
from visionkit.monitoring.comparison import Comparison, measured
from visionkit.monitoring.observed import Observed

MOST = 500
"""Windows that are shown."""
_SEASONS = 4  # that are kept: what is foreseen is learned from no more


@dataclass(frozen=True)
class Window:
    """One comparison, in short.

    Attributes:
        time: when, as text.
        verdict: as of the comparison.
        chance: of the most striking change.
        pictures: live ones.
        accuracy: as estimated, or None.
        means: measure -> mean of its live values.
        counts: as of `counts_of`.
    """

    time: str
    verdict: str
    chance: float
    pictures: int
    accuracy: float | None = None
    means: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Band:
    """Where 95 of 100 means of so many pictures of the reference lie."""

    low: float
    high: float


def window_of(
    comparison: Comparison,
    estimate: Estimate | None,
    live: Observed,
    *,
    time: str,
    counts: Mapping[str, float] | None = None,
) -> Window:
    """The line of a comparison.

    Args:
        comparison: what was found.
        estimate: of the accuracy, or None.
        live: what was compared.
        time: as text.
        counts: as of `counts_of`.
    """
    means = {
        name: float(np.nanmean(values))
        for name, values in live.numbers.items()
        if measured(name) and np.isfinite(values).any()
    }
    accuracy = None if estimate is None else estimate.live
    pictures = comparison.pictures[1]
    return Window(
        time, comparison.verdict, comparison.chance, pictures, accuracy, means, dict(counts or {})
    )


def bands_of(reference: Observed, pictures: int) -> dict[str, Band]:
    """Measure -> band of the mean of so many pictures.

    Args:
        reference: pictures that are as they should be.
        pictures: of a window, at least one.
    """
    bands = {}
    for name, values in reference.numbers.items():
        known = values[np.isfinite(values)]
        if measured(name) and len(known) > 1:
            # Both means are uncertain: that of the window, and that of the reference.
            error = float(known.std(ddof=1)) * math.sqrt(1 / pictures + 1 / len(known))
            middle = float(known.mean())
            bands[name] = Band(middle - 1.96 * error, middle + 1.96 * error)
    return bands


def read_windows(path: str | Path) -> list[Window]:
    """The windows of a file in their order; none where there is no file.

    Raises:
        ValueError: a line is damaged; names it.
    """
    path = Path(path)
    if not path.is_file():
        return []
    windows = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            windows.append(Window(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"a line of the history must be as monitor wrote it, got {error} [{path}, line "
                f"{number}]; delete the line"
            ) from error
    return windows


def add_window(path: str | Path, window: Window, *, season: int = 1) -> list[Window]:
    """All windows of the file with this one, which is written; whole or not at all.

    The oldest go where there are more than 500, and more than four seasons.

    Args:
        path: of the file.
        window: the newest.
        season: windows after which counts are alike.

    Raises:
        ValueError: a line of the file is damaged.
        RuntimeError: the disk is full.
    """
    windows = [*read_windows(path), window][-max(MOST, _SEASONS * season) :]
    lines = [json.dumps(json_value(asdict(each))) for each in windows]
    write_text(path, "\n".join(lines) + "\n")
    return windows


def window_chart(
    name: str, windows: Sequence[Window], band: Band | None, *, foreseen: Band | None = None
) -> Markup:
    """A measure or count over the windows as inline SVG; "" where no window has it.

    Args:
        name: of the measure or count.
        windows: in their order.
        band: drawn behind all of them.
        foreseen: where the last one should have been, a bar at its place.
    """
    seen = [(k, {**w.counts, **w.means}, w) for k, w in enumerate(windows)]
    points = [(k, values[name], w) for k, values, w in seen if name in values]
    if not points:
        return Markup("")
    ends = [value for _, value, _ in points]
    ends += [end for each in (band, foreseen) if each is not None for end in (each.low, each.high)]
    low, high = min(ends), max(ends)
    room = max(high - low, 1e-9)

    def x(place: int) -> float:
        return 44 + 260 * place / max(len(windows) - 1, 1)

    def y(value: float) -> float:
        return 112 - 100 * (value - low) / room

    line = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value, _ in points)
    usual = ""
    if band is not None:
        usual = (
            f'<rect class="band" x="44" width="260" y="{y(band.high):.1f}" '
            f'height="{y(band.low) - y(band.high):.1f}"/>'
        )
    if foreseen is not None:
        last = x(points[-1][0])
        usual += (
            f'<line class="foreseen" x1="{last:.1f}" x2="{last:.1f}" '
            f'y1="{y(foreseen.high):.1f}" y2="{y(foreseen.low):.1f}"/>'
        )
    dots = "".join(
        f'<circle class="dot" cx="{x(place):.1f}" cy="{y(value):.1f}" r="3">'
        f"<title>{escape(window.time)}: {value:.3g}</title></circle>"
        for place, value, window in points
    )
    return Markup(
        f'<svg class="chart" viewBox="0 0 312 134" role="img">{usual}'
        f'<text class="tick" x="38" y="15" text-anchor="end">{high:.3g}</text>'
        f'<text class="tick" x="38" y="115" text-anchor="end">{low:.3g}</text>'
        f'<polyline class="curve" points="{line}"/>{dots}</svg>'
    )
