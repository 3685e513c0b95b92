"""Drift of embeddings against Evidently's, on the same draws and at equal false alarms."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ledger import Ledger
from numpy.typing import NDArray

from visionkit.monitoring.comparison import ComparisonSettings, compare
from visionkit.monitoring.observed import Observed, joined

SCRIPT = Path(__file__).parent / "peers" / "evidently_drift.py"
Draw = Callable[[np.random.Generator], tuple[Observed, Observed]]


def against_evidently(
    ledger: Ledger,
    unchanged: Draw,
    shifts: Mapping[str, Draw],
    settings: ComparisonSettings,
    python: str,
    *,
    draws: int,
    live: int,
) -> None:
    """Share of the draws of each shift that both find, of the embeddings alone.

    Evidently's limits, one of each method, are set so that it gives as many false alarms in the
    draws without a change as visionkit does there.

    Args:
        ledger: takes the figures.
        unchanged: draws (reference, live) without a change; at least twice `draws` are made.
        shifts: name -> draws with one.
        settings: of visionkit's comparison.
        python: of an environment that has evidently.
        draws: of each shift.
        live: pictures of a draw: so few that not everything is found.
    """
    none = _made(unchanged, 2 * draws, live)
    alarms = round(2 * draws * _own(none, settings))
    theirs = {name: np.sort(scores)[::-1] for name, scores in _peer(none, python).items()}
    limits = {name: scores[alarms] for name, scores in theirs.items()}
    note = f"{draws} draws of {live} pictures, {alarms} false alarms in {2 * draws}"
    leads: dict[str, list[float]] = {name: [] for name in limits}
    for shift, draw in shifts.items():
        made = _made(draw, draws, live)
        own = _own(made, settings)
        ledger.add(f"embeddings alone, found: {shift}", own, note=note)
        for name, scores in _peer(made, python).items():
            found = float((scores > limits[name]).mean())
            ledger.add(f"embeddings alone, found by Evidently's {name}: {shift}", found)
            leads[name].append(own - found)
    for name, lead in leads.items():
        ledger.add(
            f"embeddings alone, found more than by Evidently's {name}",
            float(np.mean(lead)),
            at_least=0.0,
            note="mean over the shifts",
        )


def _made(draw: Draw, count: int, live: int) -> list[tuple[Observed, Observed]]:
    rng = np.random.default_rng(6)
    made = (draw(rng) for _ in range(count))
    return [(_bare(usual), _bare(each.take(range(live)))) for usual, each in made]


def _bare(observed: Observed) -> Observed:
    """The embeddings alone."""
    return replace(observed, numbers={}, kinds={})


def _own(made: list[tuple[Observed, Observed]], settings: ComparisonSettings) -> float:
    return float(np.mean([compare(*pair, settings).verdict != "fine" for pair in made]))


def _peer(made: list[tuple[Observed, Observed]], python: str) -> dict[str, NDArray[np.float64]]:
    """Method -> score of each draw."""
    rows: dict[str, int] = {}
    vectors = []
    for pair in made:
        both = joined(pair)
        for name, vector in zip(both.names, both.embeddings, strict=True):
            if name not in rows:
                rows[name] = len(rows)
                vectors.append(vector)
    usual, live = (
        np.array([[rows[name] for name in pair[side].names] for pair in made]) for side in (0, 1)
    )
    with TemporaryDirectory() as folder:
        file = Path(folder) / "draws.npz"
        np.savez(file, pool=np.stack(vectors), usual=usual, live=live)
        said = subprocess.run(
            [python, str(SCRIPT), str(file)], check=True, capture_output=True, text=True
        )
    scores = json.loads(said.stdout.splitlines()[-1])
    return {name: np.array(values) for name, values in scores.items()}
