"""A gallery of few views that gets more from confirmed boxes, as `visionkit retrain` cuts them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import supervision as sv
from finding import measure, new_finder
from sets import Scene, flickrlogos27_subsets, photos

from visionkit.evaluation import Truth, presence_metrics, presence_of
from visionkit.evaluation.metrics import BoxMetrics
from visionkit.evaluation.presence import PresenceMetrics
from visionkit.jobs.catalog_views import cut_views
from visionkit.matching.gallery import View
from visionkit.models.build_backbone import build_backbone
from visionkit.types import Image, ObjectBox, Sample

FEW, MORE, MOST = 2, 3, 8
KNOWN, CONFIRMED, TESTED = (1,), (3, 4), (5, 6)
"""Subsets of FlickrLogos-27; constants were chosen on the second."""
BACKGROUNDS, EMPTY = 24, 60


@dataclass(frozen=True)
class Grown:
    """How a gallery does.

    Attributes:
        name: which views it has.
        views: how many.
        boxes: of all finds on pictures with items.
        presence: of finds above their thresholds, on pictures without any, too.
    """

    name: str
    views: int
    boxes: BoxMetrics
    presence: PresenceMetrics


def grown_galleries(*, every: int, seed: int) -> Iterator[Grown]:
    """Galleries of two views an item, and with more of them, on pictures that are none of theirs.

    Args:
        every: every so many-th picture is measured on.
        seed: of the boxes that are drawn.
    """
    known, confirmed = (
        [_sample(scene) for scene in flickrlogos27_subsets(*which)] for which in (KNOWN, CONFIRMED)
    )
    tested = flickrlogos27_subsets(*TESTED)[::every]
    few = _cut(known, (), FEW)
    items = {view.item for view in few}
    drawn = [view for item in sorted(items) for view in _drawn(confirmed, item, few, seed)]
    galleries = {
        f"{FEW} views an item": few,
        f"and {MORE} drawn": [*few, *drawn],
        f"and {MORE} as retrain takes them": [*few, *_cut(confirmed, few, MORE)],
        f"and up to {MOST} as retrain takes them": [*few, *_cut(confirmed, few, MOST)],
    }
    backgrounds = photos(BACKGROUNDS + EMPTY)
    for name, views in galleries.items():
        yield _measured(name, views, tested, backgrounds)


def _sample(scene: Scene) -> Sample:
    image = scene.image()
    height, width = image.shape[:2]
    uri = scene.path.as_posix()
    objects = tuple(ObjectBox(item, box) for item, box in scene.objects)  # type: ignore[arg-type]
    return Sample(uri, uri, width, height, scene.path.name, objects=objects)


def _cut(samples: Sequence[Sample], known: Sequence[View], each: int) -> list[View]:
    return cut_views(samples, known, each=each, most=10**6, max_pixels=10**8)[0]


def _drawn(samples: Sequence[Sample], item: str, known: Sequence[View], seed: int) -> list[View]:
    """So many views of an item, from whatever pictures come first in an order that is drawn."""
    views: list[View] = []
    for place in np.random.default_rng(seed).permutation(len(samples)):
        own = tuple(entry for entry in samples[place].objects if entry.label == item)
        if own and len(views) < MORE:
            views += _cut([replace(samples[place], objects=own)], [*known, *views], 1)
    return views


def _measured(
    name: str, views: Sequence[View], tested: Sequence[Scene], photos: Sequence[Image]
) -> Grown:
    backbone = build_backbone(strides=(16,), pool_stride=16).freeze().eval()
    finder = new_finder(backbone, photos[:BACKGROUNDS])
    finder.add(views)
    items = finder.item_names
    scenes = [
        Scene(scene.path, tuple(entry for entry in scene.objects if entry[0] in items))
        for scene in tested
    ]
    on_scenes = measure(finder.find, scenes, items)
    empty = [finder.find(photo) for photo in photos[BACKGROUNDS:]]
    found: list[sv.Detections] = [*on_scenes.predictions, *empty]
    truths = [
        Truth(
            np.array([box for _, box in shown], np.float32).reshape(-1, 4),
            np.array([items.index(item) for item, _ in shown], np.int64),
        )
        for shown in [*(scene.objects for scene in scenes), *((),) * len(empty)]
    ]
    present, scores = presence_of(truths, found, class_count=len(items))
    presence = presence_metrics(present, scores, items, thresholds=finder.thresholds)
    return Grown(name, len(finder.gallery.views), on_scenes.metrics, presence)
