"""The localization head against its bars and a peer, on real pictures, in one run.

    python benchmarks/localization.py --check --peer-python /path/to/peer/bin/python
    python benchmarks/localization.py --sets bccd --minutes 20 --no-peer
    python benchmarks/localization.py --sets bccd raccoon --held-out --minutes 3 --no-peer
    python benchmarks/localization.py --sets step together

Every figure is measured here and now; rows are appended to benchmarks/results/localization.csv.
AP50 is the mean over classes on the test pictures, none of which was looked at when the recipe was
chosen: `--held-out` measures on every fourth training picture instead, and that is what choices
are made by. All training pictures are learned from, so no epoch is chosen: the average of the
last weights is what is measured. The peer is Ultralytics' yolo11n from its yaml, with the same
pictures, minutes, threads and longest side, from an environment of its own; its boxes are judged
by the same evaluator. The minutes of both are those of training, by the clock, without start-up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import supervision as sv
import torch
from box_sets import BOX_SETS, BoxSet, write_yolo
from finding import mobilenetv2
from ledger import Ledger
from timing import paired
from torchvision.models.detection import fcos_resnet50_fpn

from visionkit.allocator import keep_freed_memory
from visionkit.data.demo import stock_backgrounds
from visionkit.data.framing import Framing
from visionkit.data.images import read_image
from visionkit.evaluation.localization import LocalizationMetrics, evaluate_localization
from visionkit.heads.classification import ClassificationHead
from visionkit.heads.localization import BoxTargets, LocalizationHead
from visionkit.inference.engines.network import TorchNetwork
from visionkit.inference.locate import locate
from visionkit.inference.parts import ClassificationPart, LocalizationPart
from visionkit.inference.predictor import Predictor
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.models.weights import starter_boxes
from visionkit.training.boxed import fitting_side, frame_size
from visionkit.training.localization import fit_localization, start_boxes
from visionkit.training.localization_module import Localizer
from visionkit.training.localization_settings import AUGMENT, LocalizationSettings

RESULTS = Path(__file__).parent / "results" / "localization.csv"
BARS = {"bccd": (0.80, 0.92), "raccoon": (0.65, 0.85), "tomato": (0.85, 0.95)}
"""Set -> AP50 that must be reached, and the goal."""
UPSIDE_DOWN = {"bccd": 0.5, "raccoon": 0.0, "tomato": 0.0}
"""Set -> share of the pictures mirrored top to bottom: cells have no upper side."""
AGAINST_PEER = ("bccd", "raccoon")
STRIDES = (8, 16, 32)


def main() -> int:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # as the command does
    ledger = Ledger(RESULTS)
    for name in arguments.sets:
        print(f"\n{name}")
        if name in SPEEDS:
            SPEEDS[name](ledger, arguments)
        else:
            _set(name, ledger, arguments)
    return ledger.exit_status(check=arguments.check)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [*BOX_SETS, *SPEEDS]
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar falls short")
    parser.add_argument("--sets", nargs="+", choices=names, default=names, help="what to measure")
    parser.add_argument("--minutes", type=float, default=20.0, help="of each training")
    parser.add_argument("--size", type=int, help="longest side in pixels; as training by default")
    parser.add_argument("--weights", choices=["starter", "file"], default="starter")
    parser.add_argument("--freeze", choices=["none", "early", "all"], default="none")
    parser.add_argument("--boxes", default="starter", help="starter, none, or a file of weights")
    parser.add_argument("--held-out", action="store_true", help="measure on training pictures")
    parser.add_argument("--peer-python", help="python of an environment with ultralytics")
    parser.add_argument("--no-peer", action="store_true", help="leave the peer out")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    arguments = parser.parse_args()
    with_peer = set(arguments.sets) & set(AGAINST_PEER) and not arguments.no_peer
    if with_peer and not arguments.peer_python:
        parser.error("--peer-python must name a python with ultralytics, or take --no-peer")
    return arguments


def _set(name: str, ledger: Ledger, arguments: argparse.Namespace) -> None:
    given = BOX_SETS[name]()
    label, (bar, goal) = name, BARS[name]
    if arguments.held_out:
        given, label, bar = given.held_out(), f"{name} held out", None
    own = _own(name, given, arguments)
    _report(ledger, f"{label} {arguments.weights}", own, bar=bar, goal=goal)
    if name in AGAINST_PEER and not arguments.no_peer:
        peer = _peer(given, arguments)
        _report(ledger, f"{label} yolo11n from its yaml", peer, bar=None, goal=None)
        lead = own.boxes.ap50 - peer.boxes.ap50
        ledger.add(f"{label}: AP50 above yolo11n", lead, at_least=0.0)


def _own(name: str, given: BoxSet, arguments: argparse.Namespace) -> LocalizationMetrics:
    backbone = _backbone(arguments.weights)
    torch.manual_seed(arguments.seed)
    head = LocalizationHead(backbone.channels, len(given.class_names))
    if arguments.boxes == "starter" and arguments.weights == "starter":
        head.load_class_agnostic(starter_boxes()[0])
    elif arguments.boxes not in ("starter", "none"):
        start_boxes(head, Path(arguments.boxes))
    framing = Framing(frame_size(given.train, _side(given, arguments)), "letterbox")
    settings = LocalizationSettings(
        max_epochs=None,
        minutes=arguments.minutes,
        freeze=arguments.freeze,
        augment=replace(AUGMENT, flip_vertical=UPSIDE_DOWN[name]),
        accelerator="cpu",
        seed=arguments.seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        fitted = fit_localization(
            backbone, head, given.train, (), given.class_names, framing, Path(folder), settings
        )
    spent = (time.monotonic() - start) / 60
    print(
        f"{fitted.epochs} epochs, {fitted.steps} steps, {spent:.1f} minutes, frame {framing.size}"
    )
    images = [read_image(sample.uri) for sample in given.test]
    found = locate(TorchNetwork(backbone, localization=head), head, images, framing)
    return evaluate_localization(given.truths(), found, given.class_names)


def _peer(given: BoxSet, arguments: argparse.Namespace) -> LocalizationMetrics:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        described = write_yolo(given, folder / "set")
        listed = folder / "pictures.txt"
        listed.write_text("\n".join(sample.uri for sample in given.test), "utf-8")
        output = folder / "found.jsonl"
        words = {
            "--data": described,
            "--pictures": listed,
            "--minutes": arguments.minutes,
            "--size": _side(given, arguments),
            "--threads": arguments.threads,
            "--output": output,
        }
        script = Path(__file__).parent / "peers" / "yolo.py"
        command = [arguments.peer_python, str(script)]
        for word, value in words.items():
            command += [word, str(value)]
        subprocess.run(command, check=True, cwd=folder)
        lines = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    found = [
        sv.Detections(
            xyxy=np.array(line["boxes"], np.float32).reshape(-1, 4),
            confidence=np.array(line["scores"], np.float32),
            class_id=np.array(line["classes"], np.int64),
        )
        for line in lines
    ]
    return evaluate_localization(given.truths(), found, given.class_names)


def _side(given: BoxSet, arguments: argparse.Namespace) -> int:
    """Longest side of the frames, of both."""
    return arguments.size or fitting_side(given.train)


def _report(
    ledger: Ledger,
    name: str,
    metrics: LocalizationMetrics,
    *,
    bar: float | None,
    goal: float | None,
) -> None:
    around = metrics.boxes.intervals["ap50"]
    by_class = ", ".join(f"{one.name} {one.ap50:.2f}" for one in metrics.boxes.per_class)
    ledger.add(
        f"{name}: AP50",
        metrics.boxes.ap50,
        at_least=bar,
        goal=goal,
        interval=(around.low, around.high),
        note=by_class,
    )
    ledger.add(f"{name}: AP (COCO)", metrics.coco.ap)
    for error in metrics.errors:
        ledger.add(f"{name}: AP50 lost by {error.name}", error.gain, note=f"{error.count} times")


def _backbone(weights: str) -> Backbone:
    if weights == "file":
        return mobilenetv2(STRIDES)
    return build_backbone(strides=STRIDES)


def _step(ledger: Ledger, arguments: argparse.Namespace) -> None:
    """A training step with its loss and gradients, everything free; CPU time, the two in turn.

    The optimizer's own step, which would favour the smaller network more, is left out.
    """
    side, pictures = 320, 4
    rng = np.random.default_rng(0)
    corners = torch.from_numpy(rng.uniform(0, 200, (pictures, 8, 2)).astype(np.float32))
    extents = torch.from_numpy(rng.uniform(20, 120, (pictures, 8, 2)).astype(np.float32))
    boxes = list(torch.cat([corners, corners + extents], 2))
    labels = [torch.zeros(8, dtype=torch.int64)] * pictures
    images = torch.rand(pictures, 3, side, side)
    backbone = _backbone(arguments.weights)
    model = Localizer(backbone, LocalizationHead(backbone.channels, 3))
    model = model.to(memory_format=torch.channels_last).train()
    seen = images.to(memory_format=torch.channels_last)
    peer = fcos_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=3, min_size=side, max_size=side
    ).train()
    targets = [{"boxes": box, "labels": label} for box, label in zip(boxes, labels, strict=True)]

    def own_step() -> None:
        losses = model.head.loss(model(seen), BoxTargets(boxes, labels))
        sum(losses.values(), torch.zeros(())).backward()

    def peer_step() -> None:
        sum(peer(list(images), targets).values(), torch.zeros(())).backward()

    ratio = paired(peer_step, own_step, rounds=5)
    ledger.add(
        f"training step {side} px, {arguments.weights}: times faster than fcos_resnet50_fpn",
        ratio,
        at_least=3.0,
        goal=5.0,
    )


def _together(ledger: Ledger, arguments: argparse.Namespace) -> None:
    """All three heads on a photo of 640x480 against the slowest alone; CPU time, in turn."""
    photo = cv2.resize(stock_backgrounds()[0], (640, 480))
    predictor = _all_heads()
    alone = {
        task: paired(
            lambda task=task: predictor.predict(photo, [task]),  # type: ignore[misc]
            lambda: predictor.predict(photo, ["localization"]),
            rounds=5,
        )
        for task in predictor.tasks
    }
    slowest = max(alone, key=lambda task: alone[task])
    ratio = paired(
        lambda: predictor.predict(photo),
        lambda: predictor.predict(photo, [slowest]),
        rounds=9,
    )
    note = ", ".join(f"{task} {ratio:.2f} times localization" for task, ratio in alone.items())
    ledger.add(
        f"three heads together: times the slowest alone, {slowest}",
        ratio,
        at_most=1.5,
        goal=1.25,
        note=note,
    )


def _all_heads() -> Predictor:
    """A predictor of all three heads on the starter weights; five items of one view are looked for.

    The trained heads have learned nothing: what they say is wrong and takes as long.
    """
    backbone = build_backbone().freeze()
    whole, names = backbone.full(), tuple(f"class {number}" for number in range(10))
    halves = dict.fromkeys(names, 0.5)
    predictor = Predictor(
        backbone,
        classification=ClassificationPart(
            ClassificationHead(whole.pooled_channels, len(names)),
            names,
            Framing((224, 224), "crop"),
            halves,
        ),
        localization=LocalizationPart(
            LocalizationHead(whole.channels, len(names)),
            names,
            Framing((480, 640), "letterbox"),
            halves,
        ),
    )
    photos = stock_backgrounds()
    predictor.start_gallery(background=photos[:6])
    for number, photo in enumerate(photos[6:11]):
        predictor.add_item(f"item {number}", photo[:96, :96])
    return predictor


SPEEDS: dict[str, Callable[[Ledger, argparse.Namespace], None]] = {
    "step": _step,
    "together": _together,
}
"""Measures of time, beside the sets."""


if __name__ == "__main__":
    sys.exit(main())
