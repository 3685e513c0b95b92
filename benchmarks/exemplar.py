"""The exemplar head against its bars and baselines, on real pictures, in one run.

    python benchmarks/exemplar.py --check
    python benchmarks/exemplar.py --weights file --sets fridge speed

Every figure is measured here and now; rows are appended to benchmarks/results/exemplar.csv.
Nothing is tuned on the reported scenes but for FlickrLogos-27's subset 2, on which constants
were chosen: figures without it are printed beside the full ones. AP50 is the mean over items.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import supervision as sv
import torch
from baselines import correlation_baseline, pixel_baseline, sift_baseline
from ledger import Ledger
from sets import MOBILENETV2, SETS, ExemplarSet, Scene, is_tuned_on, photos

from visionkit.data.compose import ComposeSettings
from visionkit.data.drawn import draw_mark
from visionkit.data.images import read_image
from visionkit.evaluation import Truth, evaluate_boxes, presence_metrics, presence_of
from visionkit.evaluation.metrics import BoxMetrics
from visionkit.heads.exemplar import ExemplarHead
from visionkit.jobs.chain import Chain
from visionkit.matching.finder import Finder, FinderSettings, whiten
from visionkit.matching.gallery import make_view
from visionkit.matching.pyramid import scene_pyramid, to_input
from visionkit.models.backbone import Backbone, build_backbone
from visionkit.training.composed import ComposedScenes
from visionkit.training.fit import FitSettings, fit
from visionkit.training.pairs import LabelledScene
from visionkit.training.thresholds import set_thresholds
from visionkit.types import Image

RESULTS = Path(__file__).parent / "results" / "exemplar.csv"
BACKGROUNDS = 40
TRAIN_SCENES, VAL_SCENES, CALIBRATION_SCENES, EXEMPLAR_REPEATS = 200, 40, 40, 3
Find = Callable[[Image], sv.Detections]


@dataclass(frozen=True)
class Bars:
    """What a set must reach: AP50 untrained and trained."""

    untrained: float | None
    untrained_goal: float | None
    trained: float | None
    trained_goal: float | None


BARS = {
    "fridge": Bars(None, None, 0.75, 0.95),
    "flickrlogos27": Bars(0.25, 0.40, 0.30, 0.60),
}


def main() -> int:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    ledger = Ledger(RESULTS)
    for weights in arguments.weights:
        backbone = _backbone(weights)
        for name in arguments.sets:
            print(f"\n{name}, weights {weights}")
            if name == "speed":
                _speed(backbone, weights, ledger)
            elif name == "opencv_box":
                _opencv_box(backbone, weights, ledger)
            else:
                _set(name, backbone, weights, ledger, arguments)
    if ledger.short:
        print("\nshort:", *ledger.short, sep="\n  ")
    return 1 if arguments.check and ledger.short else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [*SETS, "speed"]
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar falls short")
    parser.add_argument("--weights", nargs="+", default=["file", "starter"], help="file, starter")
    parser.add_argument("--sets", nargs="+", default=names, choices=names, help="what to measure")
    parser.add_argument("--every", type=int, default=1, help="take every nth scene only")
    parser.add_argument("--no-baselines", action="store_true", help="leave the baselines out")
    parser.add_argument("--no-parts", action="store_true", help="leave out what each part brings")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    return parser.parse_args()


def _backbone(weights: str, strides: Sequence[int] = (16,)) -> Backbone:
    """A frozen backbone that stops at the last of these maps; the search needs stride 16 only."""
    if weights == "starter":
        backbone = build_backbone(strides=tuple(strides), pool_stride=strides[-1])
    else:
        backbone = build_backbone(
            "mobilenetv2_100",
            weights="file",
            file=MOBILENETV2,
            strides=tuple(strides),
            pool_stride=strides[-1],
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            options={"pad_type": "same"},
        )
    return backbone.freeze().eval()


def _finder(backbone: Backbone, backgrounds: Sequence[Image], settings: FinderSettings) -> Finder:
    reference = [scene_pyramid(image, backbone, settings.pyramid) for image in backgrounds]
    head = ExemplarHead(backbone.channels[settings.pyramid.stride]).eval()
    whiten(head, reference)
    return Finder(backbone, head, settings, reference)


def _with_settings(finder: Finder, settings: FinderSettings) -> Finder:
    """The same finder with parts switched on or off."""
    other = Finder(finder.backbone, finder.head, settings, finder.reference)
    other.restore(finder.gallery, finder.templates, finder.statistics, finder.thresholds)
    return other


def _opencv_box(backbone: Backbone, weights: str, ledger: Ledger) -> None:
    given = SETS["opencv_box"]()
    finder = _finder(backbone, photos(BACKGROUNDS), FinderSettings())
    finder.add(given.views)
    found = finder.find(given.scenes[0].image())
    truth = np.array([given.scenes[0].objects[0][1]], np.float32)
    iou = float(sv.box_iou_batch(found.xyxy[:1], truth).max(initial=0))
    ledger.add(f"opencv_box {weights}: IoU of the best find", iou, at_least=0.80, goal=0.90)


def _set(
    name: str, backbone: Backbone, weights: str, ledger: Ledger, arguments: argparse.Namespace
) -> None:
    given, bars = SETS[name](), BARS[name]
    given = replace(given, presence=given.presence[:: arguments.every])
    every = arguments.every if len(given.scenes) > 20 * arguments.every else 1
    scenes = given.scenes[::every]
    backgrounds = photos(2 * BACKGROUNDS)
    finder = _finder(backbone, backgrounds[:BACKGROUNDS], FinderSettings())
    finder.add(given.views)
    items = finder.item_names
    baselines = {}
    if not arguments.no_baselines:
        cells = torch.cat([p.levels[0].features.flatten(1).T for p in finder.reference])
        baselines = {
            "SIFT + ratio + MAGSAC": sift_baseline(given.views, items),
            "template matching on pixels": pixel_baseline(given.views, items),
            "plain feature correlation": correlation_baseline(
                given.views, items, backbone, cells.mean(0)
            ),
        }
    best_baseline = 0.0
    for label, find in baselines.items():
        metrics = _measure(find, scenes, items).metrics
        best_baseline = max(best_baseline, metrics.ap50)
        _report(ledger, f"{name} {weights}: baseline {label}, AP50", metrics)
    if not arguments.no_parts:
        for label, settings in _parts(finder.settings).items():
            metrics = _measure(_with_settings(finder, settings).find, scenes, items).metrics
            _report(ledger, f"{name} {weights}: no training, {label}, AP50", metrics)
    untrained = _measure(finder.find, scenes, items)
    _against(
        ledger,
        f"{name} {weights}: no training",
        untrained.metrics,
        (bars.untrained, bars.untrained_goal),
        best_baseline,
    )
    if given.presence:
        _presence(finder, given, f"{name} {weights}: no training", ledger)
    _train(finder, backgrounds[BACKGROUNDS:], exemplar_scenes(finder, given.exemplars))
    trained = _measure(finder.find, scenes, items)
    _against(
        ledger,
        f"{name} {weights}: trained",
        trained.metrics,
        (bars.trained, bars.trained_goal),
        best_baseline,
    )
    _without_tuned(ledger, f"{name} {weights}", scenes, (untrained, trained), items)
    if given.presence:
        _presence(finder, given, f"{name} {weights}: trained", ledger)
    if given.empty:
        _false_alarms(finder, given, f"{name} {weights}", ledger)


def _parts(settings: FinderSettings) -> dict[str, FinderSettings]:
    return {
        "correlation only": replace(settings, use_geometry=False, use_learned=False),
        "geometry only": replace(settings, use_correlation=False, use_learned=False),
    }


def exemplar_scenes(finder: Finder, exemplars: Sequence[Scene]) -> list[LabelledScene]:
    """The pictures that views were cut from, with their own views hidden."""
    views = finder.gallery.views
    scenes = []
    for exemplar in exemplars:
        boxes = np.array([box for _, box in exemplar.objects], np.float32).reshape(-1, 4)
        shown = {n for n, view in enumerate(views) if view.source == exemplar.path.name}
        items = tuple(item for item, _ in exemplar.objects)
        scenes.append(LabelledScene(exemplar.image(), boxes, items, frozenset(shown)))
    return scenes


def _train(
    finder: Finder, backgrounds: Sequence[Image], own: Sequence[LabelledScene] = ()
) -> list[float]:
    """Learns on composed scenes and the exemplars' pictures, sets thresholds; seconds an epoch."""

    def composed(count: int, seed: int) -> ComposedScenes:
        settings = ComposeSettings()
        return ComposedScenes(
            finder.gallery, backgrounds, count=count, settings=settings, seed=seed
        )

    with tempfile.TemporaryDirectory() as folder:
        train = Chain((composed(TRAIN_SCENES, 1), *[own] * EXEMPLAR_REPEATS))
        val = composed(VAL_SCENES, 2)
        result = fit(finder, train, val, Path(folder), FitSettings(progress=False))
    calibration = composed(CALIBRATION_SCENES, 3)
    set_thresholds(finder, (calibration[i] for i in range(len(calibration))), backgrounds)
    return list(result.seconds)


@dataclass(frozen=True)
class Measured:
    """Finds of each scene, and how good they are."""

    predictions: list[sv.Detections]
    metrics: BoxMetrics


def _measure(find: Find, scenes: Sequence[Scene], items: Sequence[str]) -> Measured:
    predictions = [find(scene.image()) for scene in scenes]
    return Measured(predictions, _evaluate(predictions, scenes, items))


def _evaluate(
    predictions: Sequence[sv.Detections], scenes: Sequence[Scene], items: Sequence[str]
) -> BoxMetrics:
    truths = [
        Truth(
            np.array([box for _, box in scene.objects], np.float32).reshape(-1, 4),
            np.array([items.index(item) for item, _ in scene.objects], np.int64),
        )
        for scene in scenes
    ]
    return evaluate_boxes(truths, predictions, items)


def _report(ledger: Ledger, name: str, metrics: BoxMetrics) -> None:
    interval = metrics.intervals.get("ap50")
    ledger.add(name, metrics.ap50, interval=(interval.low, interval.high) if interval else None)


def _against(
    ledger: Ledger,
    name: str,
    metrics: BoxMetrics,
    aims: tuple[float | None, float | None],
    best_baseline: float,
) -> None:
    bar, goal = aims
    interval = metrics.intervals.get("ap50")
    around = (interval.low, interval.high) if interval else None
    ledger.add(f"{name}, AP50", metrics.ap50, at_least=bar, goal=goal, interval=around)
    if best_baseline and bar is not None:
        lead = metrics.ap50 - best_baseline
        ledger.add(f"{name}, AP50 above the best baseline", lead, at_least=0.0)


def _without_tuned(
    ledger: Ledger,
    name: str,
    scenes: Sequence[Scene],
    measured: Sequence[Measured],
    items: Sequence[str],
) -> None:
    """The same figures on the scenes that no constant was chosen on."""
    fresh = [index for index, scene in enumerate(scenes) if not is_tuned_on(scene)]
    if len(fresh) == len(scenes):
        return
    for label, one in zip(("no training", "trained"), measured, strict=True):
        kept = [one.predictions[index] for index in fresh]
        part = _evaluate(kept, [scenes[index] for index in fresh], items)
        _report(ledger, f"{name}: {label}, AP50 without subset 2", part)


def _presence(finder: Finder, given: ExemplarSet, name: str, ledger: Ledger) -> None:
    items = finder.item_names
    found, truths = [], []
    for path, item in given.presence:
        found.append(finder.find(read_image(path)))
        ids = [items.index(item)] if item is not None else []
        truths.append(Truth(np.zeros((len(ids), 4), np.float32), np.array(ids, np.int64)))
    present, scores = presence_of(truths, found, class_count=len(items))
    metrics = presence_metrics(present, scores, items, thresholds=finder.thresholds)
    interval = metrics.intervals.get("f1")
    around = (interval.low, interval.high) if interval else None
    ledger.add(f"{name}, presence F1", metrics.f1, goal=0.85, interval=around)
    ledger.add(f"{name}, 'none' right", metrics.none_accuracy)


def _false_alarms(finder: Finder, given: ExemplarSet, name: str, ledger: Ledger) -> None:
    """Finds above their item's threshold in pictures without items."""
    count = 0
    for path in given.empty:
        found = finder.find(read_image(path))
        limits = [finder.thresholds[item] for item in found.data.get("class_name", ())]
        count += int((found.confidence >= np.array(limits)).sum()) if len(found) else 0
    note = f"{count} in {len(given.empty)} pictures"
    ledger.add(f"{name}: false finds a picture without items", count / len(given.empty), note=note)


def _speed(backbone: Backbone, weights: str, ledger: Ledger) -> None:
    """Ratios within this run, medians of paired timings by CPU time: a noisy machine matters less.

    A backbone pass is one of the whole network, with the maps of strides 8, 16 and 32 that all
    heads share.
    """
    backgrounds = photos(12)
    scene = np.asarray(cv2.resize(photos(1, seed=9)[0], (640, 480)), np.uint8)
    small = _drawn_finder(backbone, backgrounds, 20)
    whole = _backbone(weights, strides=(8, 16, 32)).to(memory_format=torch.channels_last)
    one_pass = to_input(scene, torch.device("cpu"))

    def run_backbone() -> None:
        with torch.no_grad():
            whole(one_pass)

    ratios = _paired(lambda: small.find(scene), run_backbone, rounds=7)
    ledger.add(
        f"speed {weights}: 20 items x 5 views, in backbone passes", ratios, at_most=10.0, goal=4.0
    )
    large = _drawn_finder(backbone, backgrounds, 1000)
    growth = _paired(lambda: large.find(scene), lambda: small.find(scene), rounds=7)
    ledger.add(f"speed {weights}: 1,000 items against 20", growth, at_most=1.2)
    seconds = _train(_drawn_finder(backbone, backgrounds, 6), backgrounds)
    later = statistics.median(seconds[1:]) / seconds[0]
    ledger.add(f"speed {weights}: later epochs against the first", later, at_most=1 / 3)


def _drawn_finder(backbone: Backbone, backgrounds: Sequence[Image], items: int) -> Finder:
    """A gallery of drawn marks with five views each, which differ in size and light."""
    finder = _finder(backbone, backgrounds, FinderSettings())
    views = []
    for index in range(items):
        mark = draw_mark(np.random.default_rng(index), size=160)
        for view in range(5):
            light = np.clip(mark[..., :3] * (0.7 + 0.12 * view), 0, 255).astype(np.uint8)
            views.append(make_view(f"mark {index:04d}", light, alpha=mark[..., 3]))
    finder.add(views)
    return finder


def _paired(first: Callable[[], object], second: Callable[[], object], *, rounds: int) -> float:
    """Median over rounds of the CPU time of `first` in times of `second`, run in turn."""
    first(), second()
    ratios = []
    for _ in range(rounds):
        start = time.process_time()
        first()
        middle = time.process_time()
        second()
        ratios.append((middle - start) / (time.process_time() - middle))
    return statistics.median(ratios)


if __name__ == "__main__":
    sys.exit(main())
