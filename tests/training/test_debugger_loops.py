"""The training debugger in plain loops that are sound: what people do there is no fault."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit import TrainingDebugger
from visionkit.training.debugger import TrainingWatch

Batch = tuple[Tensor, Tensor]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 4),
    )


def watched(
    model: nn.Module, optimizer: torch.optim.Optimizer, first_step: int = 0
) -> TrainingWatch:
    return TrainingDebugger(say=lambda _: None).watch(model, optimizer, first_step=first_step)


def step(watch: TrainingWatch, model: nn.Module, batch: Batch) -> None:
    loss = F.cross_entropy(model(batch[0]), batch[1])
    watch.loss(loss)
    loss.backward()


def rules(watch: TrainingWatch) -> list[str]:
    return [finding.rule for finding in watch.findings]


def test_pictures_with_a_white_rim_are_not_taken_for_the_same() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    watch = watched(model, optimizer)
    shown = torch.ones(64, 3, 64, 64)
    shown[:, :, 4:-4, 4:-4] = torch.rand(64, 3, 56, 56)
    for batch in watch.batches([(part, torch.randint(4, (8,))) for part in shown.split(8)]):
        optimizer.zero_grad()
        step(watch, model, batch)
        optimizer.step()
    assert "same_batch" not in rules(watch)
