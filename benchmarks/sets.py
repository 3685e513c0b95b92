"""The real sets that benchmarks measure on, read from `shared/data` beside the project."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from visionkit.data.images import read_image
from visionkit.data.picture_files import find_images
from visionkit.matching.gallery import View, make_view
from visionkit.types import Image

SHARED = Path(__file__).resolve().parents[2] / "shared"
EXEMPLAR = SHARED / "data" / "exemplar"
PHOTOS = SHARED / "pretrain" / "photos_imagenet_sample"
MOBILENETV2 = SHARED / "weights" / "mobilenetv2_100.tf_in1k_same.safetensors"


@dataclass(frozen=True)
class Scene:
    """A picture with its boxes: (name of the item, xyxy in pixels)."""

    path: Path
    objects: tuple[tuple[str, tuple[float, ...]], ...]

    def image(self) -> Image:
        """The picture, (H, W, 3) uint8 RGB."""
        return read_image(self.path)


@dataclass(frozen=True)
class ExemplarSet:
    """Items to learn and scenes to find them in.

    Attributes:
        views: exemplars of the items.
        scenes: test pictures.
        exemplars: pictures that the views were cut from, with all their boxes.
        empty: pictures that show none of the items.
        presence: (picture, item or None) for picture-level truth.
    """

    views: tuple[View, ...]
    scenes: tuple[Scene, ...]
    exemplars: tuple[Scene, ...] = ()
    empty: tuple[Path, ...] = ()
    presence: tuple[tuple[Path, str | None], ...] = ()


def opencv_box() -> ExemplarSet:
    """OpenCV's matching pair: one exemplar, one scene."""
    folder = EXEMPLAR / "opencv_box"
    truth = json.loads((folder / "truth.json").read_text("utf-8"))
    scene = Scene(folder / truth["image"], (("box", tuple(truth["bbox_xyxy"])),))
    return ExemplarSet((make_view("box", read_image(folder / truth["exemplar"])),), (scene,))


def fridge() -> ExemplarSet:
    """Products in a refrigerator; exemplars from the first three pictures of `positive`."""
    folder = EXEMPLAR / "fridge"
    positive = [_fridge_scene(path) for path in _by_number(folder / "positive")]
    return ExemplarSet(
        views=_cut(positive[:3]),
        scenes=tuple(_fridge_scene(path) for path in _by_number(folder / "testImages")),
        exemplars=tuple(positive[:3]),
        empty=(*find_images(folder / "negative"), *find_images(folder / "score_images")),
    )


def flickrlogos27() -> ExemplarSet:
    """Brands in photos; exemplars are the boxes of subset 1, scenes all other pictures.

    `is_tuned_on` tells which of the scenes constants were chosen on while visionkit was built.
    """
    scenes, subset = _flickr_boxes()
    first = [scene for scene in scenes if subset[scene.path.name] == 1]
    rest = tuple(scene for scene in scenes if subset[scene.path.name] > 1)
    queries = EXEMPLAR / "flickrlogos27" / "query_set_annotation.txt"
    presence = []
    for line in queries.read_text("utf-8").splitlines():
        name, _, brand = line.strip().partition("\t")
        if name:
            path = EXEMPLAR / "flickrlogos27" / "images" / name
            presence.append((path, None if brand == "none" else brand))
    return ExemplarSet(_cut(first), rest, tuple(first), presence=tuple(presence))


def flickrlogos27_subsets(*numbers: int) -> list[Scene]:
    """The pictures of these subsets of FlickrLogos-27, 1 to 6."""
    scenes, subset = _flickr_boxes()
    return [scene for scene in scenes if subset[scene.path.name] in numbers]


def is_tuned_on(scene: Scene) -> bool:
    """Whether the scene is of FlickrLogos-27's subset 2, on which constants were chosen."""
    return _flickr_boxes()[1].get(scene.path.name) == 2


def tuned_on(given: ExemplarSet) -> ExemplarSet:
    """The same items with only those scenes that constants are chosen on."""
    scenes = tuple(scene for scene in given.scenes if is_tuned_on(scene))
    return replace(given, scenes=scenes, empty=(), presence=())


def photos(count: int, *, seed: int = 0) -> list[Image]:
    """Photos without any of the items, for backgrounds; the same for the same seed."""
    paths = find_images(PHOTOS)
    chosen = np.random.default_rng(seed).permutation(len(paths))[:count]
    return [read_image(paths[index]) for index in chosen]


SETS: dict[str, Callable[[], ExemplarSet]] = {
    "opencv_box": opencv_box,
    "fridge": fridge,
    "flickrlogos27": flickrlogos27,
}


def _cut(scenes: Sequence[Scene]) -> tuple[View, ...]:
    views = []
    for scene in scenes:
        image = scene.image()
        views += [
            make_view(item, image, box=box, source=scene.path.name) for item, box in scene.objects
        ]
    return tuple(views)


def _by_number(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jpg"), key=lambda path: int(path.stem))


def _fridge_scene(path: Path) -> Scene:
    boxes = np.loadtxt(path.with_suffix(".bboxes.tsv"), ndmin=2)
    labels = path.with_suffix(".bboxes.labels.tsv").read_text("utf-8").split("\n")
    names = [label.strip() for label in labels if label.strip()]
    objects = [
        (name, tuple(float(edge) for edge in box)) for name, box in zip(names, boxes, strict=True)
    ]
    return Scene(path, tuple(objects))


@cache
def _flickr_boxes() -> tuple[list[Scene], dict[str, int]]:
    """Scenes with their boxes, without doubles and boxes of no size, and the subset of each."""
    folder = EXEMPLAR / "flickrlogos27"
    boxes: dict[str, set[tuple[str, tuple[float, ...]]]] = {}
    subset: dict[str, int] = {}
    for line in (folder / "training_set_annotation.txt").read_text("utf-8").splitlines():
        words = line.split()
        if len(words) < 7:
            continue
        name, brand, number = words[0], words[1], int(words[2])
        box = tuple(float(word) for word in words[3:7])
        subset[name] = min(number, subset.get(name, number))
        if box[2] > box[0] and box[3] > box[1]:
            boxes.setdefault(name, set()).add((brand, box))
    scenes = [
        Scene(folder / "images" / name, tuple(sorted(found))) for name, found in boxes.items()
    ]
    return sorted(scenes, key=lambda scene: scene.path.name), subset
