"""How a localization head is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from visionkit.data.augment import AugmentSettings
from visionkit.training.debugger.settings import DebuggerSettings

Freeze = Literal["none", "early", "all"]

AUGMENT = AugmentSettings(
    flip=0.5,
    scale=0.4,
    shift=0.1,
    roll=0.0,
    perspective=0.0,
    light=0.3,
    colour=0.1,
    blur=0.0,
    noise=0.0,
    jpeg=100,
)
"""Mirrored, zoomed, shifted and lit anew. A turn would loosen the boxes; blur, noise and JPEG take
longer than all the rest together."""


@dataclass(frozen=True)
class LocalizationSettings:
    """How a localization head is trained.

    Attributes:
        max_epochs: training ends after so many at the latest; 0 trains nothing, None is no limit.
        minutes: training ends after so many by the clock, those before a resume included; None is
            no limit. The learning rate falls to its end by whichever comes first.
        batch_size: pictures a step.
        learning_rate, weight_decay: of AdamW.
        backbone_rate: learning rate of the backbone's last layers, as a share of the head's.
        layer_decay: how much smaller the rate of each earlier layer of the backbone is, 0..1.
        warm_up: share of the training in which the rate rises, 0..1.
        freeze: what of the backbone does not learn: "none" of it, the "early" layers up to its
            finest map, or "all" of it.
        fixed_norms: whether batch norms keep the statistics of the weights that training began
            with: those of a small batch are poor.
        average: decay a step of the average of the weights, which is what is kept.
        scales: smallest and largest factor of a batch's size, drawn anew each step; (1, 1) is off.
        mosaic: share of the pictures that are put together of four, 0..1.
        calm: share of the training, at its end, without mosaics.
        augment: how pictures are changed; None shows them as they are.
        sure: 0..1, score from which it is learned that there is something where a box is found in a
            picture that nobody has labelled.
        doubt: 0..1, score from which it is left open whether something is in such a box.
        validations: how often the average is measured, the end included.
        gradient_clip: largest norm of the gradient; 0 clips nothing.
        accelerator, devices, precision: as Lightning's Trainer takes them.
        workers: processes that prepare pictures; 0 is the main process.
        progress: whether to print a line an epoch and, in a terminal, to show a bar.
        debugger: how the training is watched.
        seed: of everything random.

    Raises:
        ValueError: a setting is out of its range.
    """

    max_epochs: int | None = 100
    minutes: float | None = None
    batch_size: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    backbone_rate: float = 0.3
    layer_decay: float = 0.8
    warm_up: float = 0.03
    freeze: Freeze = "none"
    fixed_norms: bool = True
    average: float = 0.998
    scales: tuple[float, float] = (0.8, 1.2)
    mosaic: float = 0.0
    calm: float = 0.2
    augment: AugmentSettings | None = AUGMENT
    sure: float = 0.5
    doubt: float = 0.2
    validations: int = 8
    gradient_clip: float = 5.0
    accelerator: str = "auto"
    devices: int = 1
    precision: Any = "32-true"
    workers: int = 0
    progress: bool = True
    debugger: DebuggerSettings = field(default_factory=DebuggerSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        shares = (
            "backbone_rate", "layer_decay", "warm_up", "average", "mosaic", "calm", "sure", "doubt",
        )  # fmt: skip
        for name in shares:
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"{name} of the training must lie in 0..1, got {value}")
        if not 0 < self.scales[0] <= self.scales[1]:
            raise ValueError(f"scales must be above 0 and rise, got {self.scales}")
        if self.batch_size < 1 or self.validations < 1:
            raise ValueError(
                "batch_size and validations must be at least 1, "
                f"got {self.batch_size} and {self.validations}"
            )
        if self.minutes is None and self.max_epochs is None:
            raise ValueError("minutes or max_epochs must end the training, got None for both")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"minutes must be above 0 or None, got {self.minutes}")
        if self.freeze not in ("none", "early", "all"):
            raise ValueError(f"freeze must be none, early or all, got {self.freeze!r}")
