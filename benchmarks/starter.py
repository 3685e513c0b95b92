"""The starter weights against their bars, beside an untrained network, MobileNetV2 and SIFT.

"starter int8" is the same backbone with weights and activations of eight bits (int8.py); what is
computed from its features stays in float.

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

import cv2
import marks
import numpy as np
import torch
from baselines import sift_baseline
from finding import BACKGROUNDS, exemplar_scenes, measure, mobilenetv2, new_finder, train
from int8 import calibration_photos, quantised
from labelled import LABELLED, square
from ledger import Ledger
from overlap import overlaps
from probe import features_of, probe
from sets import SETS, photos

from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.models.weights import starter_card
from visionkit.types import Image

RESULTS = Path(__file__).parent / "results" / "starter.csv"
STARTER, INT8, UNTRAINED, PEER = "starter", "starter int8", "untrained", "MobileNetV2"
CLASS_BARS = {"tiny_imagenet": (0.35, 0.55), "hymenoptera": (0.85, 0.95)}
GROCERY_PART = 0.80
FIND_BARS = {"fridge": (0.50, 0.85), "marks": (0.70, 0.90)}
OVERLAP = "overlap"
ABOVE = 0.001
"""What counts as above: one in the last digit that is printed."""
INT8_LOSS = 0.01
"""What eight bits may cost."""
SCALES = (1.5, 0.75, 0.375)
"""What a finder sees a photo of usual size at; eight bits are calibrated on these."""


def main() -> int:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    ledger = Ledger(RESULTS)
    labels = [STARTER] if arguments.no_int8 else [STARTER, INT8]
    labels += [] if arguments.no_peers else [UNTRAINED, PEER]
    for name in arguments.only:
        print(f"\n{name}")
        if name == OVERLAP:
            _overlap(ledger)
        elif name in LABELLED:
            _classify(name, labels, arguments.weights, ledger)
        else:
            _find(name, labels, arguments, ledger)
    return ledger.exit_status(check=arguments.check)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [OVERLAP, *LABELLED, "flickrlogos27", "fridge", "marks"]
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar falls short")
    parser.add_argument("--only", nargs="+", default=names, choices=names, help="what to measure")
    parser.add_argument("--weights", type=Path, help="another starter file; else the shipped one")
    parser.add_argument("--every", type=int, default=1, help="take every nth scene only")
    parser.add_argument("--no-peers", action="store_true", help="measure the starter alone")
    parser.add_argument("--no-int8", action="store_true", help="leave out eight bits")
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


def _sized(image: Image, scale: float) -> Image:
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=how), np.uint8)


def _overlap(ledger: Ledger) -> None:
    """How many test pictures were learned from; none may be."""
    for name, count, learned in overlaps():
        ledger.add(f"{name}: test pictures learned from", learned, at_most=0, note=f"of {count}")


def _classify(name: str, labels: Sequence[str], weights: Path | None, ledger: Ledger) -> None:
    given = LABELLED[name]()
    learned, tested = given.squares(given.train), given.squares(given.test)
    found, right = {}, {}
    for label in labels:
        backbone = network(label, weights, 32)
        if label == INT8:
            seen = (square(photo, given.side) for photo in calibration_photos())
            backbone = quantised(backbone, seen)
        train = (features_of(backbone, learned), given.train.labels)
        result = probe(train, (features_of(backbone, tested), given.test.labels))
        found[label], right[label] = result.accuracy, result.right
        bar, goal = CLASS_BARS.get(name, (None, None)) if label == STARTER else (None, None)
        note = f"{given.side} px, penalty {result.decay:g}"
        ledger.add(f"{name} {label}: top-1", result.accuracy, at_least=bar, goal=goal, note=note)
    if INT8 in found:
        lost = int((right[STARTER] & ~right[INT8]).sum())
        won = int((right[INT8] & ~right[STARTER]).sum())
        note = f"of {len(given.test.labels)} pictures {lost} lost, {won} won"
        _add_loss(ledger, f"{name} int8: top-1 below float", found[STARTER] - found[INT8], note)
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
    found: dict[str, float] = {}
    baseline = None
    for label in labels:
        backbone = network(label, arguments.weights, 16)
        if label == INT8:
            seen = (_sized(photo, scale) for photo in calibration_photos() for scale in SCALES)
            backbone = quantised(backbone, seen)
        finder = new_finder(backbone, backgrounds)
        finder.add(views)
        items = finder.item_names
        if baseline is None and not arguments.no_peers:
            baseline = measure(sift_baseline(views, items), scenes, items).metrics.ap50
            ledger.add(f"{name} SIFT + MAGSAC: AP50", baseline)
        found[label] = measure(finder.find, scenes, items).metrics.ap50
        bar, goal = FIND_BARS.get(name, (None, None)) if label == STARTER else (None, None)
        ledger.add(f"{name} {label}: no training, AP50", found[label], at_least=bar, goal=goal)
        if label == STARTER and name == "flickrlogos27" and baseline is not None:
            lead = found[label] - baseline
            ledger.add(f"{name} {label}: AP50 above SIFT + MAGSAC", lead, at_least=ABOVE)
        if label == STARTER and not arguments.no_trained:
            train(finder, photos(2 * BACKGROUNDS)[BACKGROUNDS:], exemplar_scenes(finder, own))
            trained = measure(finder.find, scenes, items).metrics.ap50
            ledger.add(f"{name} {label}: trained, AP50", trained)
            gain = trained - found[label]
            ledger.add(f"{name} {label}: AP50 gained by training", gain, at_least=ABOVE)
    if INT8 in found:
        _add_loss(ledger, f"{name} int8: AP50 below float", found[STARTER] - found[INT8])


def _add_loss(ledger: Ledger, name: str, loss: float, note: str = "") -> None:
    """Rounded as it is written down: a loss of the bar itself is within it."""
    ledger.add(name, round(loss, 4), at_most=INT8_LOSS, note=note)


if __name__ == "__main__":
    sys.exit(main())
