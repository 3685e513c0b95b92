"""A comparison in Prometheus' text format, for the textfile collector of its node exporter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from visionkit.monitoring.accuracy import Estimate
from visionkit.monitoring.comparison import Comparison
from visionkit.monitoring.counts import Foreseen

_LEVELS = {"fine": 0, "watch": 1, "act": 2}


def prometheus_text(
    comparison: Comparison,
    estimate: Estimate | None,
    *,
    bundle: str,
    seconds: float,
    foreseen: Sequence[Foreseen] = (),
) -> str:
    """Gauges, each with its help and type; the text ends with a line feed.

    Args:
        comparison: what was found.
        estimate: of the accuracy, or None.
        bundle: name of the bundle, a label of every gauge.
        seconds: when, since 1970.
        foreseen: counts and what they should have been.
    """
    own = f'bundle="{_escaped(bundle)}"'
    tests = [(f'{own},measure="{_escaped(test.name)}"', test) for test in comparison.tests]
    lines = [
        *_gauge("verdict", "0 fine, 1 watch, 2 act", [(own, _LEVELS[comparison.verdict])]),
        *_gauge("chance", "Chance of the most striking change", [(own, comparison.chance)]),
        *_gauge("pictures", "Live pictures that were compared", [(own, comparison.pictures[1])]),
        *_gauge("effect", "Effect of each measure, 0 to 1", [(at, t.effect) for at, t in tests]),
        *_gauge(
            "corrected_chance",
            "Chance of each measure, corrected for all",
            [(at, test.corrected) for at, test in tests],
        ),
        *_gauge("last_run_seconds", "When this was written, since 1970", [(own, seconds)]),
    ]
    if estimate is not None:
        lines += _gauge("estimated_accuracy", "Without labels, 0 to 1", [(own, estimate.live)])
    if foreseen:
        counts = [(f'{own},count="{_escaped(one.name)}"', one) for one in foreseen]
        lines += _gauge("count", "Finds a picture, or share", [(at, c.value) for at, c in counts])
        lines += _gauge(
            "count_off",
            "1 where a count is far off its forecast",
            [(at, c.is_off) for at, c in counts],
        )
    return "\n".join(lines) + "\n"


def _gauge(name: str, words: str, values: Iterable[tuple[str, float]]) -> list[str]:
    full = f"visionkit_drift_{name}"
    lines = [f"{full}{{{labels}}} {value:.10g}" for labels, value in values]
    return [f"# HELP {full} {words}", f"# TYPE {full} gauge", *lines]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
