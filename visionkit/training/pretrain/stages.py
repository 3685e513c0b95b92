"""Pretraining as a whole: which stages run, in what order, and what is shipped of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from visionkit.matching.pyramid import PyramidSettings
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.training.pretrain.box_scenes import composed_boxes
from visionkit.training.pretrain.boxes import BOXES_MEASURES, BoxSettings, pretrain_boxes
from visionkit.training.pretrain.card import Provenance, read_figures, recipe_of, ship
from visionkit.training.pretrain.comparison import (
    COMPARISON_MEASURES,
    ComparisonSettings,
    pretrain_comparison,
    refuse_old_pairs,
)
from visionkit.training.pretrain.material import Material, read_material
from visionkit.training.pretrain.run import COMPARED_FILE, WEIGHTS_FILE, pretrain_backbone
from visionkit.training.pretrain.settings import PretrainConfig

logger = logging.getLogger(__name__)
STAGES = ("backbone", "comparison", "boxes")
_SHARP = 180  # pixels of a photo's shorter side, so that scenes are not made of blur


def pretrain(config: PretrainConfig) -> Path:
    """Path of the output folder, with what the stages that `config.stage` names have learned.

    The stages after the first stand on the backbone's weights in the output folder. Each writes
    its measure; with `ship` the weights and their card are put into that folder.

    Raises:
        ValueError: there is no such stage.
        FileNotFoundError: pictures or weights are missing.
        FileExistsError: a run left pairs to compare in the output folder, and `resume` is false.
    """
    choices = ("all", *STAGES, "ship")
    if config.stage not in choices:
        raise ValueError(f"stage must be one of {', '.join(choices)}, got {config.stage!r}")
    output = Path(config.output)
    if config.stage != "ship":
        _learn(config, STAGES if config.stage == "all" else (config.stage,))
    if config.ship is not None:
        made = json.loads((output / COMPARED_FILE).read_text(encoding="utf-8"))
        provenance = Provenance(
            version=config.version,
            commit=config.commit,
            steps=made["steps"],
            minutes=made["minutes"],
            recipe=recipe_of(config),
            measured=made["measured"],
            note=config.note,
            hardware=config.hardware,
            figures=read_figures(config.figures) if config.figures is not None else (),
            comparison=_measures(output / COMPARISON_MEASURES),
            boxes=_measures(output / BOXES_MEASURES),
        )
        ship(output, Path(config.ship), provenance, image_size=config.view_size)
    return output


def _measures(path: Path) -> dict[str, Any]:
    """What a stage measured; empty where it has not run."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _learn(config: PretrainConfig, stages: Sequence[str]) -> None:
    torch.set_num_threads(config.threads)
    if "comparison" in stages and not config.resume:  # not only when the backbone is learned
        refuse_old_pairs(config.output)
    material = read_material(config)
    logger.info(
        "%d labelled pictures, %d photos, %d marks",
        len(material.labelled.images),
        len(material.photos),
        len(material.marks),
    )
    if "backbone" in stages:
        pretrain_backbone(config, material)
    if "comparison" in stages:
        _comparison(config, material)
    if "boxes" in stages:
        _boxes(config, material)


def _comparison(config: PretrainConfig, material: Material) -> Path:
    stride = PyramidSettings().stride
    return pretrain_comparison(
        _backbone(config, (stride,)),
        [photo for photo in material.photos if min(photo.shape[:2]) >= _SHARP],
        material.held_out,
        Path(config.output),
        settings=ComparisonSettings(**vars(config.comparison), seed=config.seed),
        resume=config.resume,
    )


def _boxes(config: PretrainConfig, material: Material) -> Path:
    chosen = config.boxes
    scenes = composed_boxes(
        material.photos, size=chosen.size, batch_size=chosen.batch_size, seed=config.seed
    )
    held_out = composed_boxes(
        material.held_out, size=chosen.size, batch_size=chosen.batch_size, seed=config.seed + 1
    )
    return pretrain_boxes(
        _backbone(config, (8, 16, 32)),
        scenes,
        list(islice(held_out, chosen.held_out)),
        Path(config.output),
        settings=BoxSettings(
            minutes=chosen.minutes, learning_rate=chosen.learning_rate, seed=config.seed
        ),
        resume=config.resume,
    )


def _backbone(config: PretrainConfig, strides: tuple[int, ...]) -> Backbone:
    """The learned backbone, frozen.

    Raises:
        FileNotFoundError: its stage has not run.
    """
    path = Path(config.output) / WEIGHTS_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} must hold the backbone's weights; run stage=backbone or stage=all first"
        )
    backbone = build_backbone(
        config.student,
        weights="file",
        file=path,
        mean=config.mean,
        std=config.std,
        strides=strides,
    )
    return backbone.freeze()
