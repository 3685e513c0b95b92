"""Drawn marks in photos, none of which pretraining has seen: a set made here, always the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from labelled import grocery
from numpy.typing import NDArray
from sets import PHOTOS

from visionkit.data.compose import ComposeSettings, compose_scene
from visionkit.data.cutouts import rgba_cutout
from visionkit.data.drawn import draw_mark
from visionkit.data.images import lay_on, read_image
from visionkit.data.picture_files import find_images
from visionkit.matching.gallery import View, make_view
from visionkit.types import Image

MARKS, SCENES, OTHERS = 40, 60, 24
HELD_OUT_EVERY = 10
"""Every such photo is held out by pretraining: `held_out_every` of conf/pretrain.yaml."""
_SEED = 7_310_000  # pretraining draws its marks with its own small seeds and the next one
_NEUTRAL = (128, 128, 128)
_SETTINGS = ComposeSettings(image_size=(480, 640), item_side=(32.0, 0.8))


@dataclass(frozen=True)
class DrawnScene:
    """A composed scene with its boxes: (name of the mark, xyxy in pixels)."""

    picture: Image
    objects: tuple[tuple[str, tuple[float, ...]], ...]

    def image(self) -> Image:
        """(H, W, 3) uint8 RGB."""
        return self.picture


def views(count: int = MARKS) -> tuple[View, ...]:
    """One exemplar a mark: it alone, clean, on gray."""
    return tuple(_view(index) for index in range(count))


@cache
def scenes(count: int = SCENES, marks: int = MARKS) -> tuple[DrawnScene, ...]:
    """Scenes of 640x480 px with up to five of the marks, among other marks and pieces of photos.

    The photos below are half of those that pretraining holds out, and test pictures of the
    Grocery set, in turn.
    """
    cutouts = [rgba_cutout(_drawn(index), _name(index)) for index in range(marks)]
    others = [rgba_cutout(_drawn(MARKS + index)) for index in range(OTHERS)]
    photos = held_out()[::2]
    shops = grocery().test.images
    made = []
    for index in range(count):
        rng = np.random.default_rng([_SEED, 1, index])
        source = photos if index % 2 == 0 else shops
        ground = source[int(rng.integers(len(source)))]
        scene = compose_scene(rng, ground, cutouts, others, _SETTINGS)
        boxes = [tuple(float(edge) for edge in box) for box in scene.boxes]
        objects = zip((str(label) for label in scene.labels), boxes, strict=True)
        made.append(DrawnScene(scene.image, tuple(objects)))
    return tuple(made)


@cache
def held_out() -> tuple[Image, ...]:
    """The photos that pretraining only measures on."""
    return tuple(read_image(path) for path in find_images(PHOTOS)[::HELD_OUT_EVERY])


def _name(index: int) -> str:
    return f"mark {index:02d}"


def _drawn(index: int) -> NDArray[np.uint8]:
    return draw_mark(np.random.default_rng([_SEED, 0, index]), size=256)


def _view(index: int) -> View:
    mark = np.pad(_drawn(index), ((24, 24), (24, 24), (0, 0)))
    height, width = mark.shape[:2]
    clean = lay_on(mark[..., :3], mark[..., 3], _NEUTRAL)
    return make_view(_name(index), clean, box=(24, 24, width - 24, height - 24))
