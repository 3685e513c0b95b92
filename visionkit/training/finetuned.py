"""Training backbone and classification head together; a killed run goes on where it stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from visionkit.data.framing import Framing
from visionkit.data.images import MAX_PIXELS
from visionkit.data.problems import Problem
from visionkit.heads.classification import ClassificationHead
from visionkit.models.backbone import Backbone
from visionkit.training.classed import ClassBatch, Classed, ClassedViews, Drawn
from visionkit.training.classification_module import ERROR, ClassificationTraining, Classifier
from visionkit.training.finetune_settings import FinetuneSettings
from visionkit.training.lightning_parts import (
    Clock,
    Patience,
    best_epoch,
    calm,
    last_of,
    new_trainer,
    whole_epochs,
)
from visionkit.training.passes import Passes
from visionkit.training.shares import class_weights, shares_of
from visionkit.training.stepping import freeze
from visionkit.training.temperature import fit_temperature

_FEWEST = 20  # pictures that a temperature is set on


@dataclass(frozen=True)
class FinetuneFit:
    """What training came to.

    Attributes:
        start_error: of the validation pictures before: share named wrongly, or where there may be
            several classes a picture the mean negative log likelihood; nan without such pictures.
        best_error: the same of what was kept.
        epochs: trained, those of a resumed run included; the last one may not be whole.
        seconds: of each epoch of this process.
        curve: a dict an epoch with "train/loss_epoch", "val/loss" and "val/error".
        problems: pictures that could not be read.
    """

    start_error: float
    best_error: float
    epochs: int
    seconds: tuple[float, ...]
    curve: tuple[dict[str, float], ...]
    problems: tuple[Problem, ...]


def fit_finetuned(
    backbone: Backbone,
    head: ClassificationHead,
    train: Classed,
    val: Classed,
    framing: Framing,
    folder: Path,
    settings: FinetuneSettings | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
) -> FinetuneFit:
    """Trains both in place, calibrates the head, and leaves both in evaluation mode.

    What is kept is an average of past weights: of the epoch that is best on the validation
    pictures, what there was before included, or the last one where there are none.

    Args:
        backbone: what of it is frozen stays so.
        head: best one that was learned on the backbone's features as they are (`fit_frozen`).
        train: to learn from.
        val: to choose the weights and set the temperature on; may be empty.
        framing: the size that the network sees.
        folder: of the run: checkpoints and logs. What lies there from a killed run is used:
            training goes on after its last whole epoch.
        settings: None takes the defaults.
        max_pixels: larger pictures are not read.

    Raises:
        ValueError: there are no pictures to learn from.
        RuntimeError: the loss is not finite.
    """
    settings = settings or FinetuneSettings()
    if not len(train):
        raise ValueError("training must have at least one picture, got none")
    freeze(backbone, settings.freeze)
    ready_head(head, train, settings)
    with calm():
        L.seed_everything(settings.seed, verbose=False)
        model = Classifier(backbone, head).to(memory_format=torch.channels_last)
        start = {name: value.clone() for name, value in model.state_dict().items()}
        frames = None
        if len(val):
            frames = plain_frames(
                val,
                framing,
                batch_size=settings.batch_size,
                workers=settings.workers,
                max_pixels=max_pixels,
            )
        start_error = float("nan") if frames is None else error_of(model, frames)
        module = ClassificationTraining(model, settings)
        clock = Clock()
        best = None if frames is None else best_epoch(folder, ERROR)
        callbacks: list[Callback] = [clock]
        if best is not None:
            callbacks += [best, Patience(ERROR, patience=settings.patience)]
        callbacks.append(whole_epochs(folder))
        trainer = new_trainer(folder, settings, callbacks)
        loader = view_loader(train, framing, settings, max_pixels=max_pixels)
        if settings.max_epochs:
            trainer.fit(module, loader, frames, ckpt_path=last_of(folder))
        error = _restore(module, best, start, start_error)
        model.eval()
    if frames is not None:
        calibrate(model, frames)
    return FinetuneFit(
        start_error,
        error,
        trainer.current_epoch,
        tuple(clock.seconds),
        tuple(clock.curve),
        tuple(module.problems.values()),
    )


def ready_head(head: ClassificationHead, train: Classed, settings: FinetuneSettings) -> None:
    """Readies a head for steps on these pictures: the temperature is 1, classes are weighed."""
    head.absorb_temperature()
    if settings.balance == "weights":
        head.set_class_weights(class_weights(train.targets, head.class_count))


def plain_frames(
    pictures: Classed,
    framing: Framing,
    *,
    batch_size: int = 32,
    workers: int = 0,
    max_pixels: int = MAX_PIXELS,
) -> DataLoader[Any]:
    """Batches of the pictures in their plain frames, in order.

    Args:
        pictures: any number of them.
        framing: the size that the network sees.
        batch_size: pictures at once.
        workers: processes that read; 0 is the main process.
        max_pixels: larger pictures are not read.
    """
    frames = ClassedViews(pictures, framing, max_pixels=max_pixels)
    return DataLoader(
        frames,
        batch_size=batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=frames.collate,
    )


@torch.no_grad()
def outputs_of(model: Classifier, frames: DataLoader[Any]) -> tuple[Tensor, Tensor]:
    """(N, K) float32 logits and the targets of N pictures, those that could be read, in order."""
    model.eval()
    device = next(model.parameters()).device
    seen = [
        (model(batch.images.to(device)).float().cpu(), batch.targets)
        for batch in cast("list[ClassBatch]", frames)
        if len(batch.images)
    ]
    if not seen:
        targets = cast(ClassedViews, frames.dataset).pictures.targets
        return torch.zeros(0, model.head.class_count), targets[:0]
    return torch.cat([outputs for outputs, _ in seen]), torch.cat([true for _, true in seen])


def error_of(model: Classifier, frames: DataLoader[Any]) -> float:
    """As of `ClassificationTraining`'s validation; nan where no picture can be read."""
    outputs, targets = outputs_of(model, frames)
    if not len(outputs):
        return float("nan")
    if targets.ndim == 1:
        return float((outputs.argmax(1) != targets).float().mean())
    return float(model.head.loss(outputs.to(model.head.bias.device), targets)["class"].detach())


def calibrate(model: Classifier, frames: DataLoader[Any]) -> None:
    """Sets the temperature of the head where there are 20 pictures to set it on."""
    outputs, targets = outputs_of(model, frames)
    if len(outputs) >= _FEWEST:
        model.head.temperature.fill_(fit_temperature(outputs, targets))


def _restore(
    module: ClassificationTraining,
    best: ModelCheckpoint | None,
    start: dict[str, Tensor],
    error: float,
) -> float:
    """Puts the weights that are kept into the model; gives their error."""
    score = None if best is None else best.best_model_score
    if best is None or score is None:  # not validated: the last average
        module.model.load_state_dict(module.averaged.module.state_dict())
        return error
    if not float(score) < error:
        module.model.load_state_dict(start)
        return error
    saved = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    prefix = "averaged.module."
    kept = {name[len(prefix) :]: saved[name] for name in saved if name.startswith(prefix)}
    module.model.load_state_dict(kept)
    return float(score)


def view_loader(
    train: Classed,
    framing: Framing,
    settings: FinetuneSettings,
    *,
    passes: int = 1,
    max_pixels: int = MAX_PIXELS,
) -> DataLoader[Any]:
    """Batches of views of the pictures, others in each pass.

    Args:
        train: at least one picture.
        framing: of the size that the network sees.
        settings: how views differ, how often classes are drawn, how many pictures are seen at once
            and who prepares them.
        passes: over the pictures in each epoch, at most; see `Passes`.
        max_pixels: larger pictures are not read.
    """
    drawn = Drawn(len(train), settings.seed, weights=_often(train, settings))
    views = ClassedViews(
        train, framing, views=settings.views, seed=settings.seed, max_pixels=max_pixels
    )
    return DataLoader(
        views,
        batch_size=settings.batch_size,
        sampler=drawn if passes == 1 else Passes(drawn, passes),
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        collate_fn=views.collate,
        drop_last=len(train) >= 2 * settings.batch_size,  # a batch of one has no statistics
    )


def _often(train: Classed, settings: FinetuneSettings) -> Any:
    """(N,) how often each picture is drawn, so that every class is as likely; None for once."""
    if settings.balance != "sampling":
        return None
    shares = shares_of(
        train.targets, int(train.targets.max()) + 1 if train.targets.ndim == 1 else 0
    )
    rarity = 1 / shares.sum(0).clamp(min=1)
    # A picture of several classes is drawn as its rarest one; one of none as the commonest.
    return (shares * rarity).amax(1).clamp(min=float(rarity.min())).double().numpy()
