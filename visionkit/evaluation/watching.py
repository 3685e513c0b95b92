"""What a training showed while it was watched, as pictures of the report: inline SVG."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

_MOST_LAYERS = 60
_SPARE = 190.0  # pixels for the names of layers
_CELL = 11.0
_WIDTH = 520.0
_HISTOGRAMS = 24


@dataclass(frozen=True)
class Watched:
    """Findings and series of a training, as `findings.json` and `debugger.json` of a run hold them.

    Attributes:
        findings: each as a mapping with rule, what, layer, step, figure, limit, why, override.
        series: keys as of `visionkit.training.debugger.series.series_of`.
    """

    findings: Sequence[Mapping[str, Any]] = ()
    series: Mapping[str, Any] = field(default_factory=dict)


def read_watched(folder: Path) -> Watched | None:
    """What lies in a run's folder, or in the one above it; None where nothing was watched."""
    for place in (folder, folder.parent):
        files = place / "findings.json", place / "debugger.json"
        if all(file.is_file() for file in files):
            findings, series = (json.loads(file.read_text("utf-8")) for file in files)
            return Watched(findings, series)
    return None


def pictures_of(watched: Watched | None) -> list[tuple[str, str, Markup]]:
    """Heading, a sentence and the picture: gradient flow, updates, activations, learning curve.

    Args:
        watched: None gives no pictures; parts of which nothing was seen are left out.
    """
    if watched is None:
        return []
    series = watched.series
    layers, steps = series["layers"], series["steps"]
    drawn = [
        (
            "Gradient flow",
            "Size of each layer's gradient (rows, the first layer on top) in each step looked at.",
            heat_map(layers, steps, series["gradients"]),
        ),
        (
            "Update to weight",
            "What a step changes of each layer's weights, as a part of them; about 1e-3 is usual.",
            heat_map(layers, steps, series["updates"]),
        ),
        (
            "Activations",
            "What layers give in the first look (faint) and in the last, from large negative "
            "values to large positive ones.",
            histograms(series["histograms"]),
        ),
        (
            "Loss and findings",
            "The loss of each step; lines are findings, dots are validations.",
            loss_chart(series["losses"], series["validation"], watched.findings),
        ),
    ]
    return [(name, words, picture) for name, words, picture in drawn if picture]


def heat_map(
    layers: Sequence[str], steps: Sequence[int], values: Sequence[Sequence[float | None]]
) -> Markup:
    """A cell for each of L layers and T steps, stronger for larger values by their logarithm.

    Args:
        layers: (L,) names; beyond 60 they are thinned out evenly.
        steps: (T,).
        values: (L, T) of 0 or more; None is a white cell. Empty gives "".
    """
    every = max(1, -(-len(layers) // _MOST_LAYERS))
    table = _logarithms([values[row] for row in range(0, len(layers), every)])
    if not table.size or not np.isfinite(table).any():
        return Markup("")
    low, high = float(np.nanmin(table)), float(np.nanmax(table))
    width = _WIDTH / len(steps)
    rows = []
    for row, line in enumerate(table):
        name, y = layers[row * every], row * _CELL
        rows.append(
            f'<text class="tick" x="{_SPARE - 5}" y="{y + 9}" text-anchor="end">'
            f"{escape(_end(name, 32))}</text>"
        )
        rows += [
            f'<rect x="{_SPARE + column * width:.1f}" y="{y}" width="{width + 0.2:.1f}" '
            f'height="{_CELL}" fill="currentColor" '
            f'opacity="{0.05 + 0.95 * (value - low) / max(high - low, 1e-9):.2f}">'
            f"<title>{escape(name)}, step {steps[column]}: {10**value:.2g}</title></rect>"
            for column, value in enumerate(line)
            if math.isfinite(value)
        ]
    foot = len(table) * _CELL + 12
    ends = (
        f'<text class="tick" x="{_SPARE}" y="{foot}">step {steps[0]}</text>'
        f'<text class="tick" x="{_SPARE + _WIDTH}" y="{foot}" text-anchor="end">step {steps[-1]}'
        f"; {10**low:.1g} faint to {10**high:.1g} strong</text>"
    )
    return _svg(_SPARE + _WIDTH, foot + 4, "".join(rows) + ends)


def _end(name: str, most: int) -> str:
    """A layer's name, which is told by its end, with a sign where its beginning is cut."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def histograms(counts: Mapping[str, Sequence[Sequence[int]]]) -> Markup:
    """A small histogram a layer: of the first and of the last look.

    Args:
        counts: layer -> two of (B,) counts, of which the first may be empty; beyond 24 layers
            they are thinned out evenly. Empty gives "".
    """
    names = list(counts)[:: max(1, -(-len(counts) // _HISTOGRAMS))]
    parts = []
    for place, name in enumerate(names):
        x, y = 175.0 * (place % 4), 62.0 * (place // 4)
        for one, opacity in zip(counts[name], (0.3, 0.9), strict=True):
            most = max(one, default=0)
            parts += [
                f'<rect x="{x + 3.2 * column:.1f}" y="{y + 40 - 40 * value / most:.1f}" width="3" '
                f'height="{40 * value / most:.1f}" fill="currentColor" opacity="{opacity}"/>'
                for column, value in enumerate(one)
                if value
            ]
        parts.append(f'<text class="tick" x="{x}" y="{y + 52}">{escape(_end(name, 28))}</text>')
    return _svg(700, 62.0 * -(-len(names) // 4), "".join(parts)) if names else Markup("")


def loss_chart(
    losses: Sequence[Sequence[float]],
    validation: Sequence[Sequence[float]],
    findings: Sequence[Mapping[str, Any]],
) -> Markup:
    """The loss over the steps, with a line where each finding begins.

    Args:
        losses: pairs of step and loss; fewer than two give "".
        validation: likewise.
        findings: as of `Watched`.
    """
    if len(losses) < 2:
        return Markup("")
    values = [value for _, value in (*losses, *validation)]
    low, high = min(values), max(values)
    first, last = losses[0][0], max(step for step, _ in (*losses, *validation))

    def x(step: float) -> str:
        return f"{40 + 640 * (step - first) / max(last - first, 1):.1f}"

    def y(value: float) -> str:
        return f"{10 + 140 * (high - value) / max(high - low, 1e-12):.1f}"

    line = " ".join(f"{x(step)},{y(value)}" for step, value in losses)
    parts = [f'<polyline class="curve" points="{line}"/>']
    parts += [f'<circle class="dot" cx="{x(s)}" cy="{y(v)}" r="3"/>' for s, v in validation]
    for row, finding in enumerate(findings):
        place = x(finding["step"])
        parts.append(
            f'<line class="grid" x1="{place}" x2="{place}" y1="10" y2="150"/><text class="tick" '
            f'x="{place}" y="{20 + 11 * (row % 12)}">{escape(finding["rule"])}</text>'
        )
    parts.append(f'<text class="tick" x="36" y="16" text-anchor="end">{high:.3g}</text>')
    parts.append(f'<text class="tick" x="36" y="150" text-anchor="end">{low:.3g}</text>')
    return _svg(690, 160, "".join(parts))


def _logarithms(values: Sequence[Sequence[float | None]]) -> NDArray[np.float64]:
    """(L, T) logarithms to base 10; nan where there is no value, or it is 0."""
    numbers = np.array([[value or np.nan for value in row] for row in values], dtype=np.float64)
    return np.log10(numbers) if numbers.size else numbers


def _svg(width: float, height: float, inside: str) -> Markup:
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img">{inside}</svg>'
    )
