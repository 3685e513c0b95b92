"""Thresholds measured where the items are not: composed scenes of others, and backgrounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from visionkit.matching.calibration import item_rate, item_thresholds
from visionkit.matching.finder import Finder
from visionkit.training.pairs import LabelledScene
from visionkit.types import Image


def set_thresholds(
    finder: Finder,
    scenes: Iterable[LabelledScene],
    backgrounds: Iterable[Image],
    *,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Sets the thresholds to the finder's false-alarm rate; the number of pictures measured on.

    The rate is that of pictures without any item; each item gets its part of it.

    Args:
        finder: as it will be used; its thresholds are replaced.
        scenes: an item's scores count in those that do not show it.
        backgrounds: (H, W, 3) uint8 RGB pictures that show none of the items.
        progress: called with 1 after each picture.

    Raises:
        ValueError: an item is in every picture, so nothing can be said of its false alarms.
    """
    best: dict[str, list[float]] = {item: [] for item in finder.item_names}
    pictures = 0
    for scene in _all(scenes, backgrounds):
        found = finder.find(scene.image, without=scene.shown_views)
        top = dict.fromkeys(finder.item_names, 0.0)
        scores = found.confidence if found.confidence is not None else ()
        for item, score in zip(found.data.get("class_name", ()), scores, strict=True):
            top[str(item)] = max(top[str(item)], float(score))
        for item in finder.item_names:
            if item not in scene.items:
                best[item].append(top[item])
        pictures += 1
        if progress is not None:
            progress(1)
    rate = item_rate(finder.settings.false_alarm_rate, len(finder.item_names))
    finder.thresholds = item_thresholds(best, rate)
    return pictures


def _all(scenes: Iterable[LabelledScene], backgrounds: Iterable[Image]) -> Iterable[LabelledScene]:
    yield from scenes
    for image in backgrounds:
        yield LabelledScene.empty(image)
