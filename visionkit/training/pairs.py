"""Scenes with known items become lessons for the items' scorers, computed once and kept on disk.

The backbone is frozen, so what it sees in a scene never changes: the first epoch computes and
stores, later epochs only read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import supervision as sv
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.utils.data import Dataset

from visionkit.files import atomic_path
from visionkit.heads.exemplar import Pairs, PairTargets
from visionkit.matching.evidence import Proposals
from visionkit.matching.finder import Finder
from visionkit.types import BoxArray, Image, Numbered

PAIRS_PER_SCENE = 48
_MATCH_IOU, _MISS_IOU, _REFINE_IOU = 0.5, 0.4, 0.3
"""From 0.5 on a candidate shows the item, as AP50 counts it; below 0.4 it does not; between
them nothing is taught. A box that overlaps by 0.3 can still be drawn to its place."""


@dataclass(frozen=True, eq=False)
class LabelledScene:
    """A picture in which every place of every item is known.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) float32 xyxy in pixels; N may be 0.
        items: N names, one a box.
        shown_views: indices of the gallery's views that were pasted in. Their templates are not
            used on this scene, lest they match themselves.
    """

    image: Image
    boxes: BoxArray
    items: tuple[str, ...]
    shown_views: frozenset[int] = field(default=frozenset())

    @classmethod
    def empty(cls, image: Image) -> LabelledScene:
        """A picture that shows none of the items."""
        return cls(image, np.zeros((0, 4), np.float32), ())


SceneSource = Numbered[LabelledScene]
"""Scenes by number; the same number always gives the same scene."""


@dataclass(frozen=True)
class Lessons:
    """What the items' own scorers learn from: pairs of which it is known whether they match.

    Attributes:
        logits: (N,) float32, what the head says of them without the scorers.
        cells: (N, F) float32, what the scorers see (`ExemplarHead.item_cells`).
        item: (N,) int64, whose scorer answers.
        matches: (N,) float32, 1 the item is there, 0 it is not.
    """

    logits: torch.Tensor
    cells: torch.Tensor
    item: torch.Tensor
    matches: torch.Tensor


class LessonDataset(Dataset[Lessons]):
    """Lessons of each scene.

    Args:
        finder: proposes the candidates; its backbone must be frozen, its items have scorers.
        scenes: what to learn from.
        cache: folder for the lessons, or None to compute them each time. Lessons of a finder
            that sees otherwise (another gallery, backbone or setting) are not taken for its own.
    """

    def __init__(self, finder: Finder, scenes: SceneSource, cache: Path | None) -> None:
        self._finder, self._scenes = finder, scenes
        self._cache = cache / _fingerprint(finder) if cache else None

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, index: int) -> Lessons:
        path = self._cache / f"{index:06d}.safetensors" if self._cache else None
        if path is not None and path.is_file():
            try:
                return _unpack(load_file(path))
            except SafetensorError:
                path.unlink()  # damaged on disk; it can be computed anew
        packed = _pack(scene_lessons(self._finder, self._scenes[index]))
        if path is not None:
            with atomic_path(path) as partial:
                save_file(packed, partial)
        return _unpack(packed)  # rounded as those that are read, so that all epochs see the same


@torch.no_grad()
def scene_lessons(finder: Finder, scene: LabelledScene) -> Lessons:
    """The pairs of a scene of which it is known whether they match, as a scorer sees them."""
    pairs, targets = scene_pairs(finder, scene)
    known = (targets.matches >= 0) & (pairs.item >= 0)
    chosen = Pairs(**{name: value[known] for name, value in vars(pairs).items()})
    head = finder.head
    moved = chosen.to(head.center.device)
    return Lessons(
        head.without_items(moved).logits.cpu(),
        head.item_cells(moved).cpu(),
        chosen.item,
        targets.matches[known],
    )


@torch.no_grad()
def scene_pairs(finder: Finder, scene: LabelledScene) -> tuple[Pairs, PairTargets]:
    """The candidates that teach most about a scene, with what is true of them, on the CPU.

    Those are all that show their item and the best of the others, `PAIRS_PER_SCENE` together.
    """
    proposals = finder.propose(scene.image, without=scene.shown_views)
    matches, boxes, has_box = _truth(finder, proposals, scene)
    first = np.argsort(-(matches > 0).astype(int), kind="stable")[:PAIRS_PER_SCENE]
    pairs = finder.pairs(proposals.take(first)).to("cpu")
    targets = PairTargets(
        torch.from_numpy(matches[first]),
        torch.from_numpy(boxes[first]),
        torch.from_numpy(has_box[first]),
    )
    return pairs, targets


def join(batch: Sequence[Lessons]) -> Lessons:
    """The lessons of several scenes as one batch."""
    parts = [vars(lessons) for lessons in batch]
    return Lessons(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def _fingerprint(finder: Finder) -> str:
    """Of everything that a scene's pairs depend on beside the scene."""
    views = [(view.item, view.id) for view in finder.gallery.views]
    plain = (finder.backbone.weights_id, finder.settings, views, PAIRS_PER_SCENE)
    digest = hashlib.sha256(repr(plain).encode())
    for array in (finder.statistics.mean, finder.statistics.spread):
        digest.update(array.tobytes())
    for tensor in finder.head.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _truth(
    finder: Finder, proposals: Proposals, scene: LabelledScene
) -> tuple[NDArray[np.float32], BoxArray, NDArray[np.bool_]]:
    """(N,) matches, (N, 4) true boxes and (N,) whether they may teach, of the proposals."""
    count = len(proposals.candidates)
    number = {item: index for index, item in enumerate(finder.item_names)}
    true_items = np.array([number.get(item, -1) for item in scene.items], np.int64)
    if not count or not len(true_items):
        empty = np.zeros((count, 4), np.float32)
        return np.zeros(count, np.float32), empty, np.zeros(count, bool)
    overlap = sv.box_iou_batch(proposals.candidates.boxes, scene.boxes)
    same = finder.items_of(proposals.candidates)[:, None] == true_items[None]
    overlap = np.where(same, overlap, 0.0)
    best, iou = overlap.argmax(1), overlap.max(1)
    matches = np.where(iou >= _MATCH_IOU, 1.0, np.where(iou < _MISS_IOU, 0.0, -1.0))
    return matches.astype(np.float32), scene.boxes[best].astype(np.float32), iou >= _REFINE_IOU


def _pack(lessons: Lessons) -> dict[str, torch.Tensor]:
    """Half precision for what the scorers see, which is most of it."""
    return {**vars(lessons), "cells": lessons.cells.half()}


def _unpack(packed: dict[str, torch.Tensor]) -> Lessons:
    return Lessons(**{**packed, "cells": packed["cells"].float()})
