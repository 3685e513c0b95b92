"""Finders as benchmarks build, train and measure them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import supervision as sv
from sets import MOBILENETV2, Scene

from visionkit.data.compose import ComposeSettings
from visionkit.evaluation import Truth, evaluate_boxes
from visionkit.evaluation.metrics import BoxMetrics
from visionkit.jobs.chain import Chain
from visionkit.matching.finder import Finder, FinderSettings
from visionkit.matching.new_finder import new_head
from visionkit.matching.pyramid import scene_pyramid
from visionkit.models.arguments import Pooling
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.training.composed import ComposedScenes
from visionkit.training.fit import FitSettings, fit
from visionkit.training.pairs import LabelledScene
from visionkit.training.retaken import RetakenScenes
from visionkit.types import Image

BACKGROUNDS = 40
TRAIN_SCENES, EXEMPLAR_SCENES, VAL_SCENES = 200, 100, 40
Find = Callable[[Image], sv.Detections]


class Shown(Protocol):
    """A picture with its boxes: (name of the item, xyxy in pixels)."""

    @property
    def objects(self) -> tuple[tuple[str, tuple[float, ...]], ...]:
        """What is there."""

    def image(self) -> Image:
        """(H, W, 3) uint8 RGB."""


def mobilenetv2(strides: Sequence[int], *, pooling: Pooling = "map") -> Backbone:
    """MobileNetV2 with ImageNet weights, which stops at the last of these maps."""
    return build_backbone(
        "mobilenetv2_100",
        weights="file",
        file=MOBILENETV2,
        strides=tuple(strides),
        pool_stride=strides[-1],
        pooling=pooling,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        options={"pad_type": "same"},
    )


def new_finder(
    backbone: Backbone, backgrounds: Sequence[Image], settings: FinderSettings | None = None
) -> Finder:
    """A finder with an empty gallery, calibrated on these backgrounds; the same each time."""
    settings = settings or FinderSettings()
    reference = [scene_pyramid(image, backbone, settings.pyramid) for image in backgrounds]
    head = new_head(backbone, reference, stride=settings.pyramid.stride)
    return Finder(backbone, head, settings, reference)


def exemplar_scenes(finder: Finder, exemplars: Sequence[Scene]) -> list[LabelledScene]:
    """The pictures that views were cut from, with their own views hidden."""
    views = finder.gallery.views
    scenes = []
    for exemplar in exemplars:
        shown = {n for n, view in enumerate(views) if view.source == exemplar.path.name}
        items = tuple(item for item, _ in exemplar.objects)
        boxes = _boxes(exemplar)
        scenes.append(LabelledScene(exemplar.image(), boxes, items, frozenset(shown)))
    return scenes


def train(
    finder: Finder, backgrounds: Sequence[Image], own: Sequence[LabelledScene] = ()
) -> list[float]:
    """Learns on composed scenes and the exemplars' pictures, sets thresholds; seconds an epoch."""

    def composed(count: int, seed: int) -> ComposedScenes:
        settings = ComposeSettings()
        return ComposedScenes(
            finder.gallery, backgrounds, count=count, settings=settings, seed=seed
        )

    with tempfile.TemporaryDirectory() as folder:
        retaken = RetakenScenes(own, count=EXEMPLAR_SCENES, seed=5)
        scenes = Chain((composed(TRAIN_SCENES, 1), retaken))
        val = composed(VAL_SCENES, 2)
        result = fit(finder, scenes, val, Path(folder), FitSettings(progress=False))
    finder.calibrate(finder.item_names)
    return list(result.seconds)


@dataclass(frozen=True)
class Measured:
    """Finds of each scene, and how good they are."""

    scenes: tuple[Shown, ...]
    items: tuple[str, ...]
    predictions: tuple[sv.Detections, ...]
    metrics: BoxMetrics

    def only(self, places: Sequence[int]) -> Measured:
        """The same on the scenes at these places."""
        scenes = [self.scenes[place] for place in places]
        return _judged(scenes, self.items, [self.predictions[place] for place in places])


def measure(find: Find, scenes: Sequence[Shown], items: Sequence[str]) -> Measured:
    """How well these items are found in scenes."""
    return _judged(scenes, items, [find(scene.image()) for scene in scenes])


def _judged(
    scenes: Sequence[Shown], items: Sequence[str], predictions: Sequence[sv.Detections]
) -> Measured:
    truths = [
        Truth(_boxes(scene), np.array([items.index(item) for item, _ in scene.objects], np.int64))
        for scene in scenes
    ]
    metrics = evaluate_boxes(truths, predictions, items)
    return Measured(tuple(scenes), tuple(items), tuple(predictions), metrics)


def _boxes(scene: Shown) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array([box for _, box in scene.objects], np.float32).reshape(-1, 4)
