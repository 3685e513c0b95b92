"""One training of a localization head, from what it is now to what is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import lightning as L
import torch
from torch.utils.data import DataLoader

from visionkit.data.framing import Framing
from visionkit.data.problems import Problem
from visionkit.training.best_average import BestAverage, Judge
from visionkit.training.boxed import MEMORY, FramedPictures, TrainingPictures, Turns, join
from visionkit.training.guessed_boxes import (
    GuessedBoxes,
    guess_boxes,
    read_guesses,
    write_guesses,
)
from visionkit.training.lightning_parts import Clock, calm, last_of, new_trainer, whole_epochs
from visionkit.training.localization_module import LocalizationTraining, Localizer, ShownBoxes
from visionkit.training.localization_settings import LocalizationSettings
from visionkit.training.localization_validation import BoxJudge
from visionkit.training.passes import Passes
from visionkit.types import Sample

_MUCH = 0.25  # of the boxes of a class; less is lost at the rim of any zoomed picture
_GUESSES = "boxes.json"
Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows what is being done and how many things there are; called with the number of each done."""


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
        curve: a dict an epoch with the mean losses and, after a validation, "val/ap", "val/ap50";
            without those that nothing was kept of.
        given: class name -> boxes that people drew and that were to be shown.
        lost: class name -> those of them of which augmentation left too little to be shown.
        problems: pictures that could not be read, and classes that lost many boxes.
        guesses: what the head was sure of in pictures that nobody has labelled.
        ap_without: AP on the validation pictures of the head that knew labelled ones alone; nan
            where there were no guesses.
        ap_with: the same of the one that knew the guesses, too.
        took_guesses: whether what was learned from them is what was kept.
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
    guesses: GuessedBoxes = field(default_factory=GuessedBoxes)
    ap_without: float = float("nan")
    ap_with: float = float("nan")
    took_guesses: bool = False


@dataclass(frozen=True)
class LocalizationCourse:
    """A training from what the model is now; fields as the arguments of `fit_localization`.

    Attributes:
        further: pictures whose boxes were guessed; in each epoch no more of them are shown than of
            `train`.
    """

    model: Localizer
    train: Sequence[Sample]
    val: Sequence[Sample]
    class_names: Sequence[str]
    framing: Framing
    max_pixels: int
    further: Sequence[Sample] = ()

    def run(
        self, folder: Path, settings: LocalizationSettings
    ) -> tuple[LocalizationFit, torch.device]:
        """Trains, or goes on with what lies in the folder; also says on which device."""
        memory = MEMORY // max(1, settings.workers)  # each process has its own
        pictures = self._framed([*self.train, *self.further], memory=memory)
        held_out = self._framed(self.val)
        with calm():
            L.seed_everything(settings.seed, verbose=False)
            turns = self._turns(settings)
            module = LocalizationTraining(self.model, settings, turns)
            judge = BoxJudge(held_out, batch_size=settings.batch_size)
            judges: list[Judge] = [lambda network: judge(cast(Localizer, network))]
            best = BestAverage(judges if len(held_out) else [], settings.validations)
            clock = Clock()
            loader = box_loader(pictures, turns, settings)
            trainer = new_trainer(
                folder,
                settings,
                [best, clock, whole_epochs(folder)],
                log_every=min(10, len(loader)),
            )
            if settings.max_epochs != 0:
                trainer.fit(module, loader, ckpt_path=last_of(folder))
            best.restore(self.model)
            self.model.eval()
        fitted = LocalizationFit(
            epochs=trainer.current_epoch,
            steps=trainer.global_step,
            best_ap=best.figures.get("val/ap", float("nan")),
            best_ap50=best.figures.get("val/ap50", float("nan")),
            best_epoch=best.epoch,
            seconds=tuple(clock.seconds),
            curve=tuple(clock.curve),
            given=by_name(self.class_names, module.shown.given),
            lost=by_name(self.class_names, module.shown.lost),
            problems=(
                *module.problems.values(),
                *judge.problems,
                *lost_problems(self.class_names, module.shown),
            ),
        )
        return fitted, trainer.strategy.root_device

    def guess(
        self,
        unlabelled: Sequence[Sample],
        folder: Path,
        settings: LocalizationSettings,
        device: torch.device,
        bar: Bar | None,
    ) -> GuessedBoxes:
        """What the model is sure of; what it once was is kept in the folder.

        So a run that was stopped while it learned from them goes on with the same ones.
        """
        file = folder / _GUESSES
        if file.is_file():
            return read_guesses(file, unlabelled)
        before = next(self.model.parameters()).device
        self.model.to(device)
        with (bar or _no_bar)("pictures without boxes", len(unlabelled)) as progress:
            guesses = guess_boxes(
                self.model,
                self._framed(unlabelled, memory=0),
                self.class_names,
                sure=settings.sure,
                doubt=settings.doubt,
                batch_size=settings.batch_size,
                progress=progress,
            )
        self.model.to(before)
        write_guesses(file, guesses)
        return guesses

    def longer(
        self, settings: LocalizationSettings, share: float, steps: int
    ) -> LocalizationSettings:
        """The settings to go on with for a share of so many steps, or of the minutes."""
        minutes = None if settings.minutes is None else share * settings.minutes
        # Another seed: with the same one each picture would be shown as it was before.
        settings = replace(settings, minutes=minutes, seed=settings.seed + 1)
        if settings.max_epochs is None:
            return settings
        together = settings.batch_size * settings.devices
        batches = max(1, len(self._turns(settings)) // together)
        epochs = max(1, round(share * steps / batches))
        return replace(settings, max_epochs=epochs)

    def _turns(self, settings: LocalizationSettings) -> Turns:
        return Turns(len(self.train), settings.seed, further=len(self.further))

    def _framed(self, samples: Sequence[Sample], *, memory: int = MEMORY) -> FramedPictures:
        return FramedPictures(
            samples, self.class_names, self.framing, max_pixels=self.max_pixels, memory=memory
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
        TrainingPictures(
            pictures,
            settings.augment,
            mosaic=settings.mosaic,
            seed=settings.seed,
            further=turns.further,
        ),
        batch_size=settings.batch_size,
        sampler=turns if passes == 1 else Passes(turns, passes),
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        collate_fn=join,
        drop_last=len(turns) >= settings.batch_size,
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


@contextmanager
def _no_bar(words: str, total: int) -> Iterator[Callable[[int], None]]:
    yield lambda _: None
