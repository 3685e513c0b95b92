"""What the teacher says of the labelled pictures: asked once, kept in a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from visionkit.files import atomic_path

Teach = Callable[[Tensor], tuple[dict[int, Tensor], Tensor, Tensor]]
"""(B, 3, H, W) in 0..1 -> maps by stride, pooled features (B, D), logits (B, K)."""


@dataclass(frozen=True)
class Taught:
    """The teacher's view of each labelled picture, shown whole and larger than the student sees it.

    So a fixed answer stands for all random parts of a picture, and no step waits for the teacher
    (Shen and Xing, "A Fast Knowledge Distillation Framework", ECCV 2022, do so for each crop).

    Attributes:
        pooled: (N, D) float16, standardised a column.
        logits: (N, K) float16.
        mean, spread: (D,) float32, what they were standardised by.
    """

    pooled: Tensor
    logits: Tensor
    mean: Tensor
    spread: Tensor

    def standardised(self, pooled: Tensor) -> Tensor:
        """(B, D) of further pictures, by the same numbers."""
        return (pooled - self.mean) / self.spread


@torch.no_grad()
def ask(teacher: Teach, pictures: Tensor, *, size: int, batch_size: int = 100) -> Taught:
    """The teacher's answers to (N, 3, s, s) uint8 pictures scaled to `size` pixels."""
    pooled, logits = [], []
    for start in range(0, len(pictures), batch_size):
        batch = pictures[start : start + batch_size].float() / 255
        scaled = F.interpolate(batch, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
        _, features, classes = teacher(scaled)
        pooled.append(features.float())
        logits.append(classes.half())
    features = torch.cat(pooled)
    mean, spread = features.mean(0), features.std(0, correction=0).clamp(min=1e-3)
    return Taught(((features - mean) / spread).half(), torch.cat(logits), mean, spread)


def asked_before(path: Path, teacher: Teach, pictures: Tensor, *, size: int) -> Taught:
    """What `ask` says, from `path` if it lies there for as many pictures, else written there."""
    if path.is_file():
        kept = safetensors.torch.load_file(path)
        names = {field.name for field in fields(Taught)}  # an earlier version kept fewer
        if kept.keys() == names and len(kept["logits"]) == len(pictures):
            device = pictures.device
            return Taught(**{name: value.to(device) for name, value in kept.items()})
    taught = ask(teacher, pictures, size=size)
    with atomic_path(path) as partial:
        safetensors.torch.save_file(
            {name: value.contiguous() for name, value in vars(taught).items()}, partial
        )
    return taught
