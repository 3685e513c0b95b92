"""How a training is watched, and the limits of the rules.

Where SageMaker Debugger has a rule of the same name its limit is absolute, and wrong for transfer
learning: 1e-7 for a gradient fires on every frozen layer. Here a layer is compared with the other
layers, with itself before, or with what chance would give.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DebuggerSettings:
    """How a training is watched.

    Attributes:
        enabled: whether it is watched at all.
        interval: steps from one look to the next; the first steps are looked at more often.
        stop: whether a training that can't recover is ended.
        patience: looks in a row in which something must be wrong before it is said.
        vanishing: a layer's gradient, as a part of the strongest layer's; less is vanishing.
        exploding: gradient of all weights as a multiple of the weights; more is exploding.
        largest_value: of what a layer gives; more is an exploding tensor.
        dead: share of the units of a ReLU that give nothing, at most.
        saturated: share of the values of a sigmoid or tanh that lie at its ends, at most.
        largest_update: step as a part of the weights, at most, where the loss does not fall.
        smallest_update: the same, at least.
        first_spread: by how much a network may change the size of what flows through it at first.
        loss_steps: steps in which the loss must have fallen.
        loss_drop: by how much, as a part.
        overfit: rise of the validation loss above its best, as a part, while the training loss
            falls.
        overtrained: validations without a better one.
        confused: share of the validation pictures of a class that may be named as one other.
        imbalance: pictures of the commonest class as a multiple of those of the rarest.
        boxes_lost: share of the boxes that augmentation may push out or shrink away.
        waiting: share of the time that the network may wait for data.
        waiting_seconds: of a step, that are no matter.
        stalled_seconds: without a step.
        collapsed: spread of the embeddings of a batch as a part of their size, at least.
        input_margin: by how much pictures may leave the range that a backbone expects, as a part
            of it.
    """

    enabled: bool = True
    interval: int = 20
    stop: bool = False
    patience: int = 4
    vanishing: float = 1e-6
    exploding: float = 1e3
    largest_value: float = 1e6
    dead: float = 0.9
    saturated: float = 0.8
    largest_update: float = 0.1
    smallest_update: float = 1e-6
    first_spread: float = 1e4
    loss_steps: int = 200
    loss_drop: float = 0.01
    overfit: float = 0.2
    overtrained: int = 15
    confused: float = 0.5
    imbalance: float = 20.0
    boxes_lost: float = 0.3
    waiting: float = 0.6
    waiting_seconds: float = 0.1
    stalled_seconds: float = 1800.0
    collapsed: float = 0.02
    input_margin: float = 0.5

    def __post_init__(self) -> None:
        if self.interval < 1 or self.patience < 1:
            raise ValueError(
                f"interval and patience of the debugger must be 1 or more, got {self.interval} "
                f"and {self.patience}"
            )
