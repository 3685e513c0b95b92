"""The backbone's stage: read, train by the clock, measure, and write the weights down."""

from __future__ import annotations

import csv
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import lightning
import safetensors.torch
import timm
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from torch import nn
from torch.utils.data import DataLoader

from visionkit.files import atomic_path, write_json
from visionkit.models.build_backbone import build_backbone
from visionkit.models.weights import is_head, load_into, read_weights
from visionkit.training.pretrain.bank import Bank, make_bank
from visionkit.training.pretrain.batches import PretrainStream
from visionkit.training.pretrain.compare import compare
from visionkit.training.pretrain.material import Material
from visionkit.training.pretrain.measure import measure
from visionkit.training.pretrain.module import LossWeights, Pretraining, Teacher
from visionkit.training.pretrain.settings import PretrainConfig
from visionkit.training.pretrain.taught import asked_before
from visionkit.training.pretrain.views import PairSettings, shown_views

logger = logging.getLogger(__name__)
WEIGHTS_FILE = "starter.safetensors"
CHECKPOINT_FILE = "last.ckpt"
TAUGHT_FILE = "taught.safetensors"
COMPARED_FILE = "compared.json"


def pretrain_backbone(config: PretrainConfig, material: Material) -> Path:
    """Path of the weights file in the output folder: the averaged student, float16.

    Beside it lie `metrics.json`, `measured.csv` (one row a measurement), `compared.json` (with
    the teacher and an untrained network), `logs/` and the checkpoint from which `resume=true`
    goes on.

    Raises:
        FileNotFoundError: pictures or the teacher's weights are missing.
        ValueError: the teacher's weights don't fit, or the pictures name unknown classes.
    """
    torch.set_num_threads(config.threads)
    lightning.seed_everything(config.seed, verbose=False)
    output = Path(config.output)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bank = _bank(config, material, device)
    module = _build(config, material, bank, output).to(device)
    stream = _stream(config, bank)
    draws = torch.Generator(device).manual_seed(config.seed)
    if "dense" in "".join(name for name, weight in asdict(config.wishes).items() if weight):
        module.fit_whitening(shown_views(bank, 256, config.shown_size, config.item_part, draws))
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=1,
        precision="bf16-mixed" if device.type == "cuda" else "32-true",
        max_epochs=-1,
        max_steps=-1,
        logger=CSVLogger(output, name="logs", flush_logs_every_n_steps=20),
        log_every_n_steps=20,
        gradient_clip_val=5.0,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            ModelCheckpoint(
                output,
                "last",
                train_time_interval=timedelta(minutes=2),
                enable_version_counter=False,
            ),
            GrowPictures(stream, config.labelled_sizes),
            TimeLeft(),
            Measure(config, material, output),
        ],
    )
    cv2.setNumThreads(1)  # the network has the threads
    loader = DataLoader(stream, batch_size=None, num_workers=0)
    checkpoint = output / CHECKPOINT_FILE
    trainer.fit(
        module, loader, ckpt_path=checkpoint if config.resume and checkpoint.is_file() else None
    )
    module.to(device)  # the trainer leaves it on the CPU
    compared = compare(config, output / WEIGHTS_FILE, module, material)
    steps, minutes = trainer.global_step, module.elapsed / 60
    write_json(output / COMPARED_FILE, {"steps": steps, "minutes": minutes, "measured": compared})
    return output / WEIGHTS_FILE


def export(network: nn.Module, path: Path) -> None:
    """Writes a network's weights as float16 safetensors under timm's names, without classifier."""
    state = {
        key: value.detach().half().contiguous() if value.is_floating_point() else value
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked") and not is_head(key)
    }
    with atomic_path(path) as partial:
        safetensors.torch.save_file(state, partial, metadata={"format": "pt"})


class GrowPictures(lightning.Callback):
    """Shows the labelled pictures in each of these sizes for an equal part of the time.

    Small pictures first cost a fraction and teach nearly as much (Touvron et al., "Fixing the
    train-test resolution discrepancy", 2019; Tan and Le, "EfficientNetV2", 2021).
    """

    def __init__(self, stream: PretrainStream, sizes: Sequence[int]) -> None:
        self._stream, self._sizes = stream, list(sizes)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any
    ) -> None:
        """Sets the size of the batches to come."""
        if isinstance(pl_module, Pretraining):
            place = min(len(self._sizes) - 1, int(pl_module.progress * len(self._sizes)))
            self._stream.labelled_size = self._sizes[place]


class TimeLeft(lightning.Callback):
    """A progress bar of the minutes, since it is the clock that ends the training."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("step {task.fields[step]}  loss {task.fields[loss]:.3f}"),
            console=Console(stderr=True),
            redirect_stderr=False,
        )

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Shows it."""
        self._task = self._bar.add_task("pretraining", total=1.0, step=0, loss=0.0)
        self._bar.start()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        *args: Any,
    ) -> None:
        """Moves it."""
        if isinstance(pl_module, Pretraining) and trainer.global_step % 10 == 0:
            self._bar.update(
                self._task,
                completed=pl_module.progress,
                step=trainer.global_step,
                loss=float(outputs["loss"]),
            )

    def teardown(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Ends it, after an error too."""
        self._bar.stop()


class Measure(lightning.Callback):
    """Writes the averaged student and what it is worth, every few minutes and at the end."""

    def __init__(self, config: PretrainConfig, material: Material, output: Path) -> None:
        self._config, self._material, self._output = config, material, output
        self._last = 0.0

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Counts from here, after a resume too."""
        self._last = pl_module.elapsed if isinstance(pl_module, Pretraining) else 0.0

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any
    ) -> None:
        """Measures when it is time."""
        elapsed = pl_module.elapsed if isinstance(pl_module, Pretraining) else 0.0
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
        ).to(module.device)
        material = self._material
        values = measure(
            backbone,
            material.labelled.first(known),
            material.labelled_val.first(asked),
            material.searches,
            enlarged=False,
        )
        row = {
            "step": trainer.global_step,
            "minutes": round(module.elapsed / 60, 1),
            "known": known,
            **{key: round(value, 4) for key, value in values.items()},
        }
        _append_row(self._output / "measured.csv", row)
        write_json(self._output / "metrics.json", {**row, "config": asdict(self._config)})
        logger.info("%s", json.dumps(row))


def _bank(config: PretrainConfig, material: Material, device: torch.device) -> Bank:
    return make_bank(
        material.labelled,
        material.photos,
        material.marks,
        photo_side=config.photo_side,
        mark_side=config.mark_side,
        seed=config.seed,
        device=device,
    )


def _stream(config: PretrainConfig, bank: Bank) -> PretrainStream:
    red, green, blue = config.mean
    settings = PairSettings(
        size=config.view_size,
        cutout_part=config.cutout_part,
        alone_part=config.alone_part,
        bent_part=config.bent_part,
        covered_part=config.covered_part,
        colour=(red, green, blue),
    )
    return PretrainStream(
        bank,
        batch_size=config.batch_size,
        pairs=config.pairs,
        shown=config.shown,
        shown_size=config.shown_size,
        item_part=config.item_part,
        mixed_part=config.mixed_part,
        labelled_size=config.labelled_sizes[0],
        settings=settings,
        seed=config.seed + (int(time.time()) if config.resume else 0),
    )


def _build(config: PretrainConfig, material: Material, bank: Bank, output: Path) -> Pretraining:
    wishes, device = config.wishes, bank.photos.device
    dense = {8: wishes.dense_8, 16: wishes.dense_16, 32: wishes.dense_32}
    teacher = Teacher(
        config.teacher.name,
        config.teacher.file,
        mean=config.teacher.mean,
        std=config.teacher.std,
        compiled=config.compiled,
        pad_type=config.teacher.pad_type,
    ).to(device)
    logger.info("asking the teacher about %d labelled pictures", len(bank.labelled))
    taught = asked_before(output / TAUGHT_FILE, teacher, bank.labelled, size=config.teacher_size)
    return Pretraining(
        _student(config).to(device),
        teacher,
        taught,
        material.classes.to(device)[bank.labels],
        weights=LossWeights(
            match=wishes.match,
            dense={stride: weight for stride, weight in dense.items() if weight},
            pooled=wishes.pooled,
            logits=wishes.logits,
            labels=wishes.labels,
        ),
        seconds=config.minutes * 60,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        average=config.average,
        temperature=config.temperature,
        shrinkage=config.shrinkage,
        mean=config.mean,
        std=config.std,
        compiled=config.compiled,
    )


def _student(config: PretrainConfig) -> nn.Module:
    """The network as it begins."""
    student: nn.Module = timm.create_model(config.student, pretrained=False)
    if config.start is not None:
        load_into(student, read_weights(config.start), origin=config.start)
    return student


def _append_row(path: Path, row: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
