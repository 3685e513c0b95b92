"""Scenes to learn from where nobody drew boxes: the gallery's views pasted into photos."""

from __future__ import annotations

from collections import Counter

import numpy as np

from visionkit.data.compose import ComposeSettings, Cutout, compose_scene, photo_patch
from visionkit.data.cutouts import rgba_cutout
from visionkit.data.drawn import draw_mark
from visionkit.matching.gallery import Gallery, View
from visionkit.training.pairs import LabelledScene
from visionkit.types import Image, Numbered

_DRAWN_DISTRACTORS = 24
_PHOTO_DISTRACTORS = 24
_MIN_SIDE = 4


class ComposedScenes:
    """Composed scenes by number; the same seed and number always give the same scene.

    Every view is shown, and a view that is shown is hidden from the search in that scene if its
    item has others: what is learned is to find an item by *other* pictures of it. Views of
    under 4 pixels a side can't be shown.

    Args:
        gallery: whose views are pasted.
        backgrounds: (H, W, 3) uint8 RGB photos without any of the items; at least one.
        count: of scenes.
        settings: how they are composed.
        seed: of everything random.
    """

    def __init__(
        self,
        gallery: Gallery,
        backgrounds: Numbered[Image],
        *,
        count: int,
        settings: ComposeSettings,
        seed: int,
    ) -> None:
        if not len(backgrounds):
            raise ValueError("composed scenes must have at least one background photo, got none")
        self._count, self._settings, self._seed = count, settings, seed
        self._backgrounds = backgrounds
        cutouts = [_cutout(view) for view in gallery.views]
        self._cutouts = [cutout for cutout in cutouts if cutout is not None]
        self._place = {(view.item, view.id): index for index, view in enumerate(gallery.views)}
        self._views_of = Counter(view.item for view in gallery.views)
        self._distractors = _distractors(np.random.default_rng([seed, count]), backgrounds)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> LabelledScene:
        if not 0 <= index < self._count:
            raise IndexError(f"scene must be in 0..{self._count - 1}, got {index}")
        rng = np.random.default_rng([self._seed, index])
        background = self._backgrounds[int(rng.integers(len(self._backgrounds)))]
        scene = compose_scene(rng, background, self._cutouts, self._distractors, self._settings)
        items = tuple(str(label) for label in scene.labels)
        shown = {
            self._place[item, view]
            for item, view in zip(items, scene.views, strict=True)
            if self._views_of[item] > 1
        }
        return LabelledScene(scene.image, scene.boxes, items, frozenset(shown))


def _cutout(view: View) -> Cutout | None:
    x_min, y_min, x_max, y_max = view.box
    rows = slice(int(y_min), max(int(np.ceil(y_max)), int(y_min) + 1))
    columns = slice(int(x_min), max(int(np.ceil(x_max)), int(x_min) + 1))
    alpha = None if view.alpha is None else view.alpha[rows, columns]
    image = view.image[rows, columns]
    if min(image.shape[:2]) < _MIN_SIDE or (alpha is not None and not (alpha > 127).any()):
        return None
    return Cutout(image, alpha, view.item, view.id)


def _distractors(rng: np.random.Generator, backgrounds: Numbered[Image]) -> list[Cutout]:
    """Things that resemble items and are none: drawn marks and pieces of photos."""
    drawn = [rgba_cutout(draw_mark(rng, size=160)) for _ in range(_DRAWN_DISTRACTORS)]
    pieces = [
        photo_patch(rng, backgrounds[int(rng.integers(len(backgrounds)))])
        for _ in range(_PHOTO_DISTRACTORS)
    ]
    return drawn + pieces
