"""The demo set for localization: things of a few classes, drawn and composed into photos.

It has the form of a user's own data: pictures with boxes in COCO, one file a split. A class is
a kind of shape; its colours, proportions, size and pose change from thing to thing, so that the
shape alone tells it. Other shapes lie about that are of no class. Training, validation and test
use different photos and different things.
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from visionkit.data import shapes
from visionkit.data.canvas import Canvas
from visionkit.data.compose import ComposeSettings, compose_scene
from visionkit.data.cutouts import Cutout, rgba_cutout
from visionkit.data.demo import demo_photos, write_scene
from visionkit.data.formats import coco
from visionkit.data.making import MadeSet
from visionkit.data.shapes import Shape
from visionkit.types import Sample, Split

VERSION = 1
"""Raised when the same settings give other pictures; sets of another version are made again."""

_NAMES = re.compile(r"annotations_\w+\.json|images/(train|val|test)_\d+\.jpg")
_SHARES: Mapping[Split, float] = MappingProxyType({"val": 0.15, "test": 0.25})
_THINGS = 16  # of a class, in each split
_OTHERS = 24  # of no class, in each split
_SCENE = ComposeSettings(
    image_size=(240, 320),
    items=(1, 6),
    empty=0.08,
    item_side=(20.0, 0.5),
    min_visible=0.6,
    mount=0.2,
    distractors=(0, 3),
    patches=(0, 2),
    camera=0.8,
)

_Draw = Callable[[np.random.Generator], Shape]
CLASSES: Mapping[str, _Draw] = MappingProxyType(
    {
        "star": lambda rng: shapes.star(int(rng.integers(5, 8)), rng.uniform(0.35, 0.55)),
        "heart": lambda rng: shapes.scaled(shapes.heart(), rng.uniform(0.8, 1), 1),
        "arrow": lambda rng: shapes.arrow(rng.uniform(0.15, 0.35), rng.uniform(0.4, 0.8)),
        "cross": lambda rng: shapes.cross(rng.uniform(0.2, 0.4)),
        "crescent": lambda rng: shapes.crescent(rng.uniform(0.3, 0.6)),
        "gear": lambda rng: shapes.gear(int(rng.integers(7, 13)), rng.uniform(0.2, 0.3)),
        "leaf": lambda rng: shapes.leaf(rng.uniform(0.35, 0.6), rng.uniform(-0.2, 0.2)),
        "crown": lambda rng: shapes.crown(int(rng.integers(3, 6))),
    }
)
"""Name -> outline of a thing of that class, in the order in which classes are taken."""

_OUTLINES: tuple[_Draw, ...] = (
    lambda rng: shapes.circle(),
    lambda rng: shapes.ring(1.0, rng.uniform(0.5, 0.7)),
    lambda rng: shapes.polygon(int(rng.integers(3, 7)), rng.uniform(0, 1)),
    lambda rng: shapes.box(1, rng.uniform(0.4, 1), rng.uniform(0, 0.3)),
    lambda rng: shapes.drop(),
    lambda rng: shapes.shield(rng.uniform(0, 1)),
    lambda rng: shapes.spiral(rng.uniform(1.5, 2.5), 0.2),
)


def make_demo_boxes(
    folder: str | Path, *, pictures: int = 240, classes: int = 5, seed: int = 0
) -> Path:
    """The demo set in `folder`, made unless it is there already and whole; returns the folder.

    15 % of the pictures are for validation and 25 % for test; about one in twelve is empty.

    Args:
        folder: where it lies; made if missing.
        pictures: over all splits, from 6 up.
        classes: how many, 1 to 8.
        seed: that everything follows from.

    Raises:
        ValueError: a number is out of its range.
        FileExistsError: the folder holds something that no demo set made.
        RuntimeError: the disk is full.
    """
    if pictures < 6:
        raise ValueError(f"pictures of the demo set must be at least 6, got {pictures}")
    if not 1 <= classes <= len(CLASSES):
        raise ValueError(f"classes of the demo set must be 1 to {len(CLASSES)}, got {classes}")
    settings = {"set": "boxes", "pictures": pictures, "classes": classes, "seed": seed}
    made = MadeSet(VERSION, settings, _NAMES, lambda place: _fill(place, pictures, classes, seed))
    made.make(Path(folder))
    return Path(folder)


def _fill(folder: Path, pictures: int, classes: int, seed: int) -> None:
    val, test = (max(1, round(_SHARES[split] * pictures)) for split in ("val", "test"))
    sizes: tuple[tuple[Literal["train", "val", "test"], int], ...] = (
        ("train", pictures - val - test),
        ("val", val),
        ("test", test),
    )
    samples: list[Sample] = []
    for number, (split, count) in enumerate(sizes):
        rng = np.random.default_rng([seed, number])
        things = [_thing(rng, name) for name in list(CLASSES)[:classes] for _ in range(_THINGS)]
        others = [_other(rng) for _ in range(_OTHERS)]
        photos = demo_photos(split)
        for index in range(count):
            rng = np.random.default_rng([seed, 3 + number, index])
            scene = compose_scene(rng, photos[index % len(photos)], things, others, _SCENE)
            name = f"images/{split}_{index + 1:04d}.jpg"
            samples.append(write_scene(folder, name, split, scene))
    coco.write_annotations(samples, folder, {sample.id: sample.uri for sample in samples})


def _thing(rng: np.random.Generator, name: str) -> Cutout:
    return _painted(rng, CLASSES[name], name)


def _other(rng: np.random.Generator) -> Cutout:
    return _painted(rng, _OUTLINES[int(rng.integers(len(_OUTLINES)))], "")


def _painted(rng: np.random.Generator, draw: _Draw, label: str) -> Cutout:
    """A shape in one colour or two, often with a rim, at 160 pixels."""
    canvas = Canvas(320)
    outline = shapes.fitted(draw(rng))
    main, second = _colour(rng), _colour(rng)
    if rng.random() < 0.4:
        canvas.paint(canvas.mask(outline), second)
        canvas.paint(canvas.mask(outline, 0.84), main)
    else:
        canvas.paint(canvas.mask(outline), main)
    if rng.random() < 0.5:
        ramp = np.linspace(0.6, 1, canvas.side, dtype=np.float32)
        canvas.rgb *= ramp[:, None, None] if rng.random() < 0.5 else ramp[None, :, None]
    return rgba_cutout(canvas.picture(160), label)


def _colour(rng: np.random.Generator) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.3, 1), rng.uniform(0.35, 1))
