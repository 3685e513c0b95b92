"""What was seen, as plain numbers for the pictures of a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from visionkit.training.debugger.flow import EDGES
from visionkit.training.debugger.history import History

SERIES_NAME = "debugger.json"
"""Name of the file in the folder of a run."""
_MOST_LOOKS = 120
_MOST_LOSSES = 600


def series_of(history: History) -> dict[str, Any]:
    """What `write_json` takes: steps, layers, and a number a layer and step; null is unknown.

    Keys: "steps" (T,), "layers" (L,) names of the matrices that learn, "gradients" (L, T) root mean
    squares, "updates" (L, T) steps as a part of the weights, "losses" and "validation" pairs of
    step and loss, "edges" (B + 1,) and "histograms": layer -> the first and the last (B,) counts.
    """
    looks = [look for look in history.looks if look.gradients]
    looks = looks[:: max(1, -(-len(looks) // _MOST_LOOKS))]
    layers = list(history.fan_in)
    seen = [look.flow.counts for look in history.looks if look.flow.counts]
    names = list(seen[-1]) if seen else []
    losses = history.losses[:: max(1, -(-len(history.losses) // _MOST_LOSSES))]
    return {
        "steps": [look.step for look in looks],
        "layers": layers,
        "gradients": [[_plain(look.gradients.get(name)) for look in looks] for name in layers],
        "updates": [
            [_part(look.updates.get(name), look.weights.get(name)) for look in looks]
            for name in layers
        ],
        "losses": [list(pair) for pair in losses],
        "validation": [list(pair) for pair in history.validation],
        "edges": EDGES.tolist(),
        "histograms": {
            name: [_counts(seen[0].get(name)), _counts(seen[-1][name])] for name in names
        },
    }


def _plain(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _part(update: float | None, weight: float | None) -> float | None:
    return _plain(update / weight) if update is not None and weight else None


def _counts(counts: Any) -> Sequence[int]:
    return [] if counts is None else [int(count) for count in counts]
