"""What a localization head gains by boxes that it is sure of where nobody has drawn any.

    python benchmarks/guessed_boxes.py
    python benchmarks/guessed_boxes.py --only raccoon --draws 1 --steps 1200

Of the training pictures of a real set every fourth is held back, a few of the others are labelled,
and the rest are there without a label. The head learns from the labelled ones, and goes on with
what it is sure of in the rest, as `data.unlabelled` of `visionkit train` has it. It is compared, on
the pictures that were held back and by COCO's AP, with one that learns from the labelled ones for
as many steps in all. Test pictures are not looked at. Rows are appended to
benchmarks/results/guessed_boxes.csv; there is no bar.

What this does not show: what such boxes bring where many pictures are labelled.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from box_sets import BOX_SETS, BoxSet
from ledger import Ledger
from located_learner import new_network
from side_by_side import side_by_side

from visionkit.data.framing import Framing
from visionkit.training.boxed import frame_size
from visionkit.training.localization import fit_localization
from visionkit.training.localization_course import LocalizationFit
from visionkit.training.localization_settings import LocalizationSettings
from visionkit.types import Sample

RESULTS = Path(__file__).parent / "results" / "guessed_boxes.csv"
LABELLED = {"bccd": 29, "raccoon": 20, "tomato": 10}
_BATCH, _SIDE = 4, 416


@dataclass(frozen=True)
class _Try:
    """One draw of the labelled pictures of a set."""

    name: str
    draw: int
    steps: int


@dataclass(frozen=True)
class _Result:
    """AP before any box was guessed, with guessed ones, and without them after as many steps."""

    ap_before: float
    ap_with: float
    ap_alone: float
    boxes: int


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    ledger = Ledger(RESULTS)
    tries = [
        _Try(name, draw, arguments.steps)
        for name in arguments.only
        for draw in range(arguments.draws)
    ]
    with side_by_side(arguments.jobs, arguments.threads) as processes:
        done = zip(tries, processes.map(_learned, tries), strict=True)
        for name, pairs in groupby(done, key=lambda pair: pair[0].name):
            results = [result for _, result in pairs]
            gains = [one.ap_with - one.ap_alone for one in results]
            told = "; ".join(
                f"{one.ap_before:.3f}, with {one.boxes} boxes {one.ap_with:.3f}, "
                f"without them {one.ap_alone:.3f}"
                for one in results
            )
            ledger.add(
                f"{name}, {LABELLED[name]} pictures labelled: AP gained",
                mean(gains),
                interval=(min(gains), max(gains)),
                note=f"{told}; range of the draws",
            )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = list(LABELLED)
    parser.add_argument("--only", nargs="+", default=names, choices=names, help="which sets")
    parser.add_argument("--draws", type=int, default=2, help="of the labelled pictures of a set")
    parser.add_argument("--steps", type=int, default=500, help="before boxes are guessed")
    parser.add_argument("--threads", type=int, default=1, help="of torch, in each process")
    parser.add_argument("--jobs", type=int, default=2, help="trainings that run side by side")
    return parser.parse_args()


def _learned(tried: _Try) -> _Result:
    given = BOX_SETS[tried.name]().held_out()
    order = np.random.default_rng(tried.draw).permutation(len(given.train))
    shuffled = [given.train[number] for number in order]
    labelled, others = shuffled[: LABELLED[tried.name]], shuffled[LABELLED[tried.name] :]
    with_others = _fit(given, labelled, others, steps=tried.steps)
    alone = _fit(given, labelled, [], steps=with_others.steps)
    return _Result(
        with_others.ap_without, with_others.ap_with, alone.best_ap, with_others.guesses.boxes
    )


def _fit(
    given: BoxSet, labelled: Sequence[Sample], others: Sequence[Sample], *, steps: int
) -> LocalizationFit:
    backbone, head = new_network(len(given.class_names))
    backbone.free()
    settings = LocalizationSettings(
        max_epochs=round(steps / (len(labelled) // _BATCH)),
        batch_size=_BATCH,
        average=0.98,
        validations=1,  # the last weights: none are chosen by what measures them
        accelerator="auto",
        progress=False,
    )
    with tempfile.TemporaryDirectory() as scratch:
        return fit_localization(
            backbone,
            head,
            labelled,
            given.test,
            given.class_names,
            Framing(frame_size(given.train, _SIDE), "letterbox"),
            Path(scratch),
            settings,
            unlabelled=[replace(sample, objects=()) for sample in others],
        )


if __name__ == "__main__":
    main()
