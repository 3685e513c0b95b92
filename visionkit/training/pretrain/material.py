"""Everything a run learns from and is measured on, read or drawn at its start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from visionkit.data.drawn import draw_mark
from visionkit.training.pretrain.pictures import LabelledPictures, read_labelled, read_photos
from visionkit.training.pretrain.searches import Cutout, Search, make_searches
from visionkit.training.pretrain.settings import PretrainConfig
from visionkit.types import Image


@dataclass(frozen=True)
class Material:
    """All that is learned from and measured on."""

    labelled: LabelledPictures
    labelled_val: LabelledPictures
    photos: list[Image]
    marks: list[Cutout]
    held_out: list[Image]
    searches: dict[str, list[Search]]
    classes: torch.Tensor


def read_material(config: PretrainConfig) -> Material:
    """Everything decoded; of the held-out folder every nth photo is only measured on."""
    labelled = read_labelled(config.labelled)
    photos = read_photos([config.held_out], longest_side=384)
    held_out = photos[:: config.held_out_every]
    learned = [photo for i, photo in enumerate(photos) if i % config.held_out_every]
    learned += read_photos(config.photos, longest_side=384, left_out=config.left_out)
    marks = [_mark(config.seed, index) for index in range(config.marks)]
    unseen = [_mark(config.seed + 1, index) for index in range(config.searches)]
    return Material(
        labelled=labelled,
        labelled_val=read_labelled(config.labelled_val),
        photos=learned,
        marks=marks,
        held_out=held_out,
        searches=make_searches(held_out, unseen, count=config.searches, seed=1),
        classes=_teacher_classes(labelled.wnids, config.held_out),
    )


def _mark(seed: int, index: int) -> Cutout:
    return draw_mark(np.random.default_rng([seed, index]), size=128)


def _teacher_classes(wnids: tuple[str, ...], folder: str) -> torch.Tensor:
    """The teacher's class of each WordNet id: the teacher's are those of the folder, sorted."""
    names = sorted({path.name.split("_")[0] for path in Path(folder).iterdir()})
    missing = [wnid for wnid in wnids if wnid not in names]
    if missing:
        raise ValueError(
            f"every class must be one of the teacher's, but {missing[0]} is none of the "
            f"{len(names)} WordNet ids in {folder}"
        )
    return torch.tensor([names.index(wnid) for wnid in wnids])
