"""The starter weights against their bars, beside an untrained network, MobileNetV2 and SIFT.

    python benchmarks/starter.py --check
    python benchmarks/starter.py --only hymenoptera marks --weights candidate.safetensors

Features are frozen everywhere; classes are told by logistic regression on them (probe.py).
Rows are appended to benchmarks/results/starter.csv.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import marks
import torch
from baselines import sift_baseline
from finding import BACKGROUNDS, exemplar_scenes, measure, mobilenetv2, new_finder, train
from labelled import LABELLED
from ledger import Ledger
from overlap import overlaps
from probe import features_of, probe
from sets import SETS, photos

from visionkit.models.backbone import Backbone, build_backbone
from visionkit.models.weights import starter_card

RESULTS = Path(__file__).parent / "results" / "starter.csv"
STARTER, UNTRAINED, PEER = "starter", "untrained", "MobileNetV2"
CLASS_BARS = {"tiny_imagenet": (0.35, 0.55), "hymenoptera": (0.85, 0.95)}
GROCERY_PART = 0.80
FIND_BARS = {"fridge": (0.50, 0.85), "marks": (0.70, 0.90)}
OVERLAP = "overlap"
ABOVE = 0.001
"""What counts as above: one in the last digit that is printed."""


def main() -> int:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    ledger = Ledger(RESULTS)
    labels = [STARTER] if arguments.no_peers else [STARTER, UNTRAINED, PEER]
    for name in arguments.only:
        print(f"\n{name}")
        if name == OVERLAP:
            _overlap(ledger)
        elif name in LABELLED:
            _classify(name, labels, arguments.weights, ledger)
        else:
            _find(name, labels, arguments, ledger)
    if ledger.short:
        print("\nshort:", *ledger.short, sep="\n  ")
    return 1 if arguments.check and ledger.short else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [OVERLAP, *LABELLED, "flickrlogos27", "fridge", "marks"]
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar falls short")
    parser.add_argument("--only", nargs="+", default=names, choices=names, help="what to measure")
    parser.add_argument("--weights", type=Path, help="another starter file; else the shipped one")
    parser.add_argument("--every", type=int, default=1, help="take every nth scene only")
    parser.add_argument("--no-peers", action="store_true", help="measure the starter alone")
    parser.add_argument("--no-trained", action="store_true", help="leave out task=exemplar")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    return parser.parse_args()


def network(label: str, weights: Path | None, stride: int) -> Backbone:
    """A frozen backbone that stops at the map of this stride."""
    card = starter_card()
    build = partial(build_backbone, strides=(stride,), pool_stride=stride)
    if label == PEER:
        backbone = mobilenetv2((stride,))
    elif label == UNTRAINED:
        torch.manual_seed(0)
        backbone = build(weights="random", mean=card.mean, std=card.std)
    elif weights is not None:
        backbone = build(weights="file", file=weights, mean=card.mean, std=card.std)
    else:
        backbone = build()
    return backbone.freeze().eval().to(memory_format=torch.channels_last)


def _overlap(ledger: Ledger) -> None:
    """How many test pictures were learned from; none may be."""
    for name, count, learned in overlaps():
        ledger.add(f"{name}: test pictures learned from", learned, at_most=0, note=f"of {count}")


def _classify(name: str, labels: Sequence[str], weights: Path | None, ledger: Ledger) -> None:
    given = LABELLED[name]()
    learned, tested = given.squares(given.train), given.squares(given.test)
    found = {}
    for label in labels:
        backbone = network(label, weights, 32)
        train = (features_of(backbone, learned), given.train.labels)
        result = probe(train, (features_of(backbone, tested), given.test.labels))
        found[label] = result.accuracy
        bar, goal = CLASS_BARS.get(name, (None, None)) if label == STARTER else (None, None)
        note = f"{given.side} px, penalty {result.decay:g}"
        ledger.add(f"{name} {label}: top-1", result.accuracy, at_least=bar, goal=goal, note=note)
    if name == "grocery" and PEER in found:
        part = found[STARTER] / found[PEER]
        ledger.add(f"{name}: part of {PEER}'s", part, at_least=GROCERY_PART, goal=1.0)


def _find(name: str, labels: Sequence[str], arguments: argparse.Namespace, ledger: Ledger) -> None:
    if name == "marks":
        views, scenes, own = marks.views(), marks.scenes(), ()
        backgrounds = list(marks.held_out()[1::2][:BACKGROUNDS])
    else:
        given = SETS[name]()
        own = given.exemplars
        views, scenes, backgrounds = given.views, given.scenes, photos(BACKGROUNDS)
    scenes = scenes[:: arguments.every if len(scenes) > 20 else 1]
    baseline = None
    for label in labels:
        finder = new_finder(network(label, arguments.weights, 16), backgrounds)
        finder.add(views)
        items = finder.item_names
        if baseline is None and not arguments.no_peers:
            baseline = measure(sift_baseline(views, items), scenes, items).metrics.ap50
            ledger.add(f"{name} SIFT + MAGSAC: AP50", baseline)
        untrained = measure(finder.find, scenes, items).metrics.ap50
        bar, goal = FIND_BARS.get(name, (None, None)) if label == STARTER else (None, None)
        ledger.add(f"{name} {label}: no training, AP50", untrained, at_least=bar, goal=goal)
        if label != STARTER:
            continue
        if name == "flickrlogos27" and baseline is not None:
            lead = untrained - baseline
            ledger.add(f"{name} {label}: AP50 above SIFT + MAGSAC", lead, at_least=ABOVE)
        if not arguments.no_trained:
            train(finder, photos(2 * BACKGROUNDS)[BACKGROUNDS:], exemplar_scenes(finder, own))
            trained = measure(finder.find, scenes, items).metrics.ap50
            ledger.add(f"{name} {label}: trained, AP50", trained)
            gain = trained - untrained
            ledger.add(f"{name} {label}: AP50 gained by training", gain, at_least=ABOVE)


if __name__ == "__main__":
    sys.exit(main())
