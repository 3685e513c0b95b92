"""Training the localization head: Lightning runs it, a killed run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import lightning as L
import torch
from torch.utils.data import DataLoader

from visionkit.data.framing import Framing
from visionkit.data.images import MAX_PIXELS
from visionkit.data.problems import Problem
from visionkit.heads.localization import LocalizationHead
from visionkit.models.backbone import Backbone
from visionkit.models.weights import read_weights
from visionkit.training.best_average import BestAverage, Judge
from visionkit.training.boxed import MEMORY, FramedPictures, TrainingPictures, Turns, join
from visionkit.training.lightning_parts import Clock, calm, last_of, new_trainer, whole_epochs
from visionkit.training.localization_module import (
    LocalizationTraining,
    Localizer,
    ShownBoxes,
    head_classes,
)
from visionkit.training.localization_settings import LocalizationSettings
from visionkit.training.localization_validation import BoxJudge
from visionkit.training.passes import Passes
from visionkit.training.stepping import freeze
from visionkit.types import Sample

_MUCH = 0.25  # of the boxes of a class; less is lost at the rim of any zoomed picture


@dataclass(frozen=True)
class LocalizationFit:
    """What training came to.

    Attributes:
        epochs: trained, those of a resumed run included; the last one may not be whole.
        steps: of the optimizer, likewise.
        best_ap: AP over IoU 0.5 to 0.95 on the validation pictures, of the weights that were kept;
            nan where there are none.
        best_ap50: AP at IoU 0.5 of the same.
        best_epoch: after which the kept weights stood, from 1; 0 where nothing was trained.
        seconds: of each epoch of this process.
        curve: a dict an epoch with the mean losses and, after a validation, "val/ap", "val/ap50".
        given: class name -> boxes that were to be shown.
        lost: class name -> those of them of which augmentation left too little to be shown.
        problems: pictures that could not be read, and classes that lost many boxes.
    """

    epochs: int
    steps: int
    best_ap: float
    best_ap50: float
    best_epoch: int
    seconds: tuple[float, ...]
    curve: tuple[dict[str, float], ...]
    given: dict[str, int]
    lost: dict[str, int]
    problems: tuple[Problem, ...]


def fit_localization(
    backbone: Backbone,
    head: LocalizationHead,
    train: Sequence[Sample],
    val: Sequence[Sample],
    class_names: Sequence[str],
    framing: Framing,
    folder: Path,
    settings: LocalizationSettings | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
) -> LocalizationFit:
    """Trains the head, and what of the backbone is free, in place; leaves both in evaluation mode.

    What is kept is an average of past weights: of the validation that found the most, or the last
    one where there are no validation pictures. A head that begins with boxes learned without
    classes (`LocalizationHead.load_class_agnostic`) learns faster.

    Args:
        backbone: with maps of the strides that the head was made for. What is frozen stays so.
        head: for as many classes as there are names.
        train: pictures with boxes to learn from; those without boxes are backgrounds.
        val: pictures to choose the weights on; may be empty.
        class_names: boxes of other labels are left out.
        framing: letterboxed; the size that the network sees.
        folder: of the run: checkpoints and logs. What lies there from a killed run is used:
            training goes on after its last whole epoch.
        settings: None takes the defaults.
        max_pixels: larger pictures are not read.

    Raises:
        ValueError: there are no pictures to train on, the head has another number of classes, or
            none of the pictures can be read.
        RuntimeError: the loss is not finite.
    """
    settings = settings or LocalizationSettings()
    check_pictures(head, train, class_names)
    memory = MEMORY // max(1, settings.workers)  # each process has its own
    pictures = FramedPictures(train, class_names, framing, max_pixels=max_pixels, memory=memory)
    held_out = FramedPictures(val, class_names, framing, max_pixels=max_pixels)
    freeze(backbone, settings.freeze)
    with calm():
        L.seed_everything(settings.seed, verbose=False)
        model = Localizer(backbone, head).to(memory_format=torch.channels_last)
        turns = Turns(len(pictures), settings.seed)
        module = LocalizationTraining(model, settings, turns)
        judge = BoxJudge(held_out, batch_size=settings.batch_size)
        judges: list[Judge] = [lambda network: judge(cast(Localizer, network))]
        best, clock = BestAverage(judges if len(held_out) else [], settings.validations), Clock()
        loader = box_loader(pictures, turns, settings)
        trainer = new_trainer(
            folder,
            settings,
            [best, clock, whole_epochs(folder)],
            log_every=min(10, len(loader)),
        )
        if settings.max_epochs != 0:
            trainer.fit(module, loader, ckpt_path=last_of(folder))
        best.restore(model)
        model.eval()
    return LocalizationFit(
        epochs=trainer.current_epoch,
        steps=trainer.global_step,
        best_ap=best.figures.get("val/ap", float("nan")),
        best_ap50=best.figures.get("val/ap50", float("nan")),
        best_epoch=best.epoch,
        seconds=tuple(clock.seconds),
        curve=tuple(clock.curve),
        given=by_name(class_names, module.shown.given),
        lost=by_name(class_names, module.shown.lost),
        problems=(
            *module.problems.values(),
            *judge.problems,
            *lost_problems(class_names, module.shown),
        ),
    )


def start_boxes(head: LocalizationHead, file: Path) -> None:
    """Gives a head the pyramid and box branch that were learned without classes.

    Args:
        head: of the same sizes, on a backbone with the same weights.
        file: safetensors, from `visionkit.training.pretrain.boxes`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or of other sizes.
    """
    head.load_class_agnostic(read_weights(file))


def check_pictures(
    head: LocalizationHead, train: Sequence[Sample], class_names: Sequence[str]
) -> None:
    """Passes if there is something to learn for this head.

    Raises:
        ValueError: there are no pictures, or the head has another number of classes.
    """
    if not train:
        raise ValueError("training must have at least one picture, got none")
    classes = head_classes(head)
    if classes != len(class_names):
        raise ValueError(
            f"the head must be for as many classes as there are names, {len(class_names)}, "
            f"got {classes}; make it with class_count={len(class_names)}"
        )


def box_loader(
    pictures: FramedPictures, turns: Turns, settings: LocalizationSettings, *, passes: int = 1
) -> DataLoader[object]:
    """Batches of the pictures, changed anew in each pass.

    Args:
        pictures: to learn from, at least one.
        turns: their order.
        settings: how they are changed, how many are seen at once and who prepares them.
        passes: over the pictures in each epoch, at most; see `Passes`.
    """
    return DataLoader(
        TrainingPictures(pictures, settings.augment, mosaic=settings.mosaic, seed=settings.seed),
        batch_size=settings.batch_size,
        sampler=turns if passes == 1 else Passes(turns, passes),
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        collate_fn=join,
        drop_last=len(pictures) >= settings.batch_size,
    )


def by_name(class_names: Sequence[str], counts: torch.Tensor) -> dict[str, int]:
    """Class name -> count, of (K,) counts."""
    return dict(zip(class_names, counts.tolist(), strict=True))


def lost_problems(class_names: Sequence[str], shown: ShownBoxes) -> list[Problem]:
    """A warning for each class of which augmentation left out many boxes."""
    return [
        Problem(
            name,
            None,
            f"boxes must stay in sight when pictures are changed, but {lost} of {given} of the "
            "class did not; try a smaller augment.scale, augment.shift or mosaic",
            "warning",
        )
        for name, given, lost in zip(
            class_names, shown.given.tolist(), shown.lost.tolist(), strict=True
        )
        if lost > _MUCH * given
    ]
