"""The whole of pretraining: read, train by the clock, measure, and write the weights down."""

from __future__ import annotations

import csv
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import safetensors.torch
import timm
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader

from visionkit.data.drawn import draw_mark
from visionkit.files import atomic_path, write_json
from visionkit.models.backbone import Backbone, build_backbone
from visionkit.models.weights import is_head
from visionkit.training.pretrain.batches import PretrainStream
from visionkit.training.pretrain.measure import (
    Search,
    hit_rate,
    make_searches,
    neighbour_accuracy,
)
from visionkit.training.pretrain.module import LossWeights, Pretraining, Teacher
from visionkit.training.pretrain.pictures import LabelledPictures, read_labelled, read_photos
from visionkit.training.pretrain.views import Cutout
from visionkit.types import Image

logger = logging.getLogger(__name__)
WEIGHTS_FILE = "starter.safetensors"
CHECKPOINT_FILE = "last.ckpt"


@dataclass
class TeacherConfig:
    """The network that is learned from."""

    name: str
    file: str
    mean: list[float]
    std: list[float]
    pad_type: str


@dataclass
class WishConfig:
    """How much each wish counts; 0 leaves it out."""

    match: float
    dense_8: float
    dense_16: float
    dense_32: float
    logits: float
    labels: float


@dataclass
class PretrainConfig:
    """What a pretraining run is told; `conf/pretrain.yaml` says a sentence about each."""

    labelled: str
    labelled_val: str
    held_out: str
    held_out_every: int
    photos: list[str]
    teacher: TeacherConfig
    student: str
    mean: list[float]
    std: list[float]
    wishes: WishConfig
    minutes: float
    batch_size: int
    pairs: int
    labelled_size: int
    view_size: int
    cutout_part: float
    marks: int
    learning_rate: float
    weight_decay: float
    average: float
    temperature: float
    measure_minutes: float
    searches: int
    threads: int
    seed: int
    output: str
    resume: bool


@dataclass(frozen=True)
class Pictures:
    """All that is learned from and measured on."""

    labelled: LabelledPictures
    labelled_val: LabelledPictures
    photos: list[Image]
    marks: list[Cutout]
    searches: dict[str, list[Search]]
    classes: torch.Tensor


def pretrain(config: PretrainConfig) -> Path:
    """Path of the weights file in the output folder: the averaged student, float16.

    Beside it lie `metrics.json`, `measured.csv` (one row a measurement), `logs/` and the
    checkpoint from which `resume=true` goes on.

    Raises:
        FileNotFoundError: pictures or the teacher's weights are missing.
        ValueError: the teacher's weights don't fit, or the pictures name unknown classes.
    """
    torch.set_num_threads(config.threads)
    lightning.seed_everything(config.seed, verbose=False)
    output = Path(config.output)
    pictures = read_pictures(config)
    logger.info(
        "%d labelled pictures, %d photos, %d marks",
        len(pictures.labelled.images),
        len(pictures.photos),
        len(pictures.marks),
    )
    module = _build(config, pictures.classes)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        max_steps=-1,
        logger=CSVLogger(output, name="logs", flush_logs_every_n_steps=20),
        log_every_n_steps=20,
        gradient_clip_val=5.0,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            ModelCheckpoint(output, "last", every_n_train_steps=100, enable_version_counter=False),
            Measure(config, pictures, output),
        ],
    )
    stream = PretrainStream(
        pictures.labelled,
        pictures.photos,
        pictures.marks,
        batch_size=config.batch_size,
        pairs=config.pairs,
        labelled_size=config.labelled_size,
        view_size=config.view_size,
        cutout_part=config.cutout_part,
        seed=config.seed + (int(time.time()) if config.resume else 0),
    )
    # In this process and before it forks: OpenCV's threads don't survive a fork, and setting
    # their number in the worker waits for them for ever.
    cv2.setNumThreads(1)
    loader = DataLoader(stream, batch_size=None, num_workers=0)
    checkpoint = output / CHECKPOINT_FILE
    trainer.fit(
        module, loader, ckpt_path=checkpoint if config.resume and checkpoint.is_file() else None
    )
    return output / WEIGHTS_FILE


def read_pictures(config: PretrainConfig) -> Pictures:
    """Everything decoded; of the held-out folder every nth photo is only measured on."""
    labelled = read_labelled(config.labelled)
    photos = read_photos([config.held_out], longest_side=384)
    held_out = photos[:: config.held_out_every]
    learned = [photo for i, photo in enumerate(photos) if i % config.held_out_every]
    learned += read_photos(config.photos, longest_side=384)
    marks = [_mark(config.seed, index) for index in range(config.marks)]
    unseen = [_mark(config.seed + 1, index) for index in range(config.searches)]
    return Pictures(
        labelled=labelled,
        labelled_val=read_labelled(config.labelled_val),
        photos=learned,
        marks=marks,
        searches=make_searches(held_out, unseen, count=config.searches, seed=1),
        classes=_teacher_classes(labelled.wnids, config.held_out),
    )


def measure(
    backbone: Backbone,
    pictures: Pictures,
    *,
    known: int = 30000,
    asked: int = 2400,
    size: int = 128,
    enlarged: bool = True,
) -> dict[str, float]:
    """Neighbour accuracy and hit rates, 0..1, of a backbone with maps of stride 8 and 16."""
    labelled = pictures.labelled
    values = {
        "neighbours": neighbour_accuracy(
            backbone,
            LabelledPictures(labelled.images[:known], labelled.labels[:known], labelled.wnids),
            LabelledPictures(
                pictures.labelled_val.images[:asked],
                pictures.labelled_val.labels[:asked],
                labelled.wnids,
            ),
            size=size,
        )
    }
    for kind, searches in pictures.searches.items():
        for stride in (8, 16):
            values[f"{kind}_{stride}"] = hit_rate(backbone, searches, stride=stride)
        if enlarged:
            values[f"{kind}_16_enlarged"] = hit_rate(backbone, searches, stride=16, enlarge=2.0)
    return values


def export(network: nn.Module, path: Path) -> None:
    """Writes a network's weights as float16 safetensors under timm's names, without classifier."""
    state = {
        key: value.detach().half().contiguous() if value.is_floating_point() else value
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked") and not is_head(key)
    }
    with atomic_path(path) as partial:
        safetensors.torch.save_file(state, partial, metadata={"format": "pt"})


class Measure(lightning.Callback):
    """Writes the averaged student and what it is worth, every few minutes and at the end."""

    def __init__(self, config: PretrainConfig, pictures: Pictures, output: Path) -> None:
        self._config, self._pictures, self._output = config, pictures, output
        self._last = 0.0

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any
    ) -> None:
        """Measures when it is time."""
        elapsed = float(pl_module.elapsed) if isinstance(pl_module, Pretraining) else 0.0
        if elapsed - self._last >= self._config.measure_minutes * 60:
            self._last = elapsed
            self._measure(trainer, pl_module, known=3000, asked=600)

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Measures on more pictures, and leaves a checkpoint of the end."""
        trainer.save_checkpoint(self._output / CHECKPOINT_FILE)
        self._measure(trainer, pl_module, known=6000, asked=1200)

    def _measure(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        *,
        known: int,
        asked: int,
    ) -> None:
        if not isinstance(module, Pretraining):
            raise TypeError(f"Measure goes with Pretraining, got {type(module).__name__}")
        path = self._output / WEIGHTS_FILE
        export(module.averaged, path)
        backbone = build_backbone(
            self._config.student,
            weights="file",
            file=path,
            mean=self._config.mean,
            std=self._config.std,
        )
        values = measure(backbone, self._pictures, known=known, asked=asked, enlarged=known > 3000)
        row = {
            "step": trainer.global_step,
            "minutes": round(float(module.elapsed) / 60, 1),
            "known": known,
            **{key: round(value, 4) for key, value in values.items()},
        }
        _append_row(self._output / "measured.csv", row)
        write_json(self._output / "metrics.json", {**row, "config": asdict(self._config)})
        logger.info("%s", json.dumps(row))


def _build(config: PretrainConfig, classes: torch.Tensor) -> Pretraining:
    wishes = config.wishes
    dense = {8: wishes.dense_8, 16: wishes.dense_16, 32: wishes.dense_32}
    teacher = Teacher(
        config.teacher.name,
        config.teacher.file,
        mean=config.teacher.mean,
        std=config.teacher.std,
        pad_type=config.teacher.pad_type,
    )
    return Pretraining(
        timm.create_model(config.student, pretrained=False),
        teacher,
        classes,
        weights=LossWeights(
            match=wishes.match,
            dense={stride: weight for stride, weight in dense.items() if weight},
            logits=wishes.logits,
            labels=wishes.labels,
        ),
        seconds=config.minutes * 60,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        average=config.average,
        temperature=config.temperature,
        mean=config.mean,
        std=config.std,
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


def _append_row(path: Path, row: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
