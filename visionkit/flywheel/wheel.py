"""The page of a retraining: the figure by version, what each class gained or lost, the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup, escape

from visionkit.evaluation.page import write_page
from visionkit.flywheel.paired import ClassChange
from visionkit.flywheel.promotion import Verdict

_PAGE = files("visionkit.flywheel") / "wheel_page"
_LEFT, _TOP, _WIDTH, _HEIGHT = 44.0, 12.0, 640.0, 180.0


@dataclass(frozen=True)
class Turn:
    """One model on the frozen test set.

    Attributes:
        version: of the data that it learned from.
        model: its name.
        value: its figure, 0..1.
        low, high: the 95 % interval; nan where it is not known.
        promoted: whether it became the champion.
    """

    version: str
    model: str
    value: float
    low: float
    high: float
    promoted: bool


def write_wheel(
    path: str | Path,
    verdict: Verdict,
    turns: Sequence[Turn],
    *,
    title: str,
    promoted: bool,
    created: str = "",
    config: str = "",
    lineage: Mapping[str, str] | None = None,
) -> Path:
    """Path of the page: one HTML file that loads nothing.

    Args:
        path: where it lies in the end; written whole or not at all.
        verdict: on the newest challenger.
        turns: the models of this frozen test set in their order, the challenger the last.
        title: heading.
        promoted: whether the challenger is in use now.
        created: when, as text.
        config: as text.
        lineage: what the challenger was made of.

    Raises:
        RuntimeError: the disk is full.
    """
    content = {
        "title": title,
        "verdict": verdict,
        "promoted": promoted,
        "turns": list(turns),
        "chart": wheel_chart(turns),
        "changes": _with_strips(verdict.changes),
        "others": [(head, _with_strips(head.changes)) for head in verdict.others],
        "created": created,
        "config": config,
        "lineage": dict(lineage or {}),
        "signed": signed,
    }
    return write_page(path, "wheel.html.jinja", content, own=_PAGE)


def wheel_chart(turns: Sequence[Turn]) -> Markup:
    """The figure by model as inline SVG: the champions joined by a line, others hollow."""
    known = [turn for turn in turns if math.isfinite(turn.value)]
    if not known:
        return Markup("")
    ends = [each for turn in known for each in (turn.value, turn.low, turn.high)]
    finite = [each for each in ends if math.isfinite(each)]
    low, high = max(min(finite) - 0.02, 0.0), min(max(finite) + 0.02, 1.0)
    step = _WIDTH / len(known)

    def x(place: int) -> float:
        return _LEFT + step * (place + 0.5)

    def y(value: float) -> float:
        return _TOP + _HEIGHT * (1 - (value - low) / max(high - low, 1e-9))

    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text class="tick" x="{_LEFT - 6}" y="{y(v):.1f}" dy="3" text-anchor="end">{v:.2f}</text>'
        for v in (low, (low + high) / 2, high)
    )
    line = " ".join(
        f"{x(place):.1f},{y(turn.value):.1f}" for place, turn in enumerate(known) if turn.promoted
    )
    marks = "".join(_mark(turn, x(place), y) for place, turn in enumerate(known))
    return Markup(
        f'<svg class="chart" viewBox="0 0 {_LEFT + _WIDTH + 8:.0f} {_TOP + _HEIGHT + 26:.0f}" '
        f'role="img" aria-label="The figure by version">{grid}'
        f'<polyline class="curve" points="{line}"/>{marks}</svg>'
    )


def _mark(turn: Turn, x: float, at: Callable[[float], float]) -> str:
    """The point of a model with its interval; `at` tells the height of a value."""
    bar = ""
    if math.isfinite(turn.low) and math.isfinite(turn.high):
        bar = (
            f'<line class="span" x1="{x:.1f}" x2="{x:.1f}" y1="{at(turn.low):.1f}" '
            f'y2="{at(turn.high):.1f}"/>'
        )
    kind = "dot champion" if turn.promoted else "dot"
    words = escape(f"{turn.version} {turn.model}: {turn.value:.3f}")
    return (
        f"{bar}<g><title>{words}</title>"
        f'<circle class="{kind}" cx="{x:.1f}" cy="{at(turn.value):.1f}" r="5"/></g>'
        f'<text class="tick" x="{x:.1f}" y="{_TOP + _HEIGHT + 18:.1f}" text-anchor="middle">'
        f"{escape(turn.version)}</text>"
    )


def _with_strips(changes: Sequence[ClassChange]) -> list[tuple[ClassChange, Markup]]:
    return [(one, _strip(one.change, one.interval.low, one.interval.high)) for one in changes]


def _strip(change: float, low: float, high: float) -> Markup:
    """A change of -1..1 with its interval, 0 in the middle."""
    if not all(math.isfinite(each) for each in (change, low, high)):
        return Markup("")

    def x(value: float) -> str:
        return f"{60 + 58 * min(max(value, -1.0), 1.0):.1f}"

    kind = "wrong" if high < 0 else "right" if low > 0 else "open"
    return Markup(
        '<svg class="change" viewBox="0 0 120 14" role="img">'
        '<line class="grid" x1="60" x2="60" y1="0" y2="14"/>'
        f'<line class="span {kind}" x1="{x(low)}" x2="{x(high)}" y1="7" y2="7"/>'
        f'<circle class="{kind}" cx="{x(change)}" cy="7" r="3.5"/></svg>'
    )


def signed(value: float) -> str:
    """A change with its sign; a dash where it is not known.

    >>> signed(0.1), signed(-0.25), signed(float("nan"))
    ('+0.10', '-0.25', '–')
    """
    return f"{value:+.2f}" if math.isfinite(value) else "–"
