"""Charts of the report as inline SVG; colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from visionkit.evaluation.metrics import BoxMetrics, ClassMetrics
from visionkit.evaluation.outcomes import BoolArray, FloatArray

_BINS = 48


@dataclass(frozen=True)
class LearningCurve:
    """One figure over the epochs of a training, for instance "training loss".

    Attributes:
        name: what is drawn.
        epochs: (K,) in rising order.
        values: (K,) values that are not finite break the line.
    """

    name: str
    epochs: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True)
class ScoreAxis:
    """The range of scores that all threshold charts share."""

    low: float
    high: float

    def share(self, score: float) -> float:
        """Where the score lies, 0..1; outside it lies at the end."""
        return min(max((score - self.low) / (self.high - self.low), 0.0), 1.0)


def precision_recall_chart(one: ClassMetrics) -> Markup:
    """Precision over recall as the threshold falls, with a dot at the threshold in use."""
    left, top, width, height = 26.0, 6.0, 186.0, 110.0

    def x(recall: float) -> str:
        return f"{left + width * recall:.1f}"

    def y(precision: float) -> str:
        return f"{top + height * (1 - precision):.1f}"

    grid = "".join(
        f'<line class="grid" x1="{x(0)}" x2="{x(1)}" y1="{y(level)}" y2="{y(level)}"/>'
        f'<text class="tick" x="{left - 5}" y="{y(level)}" dy="3" text-anchor="end">'
        f"{level:g}</text>"
        for level in (0.0, 0.5, 1.0)
    )
    ticks = "".join(
        f'<text class="tick" x="{x(level)}" y="{top + height + 13}" text-anchor="middle">'
        f"{level:g}</text>"
        for level in (0.0, 0.5, 1.0)
    )
    points = list(zip(one.curve.recall, one.curve.precision, strict=True))
    line = ""
    if points and one.truths:
        path = " ".join(f"{x(recall)},{y(precision)}" for recall, precision in points)
        line = f'<polyline class="curve" points="{x(0)},{y(points[0][1])} {path}"/>'
    dot = ""
    if math.isfinite(one.precision) and math.isfinite(one.recall):
        dot = f'<circle class="dot" cx="{x(one.recall)}" cy="{y(one.precision)}" r="4"/>'
    return Markup(
        f'<svg class="chart" viewBox="0 0 220 134" role="img">{grid}{ticks}{line}{dot}</svg>'
    )


def score_axis(metrics: BoxMetrics) -> ScoreAxis:
    """The range of all scores and of the thresholds that are finite; 0..1 where there is none."""
    thresholds = [one.threshold for one in metrics.per_class if math.isfinite(one.threshold)]
    scores = np.concatenate([metrics.outcomes.score, np.asarray(thresholds, dtype=np.float64)])
    if len(scores) == 0 or scores.max() <= scores.min():
        return ScoreAxis(0.0, 1.0)
    return ScoreAxis(float(scores.min()), float(scores.max()))


def threshold_chart(metrics: BoxMetrics, class_id: int, axis: ScoreAxis) -> Markup:
    """How the scores of an item's right finds (up) and wrong finds (down) lie to its threshold."""
    own = metrics.outcomes.class_id == class_id
    right = own & metrics.outcomes.is_true
    bars = _bars(metrics.outcomes.score, right, axis, up=True)
    bars += _bars(metrics.outcomes.score, own & ~right, axis, up=False)
    one = metrics.per_class[class_id]
    marks = _mark(one.assumed_threshold, "assumed", axis) + _mark(one.threshold, "threshold", axis)
    return Markup(
        '<svg class="strip" viewBox="0 0 480 44" preserveAspectRatio="none" role="img">'
        f'<line class="grid" x1="0" x2="480" y1="22" y2="22"/>{bars}{marks}</svg>'
    )


def learning_chart(curve: LearningCurve) -> Markup:
    """The figure over the epochs, with its range on the left and the last epoch on the right."""
    epochs = np.asarray(curve.epochs, dtype=np.float64)
    values = np.asarray(curve.values, dtype=np.float64)
    epochs, values = epochs[np.isfinite(values)], values[np.isfinite(values)]
    if len(values) == 0:
        return Markup("")
    low, high = float(values.min()), float(values.max())
    first, last = float(epochs.min()), float(epochs.max())
    x = 44 + 260 * (epochs - first) / max(last - first, 1e-9)
    y = 112 - 100 * (values - low) / max(high - low, 1e-9)
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py in zip(x, y, strict=True))
    return Markup(
        '<svg class="chart" viewBox="0 0 312 134" role="img">'
        '<line class="grid" x1="44" x2="304" y1="112" y2="112"/>'
        f'<text class="tick" x="38" y="15" text-anchor="end">{high:.3g}</text>'
        f'<text class="tick" x="38" y="115" text-anchor="end">{low:.3g}</text>'
        f'<text class="tick" x="44" y="128">epoch {first:g}</text>'
        f'<text class="tick" x="304" y="128" text-anchor="end">{last:g}</text>'
        f'<polyline class="curve" points="{path}"/>'
        f'<circle class="dot" cx="{x[-1]:.1f}" cy="{y[-1]:.1f}" r="3.5"/></svg>'
    )


def _bars(scores: FloatArray, chosen: BoolArray, axis: ScoreAxis, *, up: bool) -> str:
    """Bars of a histogram; their height is the root of the count, so that single finds show."""
    counts, _ = np.histogram(scores[chosen], bins=_BINS, range=(axis.low, axis.high))
    if counts.max(initial=0) == 0:
        return ""
    heights = 20 * np.sqrt(counts / counts.max())
    step = 480 / _BINS
    return "".join(
        f'<rect class="{"right" if up else "wrong"}" x="{index * step + 0.5:.1f}" '
        f'y="{22 - height if up else 22:.1f}" width="{step - 1:.1f}" height="{height:.1f}"/>'
        for index, height in enumerate(heights)
        if height
    )


def _mark(score: float, kind: str, axis: ScoreAxis) -> str:
    if not math.isfinite(score):
        return ""
    x = 480 * axis.share(score)
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="1" y2="43"/>'
