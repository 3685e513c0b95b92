"""The training debugger in plain loops that are sound: what people do there is no fault."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit import TrainingDebugger
from visionkit.training.debugger import TrainingWatch
from visionkit.training.debugger.classes import NamedClasses

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


@pytest.mark.parametrize("is_before_step", [True, False])
def test_an_epoch_that_is_left_early_leaves_no_hooks_and_no_number_twice(
    is_before_step: bool,
) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    watch = watched(model, optimizer)
    batches = [(torch.rand(8, 3, 32, 32), torch.randint(4, (8,))) for _ in range(8)]
    for _ in range(3):
        for number, batch in enumerate(watch.batches(batches)):
            if number == 2 and is_before_step:
                break
            optimizer.zero_grad()
            step(watch, model, batch)
            optimizer.step()
            if number == 1 and not is_before_step:
                break
        assert not any(module._forward_hooks for module in model.modules())
    watch.finish()
    steps = [number for number, _ in watch.history.losses]
    assert len(steps) == len({*steps}) == 6


def test_vectors_are_compared_by_the_labels_of_their_own_batch_where_gradients_are_summed() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)  # slow: the loss stays that of chance
    watch = watched(model, optimizer)
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    for number in range(4 * 8):
        labels = torch.randint(4, (16,))
        shown = colours[labels][:, :, None, None] + 0.05 * torch.randn(16, 3, 32, 32)
        watch.begin((shown, labels), epoch=0)
        step(watch, model, (shown, labels))
        if number % 4 == 3:
            watch.before_update()
            optimizer.step()
            optimizer.zero_grad()
        watch.end()
    seen = [look.embeddings for look in watch.history.looks if look.embeddings is not None]
    assert len(seen) > 1
    assert sum(one.hits for one in seen) > 0.9 * sum(one.count for one in seen)


def test_what_is_unfrozen_in_the_course_of_a_training_may_move() -> None:
    model = network()
    model.insert(1, nn.BatchNorm2d(8))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    model[:2].requires_grad_(False)
    model[1].eval()
    watch = watched(model, optimizer)
    for epoch in range(2):
        model[:2].requires_grad_(epoch > 0).train(epoch > 0)
        for batch in watch.batches([(torch.randn(8, 3, 16, 16), torch.randint(4, (8,)))] * 30):
            optimizer.zero_grad()
            step(watch, model, batch)
            optimizer.step()
    assert not {"frozen_moved", "norm_statistics_moved"} & {*rules(watch)}


class Scaled(nn.Module):
    """A scale of each channel, as of ConvNeXt's blocks: all begin alike in health."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full(shape, 1e-2))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.scale * features


@pytest.mark.parametrize("shape", [(16, 1, 1), (1, 16, 1, 1)])
def test_scales_of_channels_that_begin_alike_are_no_poor_initialisation(
    shape: tuple[int, ...],
) -> None:
    model = network()
    model.insert(4, Scaled(*shape))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    watch = watched(model, optimizer)
    for batch in watch.batches([(torch.randn(8, 3, 16, 16), torch.randint(4, (8,)))]):
        step(watch, model, batch)
        optimizer.step()
    assert "poor_initialisation" not in rules(watch)


@pytest.mark.parametrize(("first_step", "found"), [(0, True), (5000, False)])
def test_a_training_that_goes_on_may_have_learned_all_before(first_step: int, found: bool) -> None:
    torch.manual_seed(0)
    model = nn.Linear(8, 8)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    watch = watched(model, optimizer, first_step)
    for batch in watch.batches([torch.randn(16, 8) for _ in range(300)]):
        optimizer.zero_grad()
        loss = (model(batch).detach() - model(batch) + torch.randn(16, 8)).square().mean()
        watch.loss(loss)
        loss.backward()
        optimizer.step()
    assert ("loss_not_falling" in rules(watch)) == found


def test_labels_that_the_loss_leaves_out_are_no_class() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    watch = watched(model, optimizer)
    for number in range(8):
        labels = torch.arange(64) % 4
        labels[: 2 * (number == 1)] = -100
        watch.begin((torch.randn(64, 3, 16, 16), labels), epoch=0)
        step(watch, model, (torch.randn(64, 3, 16, 16), labels))
        watch.before_update()
        optimizer.step()
        watch.end()
    assert {*watch.history.labels} == {0, 1, 2, 3}


def test_numbers_of_pictures_are_no_classes_of_a_validation() -> None:
    named = NamedClasses(network(), 581_930)  # the largest number of a picture of COCO, and one
    assert named.close() is None


def test_a_model_that_is_saved_or_copied_within_the_loop_is_whole_and_unwatched() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    watch = watched(model, optimizer)
    batches = [(torch.rand(8, 3, 32, 32), torch.randint(4, (8,))) for _ in range(6)]
    for batch in watch.batches(batches):  # of which four are looked at
        optimizer.zero_grad()
        file = io.BytesIO()
        torch.save(model, file)
        assert b"visionkit" not in file.getvalue(), "whoever loads it need not have the package"
        file.seek(0)
        for other in (torch.load(file, weights_only=False), copy.deepcopy(model)):
            torch.testing.assert_close(other(batch[0]), model(batch[0]), rtol=0, atol=0)
            other(torch.full_like(batch[0], 1e9))  # nothing of which the watch sees
        step(watch, model, batch)
        optimizer.step()
    watch.finish()
    assert len(watch.history.looks) == 4
    assert all(max(look.flow.largest.values()) < 100 for look in watch.history.looks)
    assert not watch.findings


@pytest.mark.parametrize("kind", [str, Path])
def test_the_folder_of_findings_may_be_a_string(
    tmp_path: Path, kind: type[str] | type[Path]
) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    watch = watched(model, optimizer)
    for batch in watch.batches([(torch.rand(8, 3, 32, 32), torch.randint(4, (8,)))]):
        step(watch, model, batch)
        optimizer.step()
    assert watch.finish(kind(tmp_path / "new")) == []
    assert json.loads((tmp_path / "new/findings.json").read_text()) == []
