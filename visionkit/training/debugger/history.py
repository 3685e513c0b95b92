"""What a watched training has shown so far: numbers, never tensors of the network's size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MOST_LOOKS = 600
"""Older looks are thinned out beyond these, so that memory is bounded."""


@dataclass(frozen=True)
class Batch:
    """What is known of a batch.

    Attributes:
        prints: a number for the pixels of each picture, or one for the whole batch.
        labels: class -> how many; empty where there are none.
        boxes_given, boxes_lost: boxes before augmentation, and those it pushed out or shrank away.
    """

    prints: frozenset[int] = frozenset()
    labels: Mapping[int, int] = field(default_factory=dict)
    boxes_given: int = 0
    boxes_lost: int = 0


@dataclass(frozen=True)
class Embeddings:
    """What goes into the last layer that takes vectors.

    Attributes:
        layer: its name.
        spread: standard deviation over the batch as a part of their size.
        hits: vectors whose nearest neighbour in the batch has the same label.
        chance: how many would by chance.
        variance: of that number by chance.
        count: how many were compared; 0 without labels.
    """

    layer: str
    spread: float
    hits: int = 0
    chance: float = 0.0
    variance: float = 0.0
    count: int = 0


@dataclass(frozen=True)
class Pictures:
    """The pictures as the network's first layer sees them.

    Attributes:
        layer: that layer.
        lowest, highest: value of the batch.
        expected: the same of black and white pictures for this backbone; None if not known.
    """

    layer: str
    lowest: float
    highest: float
    expected: tuple[float, float] | None


@dataclass(frozen=True)
class Flow:
    """What flowed through the network in one step, by the name of the module.

    Attributes:
        size: root mean square of what each layer with weights gives; in their order.
        largest: largest absolute value of it.
        silent: (C,) bool which units of a ReLU gave nothing.
        saturated: share of the values of a sigmoid or tanh at its ends.
        counts: (B,) int64 histogram of what each layer gives, in `edges` of the recorder.
    """

    size: Mapping[str, float] = field(default_factory=dict)
    largest: Mapping[str, float] = field(default_factory=dict)
    silent: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    saturated: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    """One step that was looked at.

    Attributes:
        step, epoch: from 0.
        rate: highest step size of the optimizer; nan where none is known.
        gradients, weights, updates: root mean square of each tensor that learns and had a
            gradient, by name: of its gradient, of itself, and of what the step changed.
        constant: names of matrices all of whose values are equal and not zero.
        moved: frozen tensors that are no longer what they were at the first look.
        statistics: batch norms that are frozen and whose statistics are no longer.
        flow, pictures, embeddings, batch: of the step.
    """

    step: int
    epoch: int
    rate: float
    gradients: Mapping[str, float]
    weights: Mapping[str, float]
    updates: Mapping[str, float]
    constant: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ()
    flow: Flow = field(default_factory=Flow)
    pictures: Pictures | None = None
    embeddings: Embeddings | None = None
    batch: Batch = field(default_factory=Batch)


class History:
    """All that was seen.

    Attributes:
        looks: in their order.
        losses: (step, loss) of every step.
        validation: (step, loss) of every validation.
        measured: (step, figure) of every validation that has one: 0 or more, and more is better.
        confusion: of the last validations, (K, K) int64 how many of each class (row) were named
            as each.
        class_weights: class -> how much its pictures count in the loss; empty where all are equal.
        waits, seconds: of each step: waiting for its batch, and all of it; both of steps that
            follow another one of the same epoch.
        fan_in: name of a matrix -> how many values one of its outputs sums up.
        has_accelerator: whether the network is on another device than the CPU.
        labels: class -> how many were seen in the looks.
    """

    def __init__(self) -> None:
        self.looks: list[Look] = []
        self.losses: list[tuple[int, float]] = []
        self.validation: list[tuple[int, float]] = []
        self.measured: list[tuple[int, float]] = []
        self.confusion: list[NDArray[np.int64]] = []
        self.class_weights: dict[int, float] = {}
        self.waits: list[float] = []
        self.seconds: list[float] = []
        self.fan_in: dict[str, int] = {}
        self.has_accelerator = False
        self.labels: dict[int, int] = {}
        self.boxes_given = self.boxes_lost = 0

    def add(self, look: Look) -> None:
        """Adds a look; where there are very many, every other old one is forgotten."""
        self.looks.append(look)
        for label, count in look.batch.labels.items():
            self.labels[label] = self.labels.get(label, 0) + count
        self.boxes_given += look.batch.boxes_given
        self.boxes_lost += look.batch.boxes_lost
        if len(self.looks) > MOST_LOOKS:
            self.looks[: MOST_LOOKS // 2] = self.looks[: MOST_LOOKS // 2 : 2]

    @property
    def chance(self) -> float:
        """Cross entropy of naming labels by their shares alone; nan where there are none."""
        total = sum(self.labels.values())
        if not total or len(self.labels) < 2:
            return float("nan")
        shares = np.array([count / total for count in self.labels.values()])
        return float(-(shares * np.log(shares)).sum())
