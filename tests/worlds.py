"""Small made-up worlds for tests of matching and training: photos, marks, a tiny network.

Nothing here is about quality: a network with random weights tells patches apart well enough to
find what was pasted, and sees a picture in milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import supervision as sv
import torch
from numpy.typing import NDArray

from visionkit.data.drawn import draw_mark
from visionkit.data.framing import Framing
from visionkit.heads.classification import ClassificationHead
from visionkit.heads.exemplar import ExemplarHead
from visionkit.heads.localization import LocalizationHead
from visionkit.inference.parts import ClassificationPart, LocalizationPart
from visionkit.matching.finder import Finder, FinderSettings
from visionkit.matching.gallery import View, make_view
from visionkit.matching.geometry import GeometrySettings
from visionkit.matching.new_finder import whiten
from visionkit.matching.pyramid import PyramidSettings, ScenePyramid, scene_pyramid
from visionkit.matching.search import SearchSettings
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.training.pairs import LabelledScene
from visionkit.types import Image

STRIDE = 8
PYRAMID = PyramidSettings(stride=STRIDE, max_upscale=1.0, max_side=320, min_side=80)
SETTINGS = FinderSettings(
    pyramid=PYRAMID,
    search=SearchSettings(template_cells=(6.0, 8.5), small_template_cells=(4.2,)),
    geometry=GeometrySettings(keypoints=500, scene_side=400),
    candidates=40,
)


@cache
def whole_backbone() -> Backbone:
    """A frozen network with all its layers, and random weights that are the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = build_backbone("mobilenetv4_conv_small_035", weights="random")
    return backbone.freeze().eval()


@cache
def small_backbone() -> Backbone:
    """A view of it that gives the map of one stride and stops there."""
    return whole_backbone().view((STRIDE,), pool_stride=STRIDE)


def photo(seed: int, height: int = 144, width: int = 192) -> Image:
    """(height, width, 3) uint8: soft blotches with some grain, as no mark has them."""
    rng = np.random.default_rng([seed, 7])
    coarse = rng.uniform(0, 255, (height // 24 + 2, width // 24 + 2, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 6, (height, width, 1))
    return np.clip(0.6 * smooth + 50 + grain, 0, 255).astype(np.uint8)


@cache
def mark(seed: int, size: int = 96) -> NDArray[np.uint8]:
    """(size, size, 4) uint8 RGBA: a drawn mark."""
    return draw_mark(np.random.default_rng([seed, 11]), size=size)


def view(item: str, seed: int) -> View:
    """A view of a drawn mark with its transparency."""
    drawn = mark(seed)
    return make_view(item, drawn[..., :3], alpha=drawn[..., 3], source=f"{item}_{seed}.png")


def crop_view(item: str, seed: int) -> View:
    """A view of a drawn mark on a photo, as a crop: no transparency."""
    scene, box = scene_with(mark(seed), (30, 20), 80, seed + 100)
    return make_view(item, scene, box=box)


def scene_with(
    drawn: NDArray[np.uint8], corner: tuple[int, int], side: int, seed: int
) -> tuple[Image, tuple[float, float, float, float]]:
    """A photo with a mark pasted at a corner (x, y), and the box of what is not transparent."""
    ground = photo(seed).copy()
    pasted = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_AREA)
    x, y = corner
    alpha = pasted[..., 3:].astype(np.float32) / 255
    place = ground[y : y + side, x : x + side]
    place[:] = (pasted[..., :3] * alpha + place * (1 - alpha)).round().astype(np.uint8)
    rows = np.flatnonzero((pasted[..., 3] > 25).any(1))
    columns = np.flatnonzero((pasted[..., 3] > 25).any(0))
    box = (x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1)
    return ground, (float(box[0]), float(box[1]), float(box[2]), float(box[3]))


@cache
def reference() -> tuple[ScenePyramid, ...]:
    """Background pictures as the small network sees them."""
    backbone = small_backbone()
    return tuple(scene_pyramid(photo(seed), backbone, PYRAMID) for seed in range(900, 904))


def new_head() -> ExemplarHead:
    """A whitened head that learned nothing; the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        head = ExemplarHead(small_backbone().channels[STRIDE], embedding_size=16)
    whiten(head, reference())
    return head.eval()


def new_finder(
    views: Sequence[View] = (),
    settings: FinderSettings = SETTINGS,
    head: ExemplarHead | None = None,
) -> Finder:
    """A finder of its own, so that a test may change it."""
    finder = Finder(small_backbone(), head or new_head(), settings, reference())
    if views:
        finder.add(views)
    return finder


@cache
def three_items() -> tuple[View, ...]:
    """Two views of each of three items."""
    return tuple(
        make(f"item {number}", number) for number in range(3) for make in (view, crop_view)
    )


def same_finds(first: sv.Detections, second: sv.Detections, *, score_error: float = 1e-5) -> None:
    """Passes if two results are equal."""
    assert len(first) == len(second)
    np.testing.assert_allclose(first.xyxy, second.xyxy, atol=1e-3)
    np.testing.assert_allclose(first.confidence, second.confidence, atol=score_error)
    for name in ("class_name", "view", "inliers"):
        assert first.data[name].tolist() == second.data[name].tolist()


class PastedScenes:
    """Scenes with one mark each, every fourth without; the same number, the same scene."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self._count, self._seed = count, seed

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> LabelledScene:
        rng = np.random.default_rng([self._seed, index])
        if index % 4 == 3:
            return LabelledScene.empty(photo(1000 * self._seed + index))
        number, side = int(rng.integers(3)), int(rng.integers(50, 100))
        corner = (int(rng.integers(0, 192 - side)), int(rng.integers(0, 144 - side)))
        image, box = scene_with(mark(number), corner, side, 1000 * self._seed + index)
        return LabelledScene(image, np.array([box], np.float32), (f"item {number}",))


def classification_part(
    *, multi_label: bool = False, threshold: float = 0.2, size: tuple[int, int] = (96, 128)
) -> ClassificationPart:
    """A head of three classes with weights at random, the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        channels = whole_backbone().pooled_channels
        head = ClassificationHead(channels, 3, multi_label=multi_label)
        torch.nn.init.normal_(head.weight, std=2 * channels**-0.5)
    names = ("cat", "dog", "none of both")
    return ClassificationPart(
        head, names, Framing(size, "letterbox"), dict.fromkeys(names, threshold)
    )


def localization_part(
    *, threshold: float = 0.0, size: tuple[int, int] = (96, 128)
) -> LocalizationPart:
    """A head of two classes with weights at random, the same each time; it sees boxes anywhere."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        channels = whole_backbone().full().channels
        head = LocalizationHead(channels, 2, width=16, depth=1, score_threshold=0.0)
        torch.nn.init.normal_(head.box_branch.quality.weight)
    names = ("car", "bus")
    return LocalizationPart(
        head, names, Framing(size, "letterbox"), dict.fromkeys(names, threshold)
    )
