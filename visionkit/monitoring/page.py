"""The page of a comparison: the verdict, what changed, and the pictures that carry it."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from markupsafe import Markup, escape

from visionkit.evaluation.outcomes import FloatArray
from visionkit.evaluation.page import write_page
from visionkit.monitoring.accuracy import Estimate
from visionkit.monitoring.comparison import Comparison, Test
from visionkit.monitoring.counts import Foreseen
from visionkit.monitoring.observed import Observed
from visionkit.monitoring.windows import Band, Window, bands_of, window_chart

_PAGE = files("visionkit.monitoring") / "drift_page"
_BINS, _KINDS, _CHARTS = 24, 8, 12
_LEADS = {
    "fine": "Fine: nothing has changed that these pictures can show.",
    "watch": "Watch: something has changed, and not by much.",
    "act": "Act: live pictures are unlike those of the training.",
}


@dataclass(frozen=True)
class Carrier:
    """A live picture that carries the change.

    Attributes:
        name: of the picture.
        score: of `shift_scores`.
        words: why, a sentence.
    """

    name: str
    score: float
    words: str


@dataclass(frozen=True)
class DriftPage:
    """What the page shows.

    Attributes:
        comparison: what was found.
        estimate: of the accuracy, or None.
        carriers: the pictures that carry the change, the strongest first.
        reference, live: what was compared, for the charts.
        shown: name of a live picture -> small JPEG.
        typical: name of a picture of the reference -> small JPEG.
        bundle, source: where they lie.
        reference_words: what the pictures of the reference are.
        created: when, as text.
        windows: earlier comparisons and this one, where a history is kept.
        foreseen: counts and what they should have been, those far off first.
    """

    comparison: Comparison
    estimate: Estimate | None
    carriers: Sequence[Carrier]
    reference: Observed
    live: Observed
    shown: Mapping[str, bytes]
    typical: Mapping[str, bytes]
    bundle: str = ""
    source: str = ""
    reference_words: str = ""
    created: str = ""
    windows: Sequence[Window] = ()
    foreseen: Sequence[Foreseen] = ()


def write_drift_page(path: str | Path, page: DriftPage) -> Path:
    """Path of the page: one HTML file that loads nothing.

    Raises:
        RuntimeError: the disk is full.
    """
    comparison = page.comparison
    striking = [*comparison.findings, *comparison.tests]
    names = list(dict.fromkeys(_column(test) for test in striking))
    charts = [(name, chart) for name in names if (chart := _chart(name, page))]
    content = {
        "page": page,
        "comparison": comparison,
        "lead": _LEADS[comparison.verdict],
        "largest": max((test.effect for test in comparison.findings), default=0.0),
        "charts": charts[:_CHARTS],
        "over_time": _over_time(names, page),
        "counts": _counts(page),
        "carriers": [(one, _uri(page.shown.get(one.name, b""))) for one in page.carriers],
        "typical": [(name, _uri(small)) for name, small in page.typical.items()],
    }
    return write_page(path, "drift.html.jinja", content, own=_PAGE)


def _over_time(names: Sequence[str], page: DriftPage) -> list[tuple[str, Markup]]:
    """Measures over the windows, in the order given."""
    bands = bands_of(page.reference, max(page.comparison.pictures[1], 1))
    charts = [(name, window_chart(name, page.windows, bands.get(name))) for name in names]
    return [(name, chart) for name, chart in charts if chart][:_CHARTS]


def _counts(page: DriftPage) -> list[tuple[str, Markup]]:
    """Counts over the windows, each with a bar where the last one should have been."""
    return [
        (
            one.name,
            window_chart(
                one.name, page.windows, None, foreseen=Band(one.forecast.low, one.forecast.high)
            ),
        )
        for one in page.foreseen[:_CHARTS]
    ]


def _column(test: Test) -> str:
    """The measure that a test is of: two tests may be of one."""
    return test.name.removesuffix(".shares").removesuffix(".one")


def _chart(name: str, page: DriftPage) -> Markup:
    if name in page.live.numbers:
        return histogram_pair(page.reference.numbers[name], page.live.numbers[name])
    if name in page.live.kinds:
        return share_bars(page.reference.kinds[name], page.live.kinds[name])
    return Markup("")


def histogram_pair(usual: FloatArray, live: FloatArray) -> Markup:
    """Shares by value as inline SVG: live ones as bars up, the reference's as bars down."""
    usual, live = usual[np.isfinite(usual)], live[np.isfinite(live)]
    if not len(usual) or not len(live):
        return Markup("")
    both = np.concatenate([usual, live])
    low, high = float(both.min()), float(both.max())
    if high <= low:
        low, high = low - 0.5, high + 0.5
    up, down = (np.histogram(v, _BINS, (low, high))[0] / len(v) for v in (live, usual))
    tallest = max(float(up.max()), float(down.max()))
    step = 300 / _BINS
    bars = "".join(
        f'<rect class="live" x="{6 + k * step:.1f}" y="{60 - 50 * u / tallest:.1f}" '
        f'width="{step - 1:.1f}" height="{50 * u / tallest:.1f}"/>'
        f'<rect class="usual" x="{6 + k * step:.1f}" y="60" '
        f'width="{step - 1:.1f}" height="{50 * d / tallest:.1f}"/>'
        for k, (u, d) in enumerate(zip(up.tolist(), down.tolist(), strict=True))
    )
    return Markup(
        '<svg class="chart" viewBox="0 0 312 134" role="img" aria-label="live above, the '
        f'reference below">{bars}<line class="grid" x1="6" x2="306" y1="60" y2="60"/>'
        f'<text class="tick" x="6" y="126">{low:.3g}</text>'
        f'<text class="tick" x="306" y="126" text-anchor="end">{high:.3g}</text></svg>'
    )


def share_bars(usual: Sequence[str], live: Sequence[str]) -> Markup:
    """Shares of the kinds that moved most as inline SVG, live above those of the reference."""
    was, now = (Counter(word for word in words if word) for words in (usual, live))
    totals = max(sum(was.values()), 1), max(sum(now.values()), 1)
    shares = {kind: (was[kind] / totals[0], now[kind] / totals[1]) for kind in {*was, *now}}
    moved = sorted(shares, key=lambda kind: (-abs(shares[kind][1] - shares[kind][0]), kind))
    moved = moved[:_KINDS]
    tallest = max((max(shares[kind]) for kind in moved), default=0.0)
    if tallest <= 0:
        return Markup("")
    rows = "".join(
        f'<text class="tick" x="104" y="{14 + 20 * row}" text-anchor="end">{escape(kind[:18])}'
        f'</text><rect class="live" x="110" y="{6 + 20 * row}" height="6" '
        f'width="{190 * shares[kind][1] / tallest:.1f}"/>'
        f'<rect class="usual" x="110" y="{13 + 20 * row}" height="6" '
        f'width="{190 * shares[kind][0] / tallest:.1f}"/>'
        for row, kind in enumerate(moved)
    )
    return Markup(
        f'<svg class="chart" viewBox="0 0 312 {12 + 20 * len(moved)}" role="img">{rows}</svg>'
    )


def _uri(small: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(small).decode("ascii") if small else ""
