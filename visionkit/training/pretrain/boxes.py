"""Boxes before there are classes: what the localization head starts from.

On a frozen backbone the pyramid and the box branch learn to find all that was laid on composed
scenes. Any localization head of the same sizes takes what they learned (`load_class_agnostic`);
its class branch is its own.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import lightning
import safetensors.torch
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from torchvision.ops import box_iou

from visionkit.files import atomic_path, write_json
from visionkit.heads.localization import BoxTargets, LocalizationHead
from visionkit.models.backbone import Backbone
from visionkit.models.weights import BOXES_FILE
from visionkit.training.pretrain.box_scenes import BoxBatch

logger = logging.getLogger(__name__)
CHECKPOINT_FILE = "boxes.ckpt"
BOXES_MEASURES = "boxes.json"
_LIMIT = 50  # boxes a picture that recall counts
_WARM_STEPS = 50


@dataclass(frozen=True)
class BoxSettings:
    """How boxes are learned.

    Attributes:
        minutes: of training in all; time before a resume counts.
        learning_rate, weight_decay: of AdamW; the rate falls along a cosine of the clock.
        average: decay a step of the weight average, which is what is kept.
        width: channels of the pyramid.
        depth: separable convolutions of the box branch.
        seed: of the first weights.
    """

    minutes: float = 30.0
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    average: float = 0.998
    width: int = 128
    depth: int = 2
    seed: int = 0


def pretrain_boxes(
    backbone: Backbone,
    scenes: Iterable[BoxBatch],
    held_out: Iterable[BoxBatch],
    output: str | Path,
    *,
    settings: BoxSettings | None = None,
    resume: bool = False,
) -> Path:
    """Path of the learned weights: the averaged pyramid and box branch, float16 safetensors.

    The file's metadata hold the head's sizes (JSON) and the backbone's `weights_id`. Beside it
    lie `boxes.json` (recall, of the same head untrained too), `logs/` and the checkpoint from
    which `resume` goes on.

    Args:
        backbone: with maps of the strides that the head shall see; is frozen, and stays so.
        scenes: batches without end, or a collection that can be gone through again and again;
            on any device. After a resume it should begin with others.
        held_out: batches that nobody learns from, with at least one box.
        output: folder, made if it is not there.
        settings: None takes the defaults.
        resume: whether to go on from the checkpoint, if there is one.

    Raises:
        ValueError: the checkpoint is of another backbone, `scenes` ran out before the time did,
            or `held_out` has no box.
    """
    settings, output = settings or BoxSettings(), Path(output)
    module = BoxPretraining(backbone, settings)
    checkpoint = output / CHECKPOINT_FILE
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=1,
        precision="bf16-mixed" if torch.cuda.is_available() else "32-true",
        max_epochs=-1,
        max_steps=-1,
        logger=CSVLogger(output, name="logs", flush_logs_every_n_steps=20),
        log_every_n_steps=20,
        gradient_clip_val=5.0,
        enable_model_summary=False,
        callbacks=[
            ModelCheckpoint(
                output, checkpoint.stem, every_n_train_steps=100, enable_version_counter=False
            )
        ],
    )
    going_on = resume and checkpoint.is_file()
    loader = DataLoader(_Endless(scenes), batch_size=None, num_workers=0)
    trainer.fit(module, loader, ckpt_path=checkpoint if going_on else None)
    trainer.save_checkpoint(checkpoint)
    path = output / BOXES_FILE
    _export(module.averaged, path, backbone)
    measured = {
        "steps": trainer.global_step,
        "minutes": round(float(module.elapsed) / 60, 2),
        "settings": asdict(settings),
        **_compare(backbone, module.averaged, held_out, settings),
    }
    write_json(output / BOXES_MEASURES, measured)
    logger.info("%s", json.dumps(measured))
    return path


@torch.inference_mode()
def box_recall(
    backbone: Backbone, head: LocalizationHead, scenes: Iterable[BoxBatch], *, limit: int = _LIMIT
) -> dict[str, float]:
    """Part of the true boxes, 0..1, that one of a picture's best boxes meets.

    As "recall_50" and "recall_75": with an IoU of at least 0.5 and of at least 0.75.

    Args:
        backbone: any, frozen or in evaluation mode.
        head: on the same device; its thresholds are as before afterwards.
        scenes: batches with at least one box.
        limit: best boxes a picture that count, whatever their score.

    Raises:
        ValueError: there is no true box.
    """
    best: list[Tensor] = []
    threshold, most = head.score_threshold, head.max_detections
    head.score_threshold, head.max_detections = 0.0, limit
    try:
        for images, boxes in scenes:
            outputs = head(backbone(_unit(images.to(head.box_branch.scales.device))))
            sizes = [(images.shape[2], images.shape[3])] * len(images)
            for found, true in zip(head.decode(outputs, sizes), boxes, strict=True):
                iou = box_iou(true.cpu(), torch.from_numpy(found.xyxy))
                best.append(iou.max(1).values if len(found) else torch.zeros(len(true)))
    finally:
        head.score_threshold, head.max_detections = threshold, most
    reached = torch.cat(best) if best else torch.zeros(0)
    if not len(reached):
        raise ValueError("held-out scenes must have at least one box, got none")
    return {f"recall_{level}": float((reached >= level / 100).float().mean()) for level in (50, 75)}


class BoxPretraining(lightning.LightningModule):
    """The head without classes that learns, and the average of its past weights.

    Args:
        backbone: is frozen here.
        settings: how boxes are learned.
    """

    elapsed: Tensor

    def __init__(self, backbone: Backbone, settings: BoxSettings) -> None:
        super().__init__()
        self._backbone = [backbone.freeze()]  # in a list, so that it stays out of checkpoints
        self.settings = settings
        self.head = new_head(backbone, settings)
        self.averaged = copy.deepcopy(self.head).requires_grad_(False)
        self.register_buffer("elapsed", torch.zeros((), dtype=torch.float64))
        self._clock = 0.0

    @property
    def progress(self) -> float:
        """Part of the time that is over, 0..1."""
        return min(1.0, float(self.elapsed) / (60 * self.settings.minutes))

    def rate(self) -> float:
        """The learning rate of now: a warm-up, then a cosine to 1 % of the full rate."""
        warm = min(1.0, (self.global_step + 1) / _WARM_STEPS)
        falling = 0.01 + 0.99 * (1 + math.cos(math.pi * self.progress)) / 2
        return self.settings.learning_rate * warm * falling

    def training_step(self, batch: BoxBatch, batch_index: int) -> Tensor:
        """The loss of one batch, ()."""
        images, boxes = batch
        with torch.no_grad():
            features = self._backbone[0](_unit(images))
        losses = self.head.loss(self.head(features), BoxTargets(boxes))
        total = torch.stack(list(losses.values())).sum()
        values = {f"loss/{name}": value.detach() for name, value in losses.items()}
        self.log_dict({**values, "rate": self.rate()}, batch_size=len(images))
        self.log("loss/all", total.detach(), prog_bar=True, batch_size=len(images))
        self.log("done", self.progress, prog_bar=True, batch_size=len(images))
        return total

    def on_fit_start(self) -> None:
        """Brings the backbone to where the head is."""
        self._backbone[0].to(self.device)

    def on_train_start(self) -> None:
        """Starts the clock."""
        self._clock = time.monotonic()

    def on_train_batch_start(self, batch: BoxBatch, batch_index: int) -> None:
        """Sets the rate by the clock."""
        for group in cast(torch.optim.Optimizer, self.optimizers()).param_groups:
            group["lr"] = self.rate()

    def on_train_batch_end(self, outputs: object, batch: BoxBatch, batch_index: int) -> None:
        """Averages the weights, reads the clock and stops when the time is over."""
        decay = min(self.settings.average, (1 + self.global_step) / (10 + self.global_step))
        with torch.no_grad():
            pairs = zip(self.averaged.parameters(), self.head.parameters(), strict=True)
            for mean, value in pairs:
                mean.lerp_(value, 1 - decay)
        now = time.monotonic()
        self.elapsed += now - self._clock
        self._clock = now
        if self.progress >= 1:
            self.trainer.should_stop = True

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; norms, biases and scales are not decayed."""
        weights = list(self.head.parameters())
        groups = [
            {
                "params": [weight for weight in weights if weight.ndim > 1],
                "weight_decay": self.settings.weight_decay,
            },
            {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.settings.learning_rate)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Notes on which backbone was learned."""
        checkpoint["backbone"] = self._backbone[0].weights_id

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Refuses a checkpoint of another backbone."""
        if checkpoint["backbone"] != self._backbone[0].weights_id:
            raise ValueError(
                "the checkpoint of the boxes must be of the backbone given, got one of another; "
                "start without resume, or in another folder"
            )


class _Endless(IterableDataset[BoxBatch]):
    """Batches again and again, on the device on which they are."""

    def __init__(self, scenes: Iterable[BoxBatch]) -> None:
        self._scenes = scenes

    def __iter__(self) -> Iterator[BoxBatch]:
        while True:
            empty = True
            for batch in self._scenes:
                empty = False
                yield batch
            if empty:
                raise ValueError(
                    "scenes must go on until the time is over, got no more of them; give a stream "
                    "without end, or a list"
                )


def new_head(backbone: Backbone, settings: BoxSettings) -> LocalizationHead:
    """A head without classes; the same seed gives the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        return LocalizationHead(backbone.channels, 0, width=settings.width, depth=settings.depth)


def _compare(
    backbone: Backbone,
    head: LocalizationHead,
    held_out: Iterable[BoxBatch],
    settings: BoxSettings,
) -> dict[str, dict[str, float]]:
    scenes = list(held_out)
    device = head.box_branch.scales.device
    untrained = new_head(backbone, settings).to(device).eval()
    backbone = backbone.to(device)
    return {
        "trained": box_recall(backbone, head, scenes),
        "untrained": box_recall(backbone, untrained, scenes),
    }


def _export(head: LocalizationHead, path: Path, backbone: Backbone) -> None:
    state = {
        name: value.detach().cpu().half().contiguous()
        for name, value in head.class_agnostic_state().items()
    }
    metadata = {
        "format": "pt",
        "sizes": json.dumps(head.sizes),
        "backbone": backbone.weights_id,
    }
    with atomic_path(path) as partial:
        safetensors.torch.save_file(state, partial, metadata=metadata)


def _unit(images: Tensor) -> Tensor:
    """Bytes as floats in 0..1."""
    return images.float() / 255
