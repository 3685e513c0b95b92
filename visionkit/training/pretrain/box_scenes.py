"""Endless composed scenes with the boxes of all that was laid on them, whatever it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from visionkit.data.compose import ComposedScene, ComposeSettings, compose_scene, photo_patch
from visionkit.data.cutouts import Cutout, rgba_cutout
from visionkit.data.drawn import draw_mark
from visionkit.training.pretrain.searches import pick
from visionkit.types import Image

BoxBatch = tuple[Tensor, list[Tensor]]
"""(B, 3, S, S) uint8 RGB pictures, and for each the (N, 4) float32 xyxy boxes, pixels."""
_MARK_SIDE = 128
_SHOWN = 4  # kinds of marks, and of pieces of photos, that one scene may hold


def composed_boxes(
    photos: Sequence[Image], *, size: int, batch_size: int, seed: int, marks: int = 200
) -> Iterator[BoxBatch]:
    """Batches of square scenes without end: drawn marks and pieces of photos on other photos.

    Nothing is laid on a scene that has no box, but for what covers some of the objects.

    Args:
        photos: (H, W, 3) uint8 RGB, at least one.
        size: S, pixels.
        batch_size: B.
        seed: the same gives the same scenes.
        marks: how many are drawn before the first batch, about 50 ms each.

    Raises:
        ValueError: there are no photos.
    """
    if not photos:
        raise ValueError("composed scenes must have at least one photo, got none")
    rng = np.random.default_rng(seed)
    cutouts = [rgba_cutout(draw_mark(rng, size=_MARK_SIDE), index) for index in range(marks)]
    settings = ComposeSettings(
        (size, size), items=(1, 7), patches=(0, 0), distractors=(0, 0), mount=0.2, cover=0.15
    )
    while True:
        scenes = [_scene(rng, photos, cutouts, settings) for _ in range(batch_size)]
        images = torch.from_numpy(np.stack([scene.image for scene in scenes]))
        boxes = [torch.from_numpy(scene.boxes) for scene in scenes]
        yield images.permute(0, 3, 1, 2).contiguous(), boxes


def _scene(
    rng: np.random.Generator,
    photos: Sequence[Image],
    marks: Sequence[Cutout],
    settings: ComposeSettings,
) -> ComposedScene:
    shown = [marks[index] for index in rng.integers(len(marks), size=_SHOWN if marks else 0)]
    for index in range(_SHOWN):
        shown.append(photo_patch(rng, pick(rng, photos), label=len(marks) + index))
    return compose_scene(rng, pick(rng, photos), shown, (), settings)
