"""Measuring the averaged weights now and then while a localization head is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning as L
import supervision as sv
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from visionkit.data.images import ImageError
from visionkit.data.problems import Problem
from visionkit.evaluation.metrics import Truth, evaluate_boxes
from visionkit.training.boxed import BoxBatch, FramedPicture, FramedPictures, ShownPicture, join
from visionkit.training.localization_module import LocalizationTraining, Localizer
from visionkit.training.localization_settings import LocalizationSettings


class BestAverage(Callback):
    """Measures the average of the weights several times and keeps the best; survives a resume.

    Args:
        pictures: to measure on; without any, the last average is kept.
        settings: how often, and how many pictures at once.

    Attributes:
        ap, ap50: of the weights that are kept; nan where nothing was measured.
        epoch: after which they stood, from 1; 0 before.
        problems: pictures that could not be read.
    """

    def __init__(self, pictures: FramedPictures, settings: LocalizationSettings) -> None:
        self._pictures, self._settings = pictures, settings
        self._weights: dict[str, Tensor] = {}
        self._measured = 0  # of `settings.validations`
        self.ap = self.ap50 = float("nan")
        self.epoch = 0
        self._problems: dict[str, Problem] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Pictures that could not be read, each once."""
        return tuple(self._problems.values())

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forgets the figures of an earlier epoch, which Lightning would show again."""
        for name in ("val/ap", "val/ap50"):
            trainer.callback_metrics.pop(name, None)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measures where it is time, and at the end."""
        if not isinstance(pl_module, LocalizationTraining):
            raise TypeError(f"training must be of localization, got {type(pl_module).__name__}")
        is_last = pl_module.done >= 1 or trainer.should_stop
        due = int(pl_module.done * self._settings.validations)
        if not is_last and due <= self._measured:
            return
        self._measured = due
        if not len(self._pictures):
            self._keep(pl_module, trainer)
            return
        ap, ap50 = self._measure(pl_module.averaged.module)
        pl_module.log_dict({"val/ap": ap, "val/ap50": ap50}, batch_size=len(self._pictures))
        if not self._weights or ap >= self.ap:
            self.ap, self.ap50 = ap, ap50
            self._keep(pl_module, trainer)

    def restore(self, model: Localizer) -> None:
        """Puts the kept weights into the model, where there are any."""
        if self._weights:
            model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from."""
        names = ("ap", "ap50", "epoch", "_measured", "_weights")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from it."""
        vars(self).update(state_dict)

    def _keep(self, module: LocalizationTraining, trainer: L.Trainer) -> None:
        state = module.averaged.module.state_dict()
        self._weights = {name: value.detach().cpu().clone() for name, value in state.items()}
        self.epoch = trainer.current_epoch + 1

    def _measure(self, model: nn.Module) -> tuple[float, float]:
        """AP and AP50; 0 where no picture holds a box."""
        truths, found = [], []
        for batch in self._batches():
            truths += [
                Truth(boxes.numpy(), labels.numpy())
                for boxes, labels in zip(batch.boxes, batch.labels, strict=True)
            ]
            found += _found(model, batch)
        names = [str(index) for index in range(self._pictures.class_count)]
        measured = evaluate_boxes(truths, found, names, bootstrap_rounds=1)
        if not measured.truths:
            return 0.0, 0.0
        return measured.ap, measured.ap50

    def _batches(self) -> Iterator[BoxBatch]:
        shown: list[ShownPicture] = []
        for index in range(len(self._pictures)):
            try:
                shown.append(_as_it_is(self._pictures[index], self._pictures.class_count))
            except (ImageError, FileNotFoundError) as error:
                uri = self._pictures.samples[index].uri
                self._problems[uri] = Problem(uri, None, f"{error}")
            if len(shown) == self._settings.batch_size:
                yield join(shown)
                shown = []
        if shown:
            yield join(shown)


@torch.no_grad()
def _found(model: nn.Module, batch: BoxBatch) -> list[sv.Detections]:
    device = next(model.parameters()).device
    outputs = model(batch.images.to(device))
    found: list[sv.Detections] = model.head.decode(outputs, batch.inner)  # type: ignore[operator, union-attr]
    return found


def _as_it_is(picture: FramedPicture, class_count: int) -> ShownPicture:
    zeros = torch.zeros(class_count, dtype=torch.int64).numpy()
    inner = picture.placement.inner
    return ShownPicture(picture.image, picture.boxes, picture.labels, inner, zeros, zeros)
