"""How several heads are trained together with their backbone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from visionkit.training.classification import ClassificationSettings
from visionkit.training.debugger.settings import DebuggerSettings
from visionkit.training.finetune_settings import FinetuneSettings
from visionkit.training.localization_settings import Freeze, LocalizationSettings
from visionkit.training.stepping import Rate, backbone_rate


@dataclass(frozen=True)
class JointSettings:
    """How several heads are trained together with their backbone.

    Of `classification.finetune` and `localization` counts what concerns that head alone: its
    batches (`batch_size`, `views`, `mix`, `balance`; `scales`, `mosaic`, `calm`, `augment`) and its
    rates (`learning_rate`, `weight_decay`, `backbone_rate`). Everything else is said here for all.

    Attributes:
        classification: how that head begins on frozen features, and its part of the steps.
        localization: that head's part of the steps.
        max_epochs: training ends after so many at the latest; 0 trains nothing, None is no limit.
            An epoch is one pass over the set of most batches; the others begin anew.
        minutes: training ends after so many by the clock, those before a resume included; None is
            no limit. Rates fall to their end by whichever comes first.
        layer_decay: how much smaller the rate of each earlier layer of the backbone is, 0..1.
        warm_up: share of the training in which rates rise, 0..1.
        freeze: what of the backbone does not learn: "none" of it, the "early" layers up to its
            finest map, or "all" of it.
        fixed_norms: whether batch norms keep the statistics that training began with. Those of
            the heads' batches differ, and what is kept of them would fit none.
        average: decay a step of the average of the weights, which is what is kept.
        validations: how often the average is measured, beside the start; its end is one of them.
        gradient_clip: largest norm of the gradient; 0 clips nothing.
        accelerator, devices, precision: as Lightning's Trainer takes them.
        workers: processes that prepare pictures for each head; 0 is the main process.
        progress: whether to print a line an epoch and, in a terminal, to show a bar.
        debugger: how the training is watched.
        seed: of everything random.

    Raises:
        ValueError: a setting is out of its range.
    """

    classification: ClassificationSettings = field(default_factory=ClassificationSettings)
    localization: LocalizationSettings = field(default_factory=LocalizationSettings)
    max_epochs: int | None = 100
    minutes: float | None = None
    layer_decay: float = 0.8
    warm_up: float = 0.03
    freeze: Freeze = "none"
    fixed_norms: bool = True
    average: float = 0.998
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
        # The ranges of what all trainings have are checked where they stand.
        replace(self.localization, **self._shared())

    @property
    def start(self) -> ClassificationSettings:
        """How the classification head begins."""
        return replace(self.classification, finetune=None, hold_back=True)

    @property
    def naming(self) -> FinetuneSettings:
        """The classification head's part of the steps."""
        own = self.classification.finetune or FinetuneSettings()
        return replace(own, workers=self.workers, seed=self.seed)

    @property
    def locating(self) -> LocalizationSettings:
        """The localization head's part of the steps."""
        return replace(self.localization, workers=self.workers, seed=self.seed)

    def backbone_rate(self, tasks: Collection[str]) -> Rate:
        """How fast the backbone's last layers learn: as the more careful of these heads asks.

        Args:
            tasks: "classification", "localization" or both.
        """
        own: dict[str, FinetuneSettings | LocalizationSettings] = {
            "classification": self.naming,
            "localization": self.locating,
        }
        asked = [backbone_rate(one) for task, one in own.items() if task in tasks]
        return min(asked, key=lambda rate: rate.learning_rate)

    def _shared(self) -> dict[str, Any]:
        names = ("max_epochs", "minutes", "layer_decay", "warm_up", "freeze", "average")
        return {name: getattr(self, name) for name in (*names, "validations")}
