"""Galleries of items that never were, with scenes that show them, as the head will meet them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.compose import ComposeSettings, Cutout, compose_scene, photo_patch
from visionkit.data.cutouts import rgba_cutout
from visionkit.data.drawn import draw_mark
from visionkit.data.images import lay_on
from visionkit.matching.gallery import View, make_view
from visionkit.training.pairs import LabelledScene
from visionkit.training.pretrain.searches import pick
from visionkit.types import Image

_MARK_SIDE = 192
_MARKS = 0.6  # of the items; the others are pieces of photos
_RECOLOURED = 0.3  # of the items come in two colourings, as brands do
_CLEAN = 0.4  # of the views of a mark show it alone on one colour
_MARGIN = 8  # pixels around a mark that stands alone
_LOOSE = 0.03  # standard deviation of a view's edges, in parts of its sides: boxes drawn by hand
_DISTRACTORS = 12
_SIZES = ((360, 480), (480, 360), (333, 500), (480, 640))
_SHOWN = ComposeSettings(
    (320, 320),
    items=(1, 1),
    empty=0.0,
    item_side=(60.0, 0.75),
    distractors=(0, 2),
    patches=(0, 2),
    cover=0.05,
    roll=8.0,
    tilt=12.0,
    bend=0.2,
    min_visible=0.85,
)
_ATTEMPTS = 4


@dataclass(frozen=True)
class RandomGallery:
    """Views of a few items, and scenes in which all places of all items are known."""

    views: tuple[View, ...]
    scenes: tuple[LabelledScene, ...]


def random_gallery(
    rng: np.random.Generator, photos: Sequence[Image], *, scenes: int
) -> RandomGallery:
    """Five to eleven items of one to four views: drawn marks and pieces of photos.

    Args:
        rng: numbers to draw from.
        photos: (H, W, 3) uint8 RGB, at least one.
        scenes: how many; all show items of this gallery, or none, among other things.
    """
    items = [_item(rng, photos, f"item {number}") for number in range(rng.integers(5, 12))]
    looks = [_looks(rng, item) for item in items]
    views = [view for look in looks for view in _views(rng, photos, look)]
    cutouts = [cutout for look in looks for cutout in look]
    others = [_item(rng, photos, "") for _ in range(_DISTRACTORS)]
    settings = _random_settings(rng)
    shown = [_scene(rng, photos, cutouts, others, settings) for _ in range(scenes)]
    return RandomGallery(tuple(views), tuple(shown))


def _random_settings(rng: np.random.Generator) -> ComposeSettings:
    """How rough the scenes of one gallery are: from clean pictures to bad ones."""
    return ComposeSettings(
        items=(1, 5),
        camera=rng.uniform(0.5, 2.2),
        tilt=rng.uniform(10, 32),
        roll=rng.uniform(4, 16),
        bend=rng.uniform(0, 0.6),
        cover=rng.uniform(0, 0.5),
        mount=rng.uniform(0.1, 0.5),
    )


def _scene(
    rng: np.random.Generator,
    photos: Sequence[Image],
    cutouts: Sequence[Cutout],
    others: Sequence[Cutout],
    settings: ComposeSettings,
) -> LabelledScene:
    size = _SIZES[int(rng.integers(len(_SIZES)))]
    scene = compose_scene(
        rng, pick(rng, photos), cutouts, others, replace(settings, image_size=size)
    )
    return LabelledScene(scene.image, scene.boxes, tuple(str(label) for label in scene.labels))


def _item(rng: np.random.Generator, photos: Sequence[Image], label: str) -> Cutout:
    if rng.random() < _MARKS:
        return rgba_cutout(draw_mark(rng, size=_MARK_SIDE), label)
    return photo_patch(rng, pick(rng, photos), label=label)


def _looks(rng: np.random.Generator, item: Cutout) -> list[Cutout]:
    return [item, _recoloured(rng, item)] if rng.random() < _RECOLOURED else [item]


def _recoloured(rng: np.random.Generator, item: Cutout) -> Cutout:
    """The item in other colours: channels changed, inverted, gray, or a little off."""
    kind, changed = rng.random(), item.image
    if kind < 0.3:
        changed = changed[..., rng.permutation(3)]
    elif kind < 0.5:
        changed = 255 - changed
    elif kind < 0.65:
        gray = np.asarray(cv2.cvtColor(changed, cv2.COLOR_RGB2GRAY), np.uint8)
        changed = np.repeat(gray[..., None], 3, axis=2)
    else:
        hsv = np.asarray(cv2.cvtColor(changed, cv2.COLOR_RGB2HSV), np.float32)
        hsv[..., 0] = (hsv[..., 0] + rng.uniform(-25, 25)) % 180
        hsv[..., 1:] *= rng.uniform(0.5, 1.4, 2)
        off = hsv.clip(0, 255).astype(np.uint8)
        changed = np.asarray(cv2.cvtColor(off, cv2.COLOR_HSV2RGB), np.uint8)
    return replace(item, image=np.ascontiguousarray(changed))


def _views(
    rng: np.random.Generator, photos: Sequence[Image], looks: Sequence[Cutout]
) -> list[View]:
    """One to four views of an item; fewer where no place was found for it in a picture."""
    views = []
    for _ in range(rng.integers(1, 5)):
        look = looks[int(rng.integers(len(looks)))]
        if look.alpha is not None and rng.random() < _CLEAN:
            views.append(_alone(rng, look, look.alpha))
        else:
            views += _in_a_picture(rng, photos, look)
    return views


def _alone(rng: np.random.Generator, look: Cutout, alpha: NDArray[np.uint8]) -> View:
    neutral = np.full(3, rng.choice([0, 128, 255]))
    ground = rng.integers(0, 256, 3) if rng.random() < 0.5 else neutral
    image = np.pad(look.image, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)))
    red, green, blue = (int(value) for value in ground)
    clean = lay_on(image, np.pad(alpha, _MARGIN), (red, green, blue))
    height, width = clean.shape[:2]
    box = (_MARGIN, _MARGIN, width - _MARGIN, height - _MARGIN)
    return make_view(str(look.label), clean, box=box)


def _in_a_picture(rng: np.random.Generator, photos: Sequence[Image], look: Cutout) -> list[View]:
    for _ in range(_ATTEMPTS):
        scene = compose_scene(rng, pick(rng, photos), [look], [], _SHOWN)
        if len(scene.boxes):
            box = scene.boxes[0]
            loose = box + rng.normal(0, _LOOSE, 4) * np.tile(box[2:] - box[:2], 2)
            return [make_view(str(look.label), scene.image, box=loose.tolist())]
    return []
