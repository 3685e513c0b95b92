"""How backbone and classification head are trained together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from visionkit.data.views import ViewSettings
from visionkit.training.debugger.settings import DebuggerSettings
from visionkit.training.localization_settings import Freeze
from visionkit.training.mixing import MixSettings

Balance = Literal["none", "sampling", "weights"]


@dataclass(frozen=True)
class FinetuneSettings:
    """How backbone and classification head are trained together.

    Attributes:
        max_epochs: training ends after so many at the latest; 0 trains nothing.
        minutes: training ends after so many by the clock, those before a resume included; None is
            no limit. The learning rate falls to its end by whichever comes first.
        patience: epochs without a better validation after which training ends.
        batch_size: pictures a step.
        learning_rate, weight_decay: of AdamW.
        backbone_rate: learning rate of the backbone's last layers, as a share of the head's.
        layer_decay: how much smaller the rate of each earlier layer of the backbone is, 0..1.
        warm_up: share of the training in which the rate rises, 0..1.
        freeze: what of the backbone does not learn: "none" of it, the "early" layers up to its
            finest map, or "all" of it.
        fixed_norms: whether batch norms keep the statistics that training began with. Those of a
            batch of views differ so much that the head begins worse than by chance (Grocery with
            MobileNetV2: loss 5.8 in place of 0.35 before the first step).
        average: decay a step of the average of the weights, which is what is kept.
        balance: against classes of few pictures: "none", "sampling" draws every class equally
            often, "weights" lets every class count the same in the loss.
        mix: how pictures of a batch are mixed; chosen on Grocery's training pictures alone, of
            which those taken last were held back.
        views: how a picture changes from epoch to epoch.
        gradient_clip: largest norm of the gradient; 0 clips nothing.
        accelerator, devices, precision: as Lightning's Trainer takes them.
        workers: processes that read pictures; 0 is the main process.
        progress: whether to print a line an epoch and, in a terminal, to show a bar.
        debugger: how the training is watched.
        seed: of everything random.

    Raises:
        ValueError: a setting is out of its range.
    """

    max_epochs: int = 30
    minutes: float | None = None
    patience: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    backbone_rate: float = 1.0
    layer_decay: float = 0.85
    warm_up: float = 0.05
    freeze: Freeze = "none"
    fixed_norms: bool = True
    average: float = 0.99
    balance: Balance = "none"
    mix: MixSettings = field(default_factory=lambda: MixSettings(0.3, 0.3, 1.0))
    views: ViewSettings = field(default_factory=ViewSettings)
    gradient_clip: float = 1.0
    accelerator: str = "auto"
    devices: int = 1
    precision: Any = "32-true"
    workers: int = 0
    progress: bool = True
    debugger: DebuggerSettings = field(default_factory=DebuggerSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("backbone_rate", "layer_decay", "warm_up", "average"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"{name} of the training must lie in 0..1, got {value}")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"minutes must be above 0 or None, got {self.minutes}")
        if self.batch_size < 1 or self.max_epochs < 0:
            raise ValueError(
                f"batch_size must be 1 or more and max_epochs 0 or more, got {self.batch_size} "
                f"and {self.max_epochs}"
            )
        if self.freeze not in ("none", "early", "all"):
            raise ValueError(f"freeze must be none, early or all, got {self.freeze!r}")
        if self.balance not in ("none", "sampling", "weights"):
            raise ValueError(f"balance must be none, sampling or weights, got {self.balance!r}")
