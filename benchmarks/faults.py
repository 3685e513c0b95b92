"""Small real trainings, each with one fault planted that a rule of the debugger is for.

Every one is a plain loop over pictures of drawn patterns: a network with convolutions learns in a
few dozen steps to tell four directions of stripes. `clean` is the same without a fault.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from visionkit import TrainingDebugger
from visionkit.training.debugger import DebuggerSettings, Finding

CLASSES = 4
SIDE = 24
MEAN, STD = 0.45, 0.23
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Boxed:
    """A batch that also says what became of its boxes."""

    images: Tensor
    labels: Tensor
    given: Tensor
    lost: Tensor


@dataclass
class Training:
    """A training that may be changed before it is run.

    Attributes:
        model: gives (B, 4) logits.
        batches: (images, labels) of one epoch, by its number.
        epochs: how many.
        rate: learning rate.
        momentum: of SGD; None takes AdamW.
        loss: of a batch.
        settings: of the debugger.
        pack: what the loader gives for pictures and labels.
        prepare: called with the model and the optimizer before the first step.
        each: called with the model before every step.
        validation: step by step of the epochs, a loss; None has no validation.
        confusion: of a validation, how the model names pictures of each class; None tells nothing.
    """

    model: nn.Module
    batches: Callable[[int], Sequence[tuple[Tensor, Tensor]]]
    epochs: int = 6
    rate: float = 3e-3
    momentum: float | None = None
    loss: Loss = field(default_factory=lambda: usual_loss)
    settings: DebuggerSettings = field(default_factory=lambda: DebuggerSettings(interval=4))
    pack: Callable[[Tensor, Tensor], Any] = lambda images, labels: (images, labels)
    prepare: Callable[[nn.Module, torch.optim.Optimizer], None] = lambda *_: None
    each: Callable[[nn.Module], None] = lambda _: None
    delay: float = 0.0
    hang: int | None = None
    validation: Callable[[int, float], float] | None = None
    confusion: Callable[[nn.Module], NDArray[np.int64]] | None = None
    left_out: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()


class Stripes(nn.Module):
    """Two convolutions, a mean, two layers."""

    def __init__(self, activation: type[nn.Module] = nn.ReLU, *, norm: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 5, stride=2)
        self.norm = nn.BatchNorm2d(16) if norm else nn.Identity()
        self.first = activation()
        self.middle = nn.Conv2d(16, 24, 3, stride=2)
        self.second = activation()
        self.neck = nn.Linear(24, 24)
        self.third = activation()
        self.head = nn.Linear(24, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 4) logits."""
        maps = self.second(self.middle(self.first(self.norm(self.stem(images)))))
        return self.head(self.third(self.neck(maps.mean((2, 3)))))


def usual_loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(model(images), labels)


def pictures(count: int, seed: int, *, weights: Sequence[float] | None = None) -> tuple[Any, Any]:
    """(N, 3, H, W) normalised pictures of stripes in four directions, and (N,) their classes."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(CLASSES, count, p=weights)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    angle = labels[:, None, None] * math.pi / CLASSES + rng.normal(0, 0.08, (count, 1, 1))
    phase = rng.uniform(0, 2 * math.pi, (count, 1, 1))
    waves = np.sin(2 * math.pi * 4 * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    images = 0.5 + 0.35 * waves[:, None] + rng.normal(0, 0.08, (count, 3, SIDE, SIDE))
    images = (images.clip(0, 1) - MEAN) / STD
    return torch.tensor(images, dtype=torch.float32), torch.tensor(labels)


def shuffled(images: Tensor, labels: Tensor, size: int = 32) -> Callable[[int], Any]:
    """Batches in another order each epoch."""

    def of(epoch: int) -> list[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(epoch))
        return [(images[part], labels[part]) for part in order.split(size) if len(part) == size]

    return of


def clean(seed: int = 0, *, count: int = 320) -> Training:
    """The training without a fault."""
    torch.manual_seed(seed)
    return Training(Stripes(), shuffled(*pictures(count, seed)))


def run(training: Training) -> list[Finding]:
    """What the debugger finds in a training, in the order in which it says it."""
    parameters = [
        each
        for name, each in training.model.named_parameters()
        if not name.startswith(training.left_out or ("\0",))
    ]
    optimizer: torch.optim.Optimizer = torch.optim.AdamW(parameters, lr=training.rate)
    if training.momentum is not None:
        optimizer = torch.optim.SGD(parameters, lr=training.rate, momentum=training.momentum)
    training.prepare(training.model, optimizer)
    debugger = TrainingDebugger(training.settings, frozen=training.frozen, say=lambda _: None)
    watch = debugger.watch(training.model, optimizer)
    for epoch in range(training.epochs):
        last = math.nan
        for batch in watch.batches(_loaded(training, epoch)):
            images, labels = _unpacked(batch)
            training.each(training.model)
            loss = training.loss(training.model, images, labels)
            watch.loss(loss)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            last = float(loss.detach())
        if training.validation is not None:
            watch.validated(training.validation(epoch, last))
        if training.confusion is not None:
            watch.validated(confusion=training.confusion(training.model))
        if watch.stopped:
            break
    return watch.finish()


def _loaded(training: Training, epoch: int) -> Iterator[Any]:
    for number, (images, labels) in enumerate(training.batches(epoch)):
        time.sleep(training.delay)
        if training.hang is not None and epoch > 0 and number == training.hang:
            time.sleep(1.5)
        yield training.pack(images, labels)


def _unpacked(batch: Any) -> tuple[Tensor, Tensor]:
    return (batch.images, batch.labels) if isinstance(batch, Boxed) else batch


def _deep(activation: type[nn.Module], depth: int, *, gain: float | None = None) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 32)]
    for _ in range(depth):
        layers += [activation(), nn.Linear(32, 32)]
    model = nn.Sequential(*layers, activation(), nn.Linear(32, CLASSES))
    if gain is not None:
        for each in model:
            if isinstance(each, nn.Linear):
                nn.init.normal_(each.weight, std=gain * each.in_features**-0.5)
    return model


def _nonfinite() -> Training:
    class Root(Stripes):
        """Takes a root of what may be below zero, from its thirtieth call on."""

        calls = 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            if self.calls > 30:
                self.neck.register_forward_hook(lambda module, inputs, output: output.sqrt())
            return super().forward(images)

    return replace(clean(), model=Root())


def _raw_pictures() -> Training:
    training = clean()
    training.model.pretrained_cfg = {"mean": (MEAN,) * 3, "std": (STD,) * 3}  # type: ignore[assignment]
    images, labels = pictures(320, 0)
    return replace(training, batches=shuffled(images * STD + MEAN, labels))


def _same_batch() -> Training:
    images, labels = pictures(320, 0)
    return replace(clean(), batches=lambda _: [(images[:32], labels[:32])] * 10)


def _alike() -> Training:
    training = clean()
    nn.init.constant_(training.model.middle.weight, 0.02)  # type: ignore[union-attr]
    return training


def _dead() -> Training:
    training = clean()
    nn.init.constant_(training.model.middle.bias, -30.0)  # type: ignore[union-attr]
    return training


def _saturated() -> Training:
    training = replace(clean(), model=Stripes(nn.Tanh))
    with torch.no_grad():
        training.model.middle.weight *= 200  # type: ignore[union-attr]
    return training


def _zero() -> Training:
    def loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return usual_loss(model, images, labels) + 0 * model.extra.sum()  # type: ignore[union-attr]

    training = clean()
    training.model.extra = nn.Parameter(torch.randn(24, 24))
    return replace(training, loss=loss, epochs=8)


def _frozen_moves() -> Training:
    """What is meant to stay is among what the optimizer was given."""
    return replace(clean(), frozen=("stem",))


def _statistics_move() -> Training:
    def prepare(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for part in (model.stem, model.norm):
            part.requires_grad_(False)  # type: ignore[union-attr]

    return replace(clean(), prepare=prepare)


def _collapsed() -> Training:
    """Likeness alone is rewarded, and nothing pushes apart."""

    def loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        kept: list[Tensor] = []
        handle = model.head.register_forward_hook(  # type: ignore[union-attr,operator]
            lambda module, inputs, output: kept.append(inputs[0])
        )
        model(images)
        handle.remove()
        vectors = F.normalize(kept[0], dim=1)
        return 10 * (1 - vectors @ F.normalize(vectors.mean(0), dim=0)).mean()

    return replace(clean(), model=Stripes(nn.Tanh), loss=loss, epochs=16, rate=1e-2)


def _imbalanced() -> Training:
    weights = [0.97, 0.01, 0.01, 0.01]
    return replace(clean(), batches=shuffled(*pictures(960, 0, weights=weights)))


def _boxes() -> Training:
    def pack(images: Tensor, labels: Tensor) -> Boxed:
        given = torch.bincount(labels, minlength=CLASSES)
        return Boxed(images, labels, given, given // 2)

    return replace(clean(), pack=pack)


def _shuffled_labels() -> Training:
    images, labels = pictures(1280, 0)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    return replace(clean(), batches=shuffled(images, labels[order]), rate=1e-3, epochs=3)


def _no_fall() -> Training:
    """The step goes up the gradient."""

    def prepare(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            group["maximize"] = True

    return replace(clean(), prepare=prepare, rate=1e-4, epochs=24)


def _overfitting() -> Training:
    rising = lambda epoch, last: 0.5 + 0.1 * abs(epoch - 3)  # noqa: E731
    return replace(clean(), validation=rising, epochs=14, rate=1e-3)


def _confused() -> Training:
    """Four of five pictures of class 3 are labelled as class 2."""
    images, labels = pictures(640, 0)
    wrong = (labels == 3) & (torch.arange(len(labels)) % 5 > 0)
    return replace(
        clean(),
        batches=shuffled(images, torch.where(wrong, 2, labels)),
        confusion=named_classes,
    )


def named_classes(model: nn.Module) -> NDArray[np.int64]:
    """(4, 4) how many of 160 other pictures of each class (row) the model names as each."""
    images, labels = pictures(160, 7)
    with torch.no_grad():
        named = model.eval()(images).argmax(1)
    model.train()
    counts = np.zeros((CLASSES, CLASSES), np.int64)
    np.add.at(counts, (labels.numpy(), named.numpy()), 1)
    return counts


def _overtraining() -> Training:
    flat = lambda epoch, last: 0.5 + 0.001 * abs(epoch - 3)  # noqa: E731
    return replace(clean(), validation=flat, epochs=20, rate=1e-3)


def _unchanged() -> Training:
    return replace(clean(), left_out=("middle",))


def _exploding_gradient() -> Training:
    def loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return 1e7 * usual_loss(model, images, labels)

    return replace(clean(), loss=loss)


def _exploding_tensor() -> Training:
    def each(model: nn.Module) -> None:
        with torch.no_grad():
            model.neck.weight.mul_(8)  # type: ignore[union-attr,operator]

    return replace(clean(), each=each, rate=1e-4)


FAULTS: dict[str, Callable[[], Training]] = {
    "nonfinite": _nonfinite,
    "input_not_normalised": _raw_pictures,
    "same_batch": _same_batch,
    "poor_initialisation": _alike,
    "dead_relu": _dead,
    "saturated_activation": _saturated,
    "frozen_moved": _frozen_moves,
    "norm_statistics_moved": _statistics_move,
    "unchanged_tensor": _unchanged,
    "exploding_gradient": _exploding_gradient,
    "exploding_tensor": _exploding_tensor,
    "vanishing_gradient": lambda: replace(clean(), model=_deep(nn.Sigmoid, 10)),
    "collapsed_embeddings": _collapsed,
    "learning_rate": lambda: replace(clean(), rate=2.0, momentum=0.9),
    "all_zero": _zero,
    "labels_shuffled": _shuffled_labels,
    "class_imbalance": _imbalanced,
    "boxes_lost": _boxes,
    "starving": lambda: replace(clean(), delay=0.12, epochs=4),
    "loss_not_falling": _no_fall,
    "overfitting": _overfitting,
    "confusion": _confused,
    "overtraining": _overtraining,
    "stalled": lambda: replace(
        clean(), hang=3, epochs=3, settings=DebuggerSettings(interval=1, stalled_seconds=0.5)
    ),
}
"""Rule -> a training with its fault."""
