"""The demo set: items drawn from nothing, and photos that come with visionkit.

It has the form of a user's own data: a folder per item, scenes with boxes in COCO, and pictures
that show none of the items. Training, validation and test use different photos, different
warps and, as far as things that are not to be found go, different marks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.compose import ComposedScene, ComposeSettings, Cutout, compose_scene
from visionkit.data.cutouts import rgba_cutout
from visionkit.data.drawn import draw_mark
from visionkit.data.formats import coco
from visionkit.data.images import read_image
from visionkit.data.making import MadeSet, write_picture
from visionkit.data.picture_files import find_images
from visionkit.types import Image, ObjectBox, Sample, Split

Part = Literal["train", "val", "test", "background"]

VERSION = 1
"""Raised when the same settings give other pictures; sets of another version are made again."""

_PHOTOS = Path(__file__).parent / "demo_photos"
_STOCK: tuple[Part, ...] = ("background", "train", "val")
_OUR_NAMES = re.compile(
    r"items/mark_\d+/view_\d+\.(png|jpg)|scenes/annotations_\w+\.json"
    r"|scenes/images/(train|val|test)_\d+\.jpg|background/nothing_\d+\.jpg"
)
_SHARES = {"val": 0.2, "test": 0.3}
_ITEMS, _SCENES, _BACKGROUND = "items", "scenes", "background"

_SCENE = ComposeSettings(tilt=15.0, camera=0.8)
_VIEW = ComposeSettings(
    image_size=(320, 320),
    items=(1, 1),
    empty=0.0,
    item_side=(110.0, 0.65),
    min_visible=1.0,
    roll=4.0,
    tilt=10.0,
    bend=0.2,
    mount=0.9,
    cover=0.0,
    distractors=(0, 0),
    patches=(0, 0),
    camera=0.5,
)
_NOTHING = ComposeSettings(empty=1.0, distractors=(2, 5), camera=0.8)


@dataclass(frozen=True)
class DemoSettings:
    """What is in a demo set; equal settings give equal pictures.

    Attributes:
        seed: that everything follows from.
        items: how many.
        views: pictures of each item; the first is a clean cutout, the others look like photos.
        scenes: pictures with boxes, over all splits.
        background: pictures without items; every second one shows marks that are not among them.

    Raises:
        ValueError: a number is too small.
    """

    seed: int = 0
    items: int = 8
    views: int = 4
    scenes: int = 60
    background: int = 12

    def __post_init__(self) -> None:
        least = {"seed": 0, "items": 1, "views": 1, "scenes": 3, "background": 0}
        for name, minimum in least.items():
            if (value := getattr(self, name)) < minimum:
                raise ValueError(f"{name} of the demo set must be at least {minimum}, got {value}")


@dataclass(frozen=True)
class DemoSet:
    """Where the parts of a demo set lie.

    Attributes:
        items: folder with a folder per item.
        scenes: folder with COCO files, one a split.
        background: folder of pictures that show none of the items; may be empty.
    """

    items: Path
    scenes: Path
    background: Path


def demo_photos(part: Part = "background") -> list[Image]:
    """The photos of one part that come with visionkit, (H, W, 3) uint8 RGB.

    No photo is in two parts, nor are two photos of one place, except for shops.

    Args:
        part: "train", "val" and "test" are the ground of the demo set's scenes, "background" of
            its pictures without items.

    Raises:
        FileNotFoundError: the installation lacks them.
    """
    return [read_image(path) for path in find_images(_PHOTOS / part)]


def stock_backgrounds() -> list[Image]:
    """Photos without any item to calibrate on where there are no others: all but those of tests.

    Each is (H, W, 3) uint8 RGB.

    Raises:
        FileNotFoundError: the installation lacks them.
    """
    return [photo for part in _STOCK for photo in demo_photos(part)]


def make_demo_set(
    folder: str | Path,
    *,
    seed: int = 0,
    items: int = 8,
    views: int = 4,
    scenes: int = 60,
    background: int = 12,
) -> DemoSet:
    """The parts of the demo set in `folder`, made unless it is there already and whole.

    A set that is damaged, of other settings or of another version is made again. Written whole
    or not at all.

    Args:
        folder: where it lies; made if missing.
        seed: that everything follows from.
        items: how many.
        views: pictures of each item.
        scenes: pictures with boxes, over all splits; at least 3.
        background: pictures without items.

    Raises:
        ValueError: a number is too small.
        FileExistsError: the folder holds something that no demo set made.
        RuntimeError: the disk is full.
    """
    settings = DemoSettings(seed, items, views, scenes, background)
    target = Path(folder)
    made = MadeSet(VERSION, asdict(settings), _OUR_NAMES, lambda place: _fill(place, settings))
    made.make(target)
    return DemoSet(target / _ITEMS, target / _SCENES, target / _BACKGROUND)


def _fill(folder: Path, settings: DemoSettings) -> None:
    marks = _marks(settings)
    names = [f"mark_{index + 1:02d}" for index in range(settings.items)]
    cutouts = [rgba_cutout(mark, name) for mark, name in zip(marks, names, strict=False)]
    others = [rgba_cutout(mark) for mark in marks[settings.items :]]
    for index, cutout in enumerate(cutouts):
        _write_views(folder / _ITEMS / names[index], cutout, index, settings)
    half = len(others) // 2
    _write_scenes(
        folder / _SCENES, cutouts, {"train": others[:half], "test": others[half:]}, settings
    )
    _write_background(folder / _BACKGROUND, others[:half], settings)


def _marks(settings: DemoSettings) -> list[NDArray[np.uint8]]:
    """RGBA marks: first the items, chosen to differ, then those that are not to be found."""
    spare = max(8, min(2 * settings.items, 24))
    drawn = [draw_mark(_rng(settings, 0, index), 224) for index in range(settings.items + spare)]
    looks = np.stack([_look(mark) for mark in drawn])
    distances = np.linalg.norm(looks[:, None] - looks[None], axis=2)
    chosen = [0]
    while len(chosen) < settings.items:
        to_chosen = distances[:, chosen].min(1)
        chosen.append(int(to_chosen.argmax()))
    rest = [index for index in range(len(drawn)) if index not in chosen]
    return [drawn[index] for index in (*chosen, *rest)]


def _look(mark: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Colours of the mark on grey at 12x12 pixels, as a unit vector, for telling marks apart."""
    small = cv2.resize(mark, (12, 12), interpolation=cv2.INTER_AREA).astype(np.float32)
    alpha = small[..., 3:] / 255
    colours = (small[..., :3] * alpha + 128 * (1 - alpha)).ravel()
    colours -= colours.mean()
    return np.asarray(colours / max(float(np.linalg.norm(colours)), 1e-6), np.float32)


def _write_views(folder: Path, cutout: Cutout, item: int, settings: DemoSettings) -> None:
    alpha = cast(NDArray[np.uint8], cutout.alpha)
    write_picture(folder / "view_1.png", np.dstack([cutout.image, alpha]))
    photos = demo_photos("train")
    for view in range(1, settings.views):
        rng = _rng(settings, 1, item, view)
        write_picture(folder / f"view_{view + 1}.jpg", _view(rng, cutout, photos))


def _view(rng: np.random.Generator, cutout: Cutout, photos: Sequence[Image]) -> Image:
    """The item as someone would cut it from a photo, with a little of what is around it."""
    scene = _scene_with_item(rng, cutout, photos)
    left, top, right, bottom = scene.boxes[0]
    margin = rng.uniform(0, 0.06) * max(right - left, bottom - top)
    rows = slice(max(int(top - margin), 0), int(bottom + margin) + 1)
    columns = slice(max(int(left - margin), 0), int(right + margin) + 1)
    return np.ascontiguousarray(scene.image[rows, columns])


def _scene_with_item(
    rng: np.random.Generator, cutout: Cutout, photos: Sequence[Image]
) -> ComposedScene:
    for _ in range(100):  # now and then no place is found that shows all of it
        photo = photos[int(rng.integers(len(photos)))]
        scene = compose_scene(rng, photo, [cutout], settings=_VIEW)
        if scene.labels:
            return scene
    raise RuntimeError(
        f"no view of {cutout.label!r} could be composed; choose another seed for the demo set"
    )


def _write_scenes(
    folder: Path,
    cutouts: Sequence[Cutout],
    others: dict[str, list[Cutout]],
    settings: DemoSettings,
) -> None:
    samples: list[Sample] = []
    for split, count in _split_sizes(settings.scenes).items():
        photos = demo_photos(cast(Part, split))
        distractors = others["test" if split == "test" else "train"]
        for index in range(count):
            rng = _rng(settings, 2, len(samples))
            photo = photos[index % len(photos)]
            scene = compose_scene(rng, photo, cutouts, distractors, _SCENE)
            name = f"images/{split}_{index + 1:03d}.jpg"
            samples.append(write_scene(folder, name, split, scene))
    coco.write_annotations(samples, folder, {sample.id: sample.uri for sample in samples})


def _split_sizes(scenes: int) -> dict[Split, int]:
    val = max(1, round(_SHARES["val"] * scenes))
    test = max(1, round(_SHARES["test"] * scenes))
    return {"train": scenes - val - test, "val": val, "test": test}


def write_scene(folder: Path, name: str, split: Split, scene: ComposedScene) -> Sample:
    """Writes the picture of a scene to `folder / name`; returns it as a sample of that name."""
    write_picture(folder / name, scene.image)
    boxes = [
        ObjectBox(str(label), cast(tuple[float, float, float, float], tuple(box.tolist())))
        for label, box in zip(scene.labels, scene.boxes, strict=True)
    ]
    height, width = scene.image.shape[:2]
    return Sample(name, name, width, height, "", split, objects=tuple(boxes))


def _write_background(folder: Path, others: Sequence[Cutout], settings: DemoSettings) -> None:
    folder.mkdir(parents=True)
    photos = demo_photos("background")
    plain = ComposeSettings(empty=1.0, distractors=(0, 0), patches=(0, 0), camera=0.5)
    for index in range(settings.background):
        rng = _rng(settings, 3, index)
        look = plain if index % 2 == 0 else _NOTHING
        scene = compose_scene(rng, photos[index % len(photos)], [], others, look)
        write_picture(folder / f"nothing_{index + 1:03d}.jpg", scene.image)


def _rng(settings: DemoSettings, *path: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, *path])
