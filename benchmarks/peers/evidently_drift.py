"""Evidently's drift of embeddings on given draws; run in an environment that has evidently.

    python evidently_drift.py draws.npz

The file holds `pool`, (N, D) embeddings, and for each draw its rows in it: `usual`, (draws, R), and
`live`, (draws, L). Printed is a JSON object: method -> score of each draw, higher is more drift.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
from evidently.legacy.metrics.data_drift.embedding_drift_methods import distance, mmd, model, ratio

METHODS = {"model": model(), "distance": distance(), "mmd": mmd(), "ratio": ratio()}
"""As they come."""


def main() -> None:
    with np.load(sys.argv[1]) as given:
        pool, usual, live = given["pool"], given["usual"], given["live"]
    names = [f"e{number}" for number in range(pool.shape[1])]
    scores: dict[str, list[float]] = {name: [] for name in METHODS}
    for own, others in zip(usual, live, strict=True):
        for name, method in METHODS.items():
            reference = pd.DataFrame(pool[own], columns=names)
            current = pd.DataFrame(pool[others], columns=names)
            scores[name].append(float(method(current, reference)[0]))
    print(json.dumps(scores))


if __name__ == "__main__":
    main()
