"""The student, its teacher, what is asked of it, and the schedule by the clock."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import lightning
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.models.weights import load_into, read_weights
from visionkit.training.pretrain.batches import PretrainBatch
from visionkit.training.pretrain.objective import (
    DenseDistillation,
    PooledDistillation,
    logits_loss,
    match_loss,
)
from visionkit.training.pretrain.taught import Taught
from visionkit.training.pretrain.views import Pairs


@dataclass(frozen=True)
class LossWeights:
    """How much each wish counts; 0 leaves it out.

    Attributes:
        match: points told apart between views, at strides 8 and 16.
        dense: the teacher's maps of views, by stride.
        pooled: the teacher's pooled features, of labelled pictures and of views.
        logits: the teacher's classes, of the same.
        labels: the classes of the labelled pictures.
    """

    match: float = 1.0
    dense: Mapping[int, float] | None = None
    pooled: float = 1.0
    logits: float = 1.0
    labels: float = 0.5


class Teacher(nn.Module):
    """A frozen classifier that shows its maps and classes; batch norms are folded away.

    It computes in bfloat16, which halves its time and costs none of its accuracy.
    """

    def __init__(
        self,
        name: str,
        file: str,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        compiled: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        self.network = timm.create_model(name, pretrained=False, **options)
        load_into(self.network, read_weights(file), origin=file)
        self.network.requires_grad_(False).eval().to(memory_format=torch.channels_last)
        self.scale = Normalise(mean, std)
        self._see = torch.compile(see, dynamic=False) if compiled else see

    def train(self, mode: bool = True) -> Teacher:
        """Itself, in evaluation mode whatever is asked."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[dict[int, Tensor], Tensor, Tensor]:
        """Stride -> map, (B, D) pooled features and (B, K) logits of (B, 3, H, W) in 0..1."""
        with torch.autocast(images.device.type, torch.bfloat16):
            maps, pooled, logits = self._see(self.network, self.scale(images))
        return {key: value.float() for key, value in maps.items()}, pooled.float(), logits.float()


class Normalise(nn.Module):
    """(x - mean) / std a channel, channels last."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Same shape."""
        scaled = (images - self.mean) / self.std
        return scaled.contiguous(memory_format=torch.channels_last)


def see(network: nn.Module, pixels: Tensor) -> tuple[dict[int, Tensor], Tensor, Tensor]:
    """Stride -> deepest map of it, pooled last map (B, C) and logits (B, K) of a classifier."""
    model = cast(Any, network)
    final, maps = model.forward_intermediates(pixels)
    strides = [int(entry["reduction"]) for entry in model.feature_info]
    pooled = final.mean(dim=(2, 3))
    return dict(zip(strides, maps, strict=True)), pooled, model.forward_head(final)


@torch.no_grad()
def update_average(averaged: nn.Module, student: nn.Module, decay: float) -> None:
    """Moves every weight of `averaged` towards the student's by 1 - decay; counters are copied."""
    means, values = averaged.state_dict(), student.state_dict()
    floats = [name for name, mean in means.items() if mean.is_floating_point()]
    torch._foreach_lerp_(
        [means[name] for name in floats], [values[name] for name in floats], 1 - decay
    )
    for name in means.keys() - floats:
        means[name].copy_(values[name])


class Pretraining(lightning.LightningModule):
    """Student with its teacher; the average of the student's past weights is what is shipped.

    Args:
        student: a timm classifier with as many classes as the teacher.
        teacher: see `Teacher`.
        taught: the teacher's answers to the labelled pictures.
        labels: (N,) int64, the teacher's class of each labelled picture.
        weights: how much each wish counts.
        seconds: how long the training takes in all; rates follow the clock, so that it ends
            well on a machine of any speed. Time before a resume counts.
        learning_rate, weight_decay: of AdamW; the rate warms up and falls along a cosine.
        average: decay a step of the weight average.
        temperature: of the match loss.
        shrinkage: of the whitening of the teacher's maps.
        mean, std: what the student expects of RGB in 0..1.
        compiled: whether the student's passes are compiled; one to two minutes at the start for
            steps that take about 0.7 of the time.

    Attributes:
        elapsed: seconds of training so far.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher,
        taught: Taught,
        labels: Tensor,
        *,
        weights: LossWeights,
        seconds: float,
        learning_rate: float,
        weight_decay: float,
        average: float,
        temperature: float,
        shrinkage: float,
        mean: Sequence[float],
        std: Sequence[float],
        compiled: bool,
    ) -> None:
        super().__init__()
        self.student = student.to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.student).requires_grad_(False).eval()
        # In a list, so that they stay out of the checkpoints.
        self._outside = [teacher, taught, labels]
        self._see = torch.compile(see, dynamic=False) if compiled else see
        self.weights, self.seconds = weights, seconds
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.average, self.temperature = average, temperature
        self.scale = Normalise(mean, std)
        self.elapsed = 0.0  # not on the device: to ask for it there would wait for every step
        self._clock: float | None = None
        with torch.no_grad(), _evaluating(student):
            probe = torch.zeros(1, 3, 64, 64, device=next(student.parameters()).device)
            (seen, own, _), (shown, theirs, _) = see(student, probe), teacher(probe)
        self.distil = nn.ModuleDict(
            {
                str(stride): DenseDistillation(
                    seen[stride].shape[1], shown[stride].shape[1], shrinkage=shrinkage
                )
                for stride in (weights.dense or {})
            }
        )
        self.distil_pooled = PooledDistillation(own.shape[1], theirs.shape[1])

    @torch.no_grad()
    def fit_whitening(self, views: Tensor, *, batch_size: int = 32) -> None:
        """Whitens what is asked of the student's maps by the teacher's of (B, 3, S, S) views."""
        shown = [self.teacher(part)[0] for part in torch.split(views, batch_size)]
        for stride, distil in cast(dict[str, DenseDistillation], self.distil).items():
            distil.fit(torch.cat([maps[int(stride)] for maps in shown]))

    @property
    def teacher(self) -> Teacher:
        """The network that is learned from."""
        return cast(Teacher, self._outside[0])

    @property
    def taught(self) -> Taught:
        """The teacher's answers to the labelled pictures."""
        return cast(Taught, self._outside[1])

    @property
    def labels(self) -> Tensor:
        """(N,) int64, the teacher's class of each labelled picture."""
        return cast(Tensor, self._outside[2])

    @property
    def progress(self) -> float:
        """Part of the time that is over, 0..1."""
        return min(1.0, self.elapsed / self.seconds)

    def rate(self) -> float:
        """The learning rate of now: 4 % warm-up, then a cosine to 1 % of the full rate."""
        warm = min(1.0, (self.global_step + 1) / 50)
        return (
            self.learning_rate * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * self.progress)) / 2)
        )

    def training_step(self, batch: PretrainBatch, batch_index: int) -> Tensor:
        """The loss of one batch, ()."""
        losses = {**self._labelled(batch), **self._shown(batch), **self._match(batch.pairs)}
        total = torch.stack(list(losses.values())).sum()
        values = {f"loss/{name}": value.detach() for name, value in losses.items()}
        self.log_dict({**values, "loss/all": total.detach(), "rate": self.rate()})
        return total

    def transfer_batch_to_device(
        self, batch: PretrainBatch, device: torch.device, dataloader_idx: int
    ) -> PretrainBatch:
        """The batch as it is: it was made on the device."""
        return batch

    def on_train_batch_start(self, batch: PretrainBatch, batch_index: int) -> None:
        """Sets the rate by the clock."""
        for group in cast(torch.optim.Optimizer, self.optimizers()).param_groups:
            group["lr"] = self.rate()

    def on_train_batch_end(self, outputs: object, batch: PretrainBatch, batch_index: int) -> None:
        """Averages the weights, reads the clock and stops when the time is over."""
        decay = min(self.average, (1 + self.global_step) / (10 + self.global_step))
        update_average(self.averaged, self.student, decay)
        now = time.monotonic()
        self.elapsed += now - (self._clock if self._clock is not None else now)
        self._clock = now
        if self.progress >= 1:
            self.trainer.should_stop = True

    def on_train_start(self) -> None:
        """Starts the clock."""
        self._clock = time.monotonic()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the time that is over."""
        checkpoint["elapsed"] = self.elapsed

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on from it."""
        self.elapsed = float(checkpoint["elapsed"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; norms and biases are not decayed."""
        trained = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.learning_rate)

    def _labelled(self, batch: PretrainBatch) -> dict[str, Tensor]:
        """What is asked of the labelled pictures."""
        weights, taught, chosen = self.weights, self.taught, batch.chosen
        _, pooled, logits = self._see(self.student, self.scale(batch.labelled))
        wanted = taught.pooled[chosen].float(), taught.logits[chosen]
        right = F.cross_entropy(logits.float(), self.labels[chosen], label_smoothing=0.1)
        return {"labels": weights.labels * right, **self._classes("", pooled, logits, *wanted)}

    def _shown(self, batch: PretrainBatch) -> dict[str, Tensor]:
        """What is asked of the views that the teacher is asked about, too."""
        if not len(batch.shown):
            return {}
        maps, pooled, logits = self._see(self.student, self.scale(batch.relit))
        wanted, features, classes = self.teacher(batch.shown)
        losses = self._classes(
            "_shown", pooled, logits, self.taught.standardised(features), classes
        )
        for stride, weight in (self.weights.dense or {}).items():
            loss, cosine = self.distil[str(stride)](maps[stride].float(), wanted[stride])
            losses[f"dense_{stride}"] = weight * loss
            self.log(f"cosine_{stride}", cosine.detach())
        return losses

    def _classes(
        self, kind: str, pooled: Tensor, logits: Tensor, features: Tensor, classes: Tensor
    ) -> dict[str, Tensor]:
        """The teacher's pooled features and classes, asked of the student's."""
        divergence = logits_loss(logits.float(), classes.float(), temperature=2.0)
        return {
            f"pooled{kind}": self.weights.pooled * self.distil_pooled(pooled.float(), features),
            f"logits{kind}": self.weights.logits * divergence,
        }

    def _match(self, pairs: Pairs | None) -> dict[str, Tensor]:
        """Points of the pairs' first views told apart in their second views."""
        if not self.weights.match or pairs is None:
            return {}
        views = torch.cat([pairs.first, pairs.second])
        maps = {
            stride: value.float()
            for stride, value in self._see(self.student, self.scale(views))[0].items()
        }
        count = len(pairs.first)
        with torch.autocast(self.device.type, enabled=False):  # bfloat16 can't count pixels
            return {
                f"match_{stride}": self.weights.match
                * match_loss(
                    maps[stride][:count],
                    maps[stride][count:],
                    pairs,
                    stride=stride,
                    temperature=self.temperature,
                )
                for stride in (8, 16)
            }


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for the block, then what it was."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
