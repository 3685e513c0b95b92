"""Training the localization head: boxes in, a bundle with thresholds and a report out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from visionkit.config import LocalizationConfig, TrainConfig
from visionkit.data.framing import Framing
from visionkit.data.problems import Problem
from visionkit.evaluation.summary import counted
from visionkit.heads.localization import LocalizationHead
from visionkit.inference.engines.network import TorchNetwork
from visionkit.inference.parts import LocalizationPart
from visionkit.jobs.guessed import (
    before_boxes_words,
    guessed_boxes_words,
    shown_guesses,
    taken_words,
    write_guessed_boxes,
)
from visionkit.jobs.labelled import LabelledSet
from visionkit.jobs.measure import versions
from visionkit.jobs.measure_localization import (
    measure_localization,
    say_located,
    write_located,
)
from visionkit.jobs.moving import after_moving, others_before
from visionkit.jobs.reference import Kept, keep_training_reference
from visionkit.jobs.settings import localization_settings, tiles_of
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import progress, say
from visionkit.jobs.training import (
    BUNDLE_NAME,
    Finished,
    begin,
    config_text,
    learning_curves,
    read_set,
    save_bundle,
    say_end,
)
from visionkit.models.backbone import Backbone
from visionkit.models.weights import starter_boxes
from visionkit.training.boxed import fitting_side, frame_size
from visionkit.training.guessed_boxes import GuessedBoxes
from visionkit.training.localization import can_judge, fit_localization, start_boxes
from visionkit.training.localization_course import LocalizationFit
from visionkit.types import Sample

STARTER = "starter"
"""`task.boxes` that takes what comes with visionkit."""
USUAL_THRESHOLD = 0.3
"""Score from which a box is given where no validation picture tells better."""
DEMO_MINUTES, DEMO_SIDE = 2.5, 320
"""What the demo set is learned for, and at: its pictures have no more pixels."""
_CURVES = {
    "train/loss_epoch": "training loss",
    "val/ap": "AP on the validation pictures",
    "val/ap50": "AP50 on the validation pictures",
}


def train_localization(config: TrainConfig, task: LocalizationConfig, run_folder: Path) -> Summary:
    """Trains the localization head, sets its thresholds and measures it; see `jobs.train`."""
    torch.manual_seed(config.seed)  # the head begins at random
    found = read_set(config.data, "localization", run_folder, seed=config.seed)
    start = begin(config, learns=task.freeze != "all")
    others = others_before(config, start, ["localization"], run_folder)
    backbone = start.backbone
    head = new_localization_head(task, backbone, found.class_names, known=start.localization)
    framing = localization_framing(task, found, demo=config.data.root is None)
    fitted = _fit(config, task, found, backbone, head, framing, run_folder)
    backbone.freeze().eval()
    done = finish_localization(
        located_part(head, found, framing, task),
        found,
        backbone,
        run_folder,
        config,
        problems=fitted.problems,
        curve=fitted.curve,
        text=config_text(run_folder),
        guesses=fitted.guesses if fitted.took_guesses else None,
    )
    start = after_moving(start, others, config, run_folder)
    save_bundle(start, run_folder, metadata=done.metadata, localization=done.part)
    keep_training_reference(
        run_folder / BUNDLE_NAME,
        replace(done.kept, moved=task.freeze != "all"),
        device=config.trainer.accelerator,
        max_pixels=int(config.data.max_megapixels * 1e6),
        seed=config.seed,
    )
    bundle = f"bundle={run_folder / BUNDLE_NAME}"
    say_end(run_folder, f"{len(found.class_names)} classes", ["evaluate", bundle, "data=FOLDER"])
    return Summary(run_folder, done.figures)


def located_part(
    head: LocalizationHead, found: LabelledSet, framing: Framing, task: LocalizationConfig
) -> LocalizationPart:
    """The head with thresholds that say nothing yet of its pictures."""
    usual = dict.fromkeys(found.class_names, USUAL_THRESHOLD)
    return LocalizationPart(head, found.class_names, framing, usual, tiles_of(task))


def finish_localization(
    part: LocalizationPart,
    found: LabelledSet,
    backbone: Backbone,
    folder: Path,
    config: TrainConfig,
    *,
    problems: Sequence[Problem],
    curve: Sequence[Mapping[str, float]],
    text: str,
    guesses: GuessedBoxes | None = None,
) -> Finished[LocalizationPart]:
    """The part with its thresholds, measured; figures and report are said and written.

    Args:
        part: as it is after the training.
        found: the set that was learned.
        backbone: as it is after the training, in evaluation mode.
        folder: where figures and report are written.
        config: of the training.
        problems: of the training.
        curve: figures of its epochs.
        text: the composed config.
        guesses: what was learned of pictures that nobody has labelled, if that was kept.
    """
    pixels = int(config.data.max_megapixels * 1e6)
    part = with_thresholds(part, backbone, found.val, max_pixels=pixels)
    tested = found.tested
    with progress("test pictures", len(tested.samples)) as step:
        measured = measure_localization(
            part,
            TorchNetwork(backbone, localization=part.head),
            tested.samples,
            thresholds=part.thresholds,
            seed=config.seed,
            max_pixels=pixels,
            progress=step,
        )
    say_located(measured)
    write_located(
        folder,
        measured,
        title=f"localization, {tested.words}",
        thresholds_from=thresholds_words(len(found.val)),
        problems=(*found.problems, *problems),
        training_images=len(found.train),
        guessed=() if guesses is None else shown_guesses(guesses, max_pixels=pixels),
        learning=learning_curves(curve, _CURVES),
        config=text,
        versions=versions(),
    )
    kept = Kept((*found.val, *found.test), found.train)
    return Finished("localization", part, measured.figures, tested.words, kept)


def localization_framing(task: LocalizationConfig, found: LabelledSet, *, demo: bool) -> Framing:
    """How pictures are seen: whole, at the size that the config says, in their middle aspect."""
    side = task.image_size or fitting_side(found.train)
    if demo:
        side = min(side, DEMO_SIDE)
    return Framing(frame_size(found.train, side), "letterbox")


def new_localization_head(
    task: LocalizationConfig,
    backbone: Backbone,
    class_names: Sequence[str],
    *,
    known: LocalizationPart | None = None,
) -> LocalizationHead:
    """A head to be trained, on the backbone's device.

    Args:
        task: its options.
        backbone: that it is for.
        class_names: of its classes.
        known: the head that was trained on this backbone before. With `task.boxes` as it comes
            the new one goes on from it; classes that it does not know begin anew.

    Raises:
        FileNotFoundError: there are no box weights at `task.boxes`.
        ValueError: they are damaged, or of other sizes.
    """
    head = LocalizationHead(
        backbone.channels,
        len(class_names),
        width=task.width,
        depth=task.depth,
        score_threshold=task.score_threshold,
        iou_threshold=task.iou_threshold,
        max_detections=task.max_detections,
    )
    if task.boxes == STARTER:
        if known is None or not _goes_on(head, known, class_names):
            _start_starter_boxes(head, backbone)
    elif task.boxes is not None:
        start_boxes(head, Path(task.boxes))
    return head.to(next(backbone.parameters()).device)


def _goes_on(head: LocalizationHead, known: LocalizationPart, class_names: Sequence[str]) -> bool:
    """Whether the head could take what the bundle's has learned, which is said."""
    same = {
        number: known.class_names.index(name)
        for number, name in enumerate(class_names)
        if name in known.class_names
    }
    try:
        head.go_on_from(known.head, same)
    except ValueError as error:  # another width or depth is asked for
        say(f"The bundle's head is not gone on from: {error}.")
        return False
    say(
        f"Going on from what the bundle's head has learned: it knows {len(same)} of "
        f"{counted(len(class_names), 'class', 'classes')}."
    )
    return True


def _start_starter_boxes(head: LocalizationHead, backbone: Backbone) -> None:
    """The boxes that come with the starter weights, where the backbone has these and they fit."""
    state, made_for = starter_boxes()
    if backbone.weights_id != made_for:
        return
    try:
        head.load_class_agnostic(state)
    except ValueError as error:  # another width or depth was asked for
        say(f"Boxes are learned anew: {error}.")


def with_thresholds(
    part: LocalizationPart, backbone: Backbone, val: Sequence[Sample], *, max_pixels: int
) -> LocalizationPart:
    """The part with the threshold of the best F1 on validation pictures for each class.

    A class of which none of them shows a box, or no box is found, keeps the threshold it has.
    """
    if not val:
        return part
    with progress("validation pictures", len(val)) as step:
        judged = measure_localization(
            part,
            TorchNetwork(backbone, localization=part.head),
            val,
            thresholds=None,
            max_pixels=max_pixels,
            progress=step,
        )
    best = {one.name: one.assumed_threshold for one in judged.metrics.boxes.per_class}
    known = {name: float(value) for name, value in best.items() if math.isfinite(value)}
    return replace(part, thresholds={**part.thresholds, **known})


def thresholds_words(count: int) -> str:
    """How the thresholds were set on so many validation pictures, a sentence."""
    if not count:
        return f"There were no pictures to set thresholds on: all are {USUAL_THRESHOLD}."
    return f"Each class's threshold is that of its best F1 on {count} validation pictures."


def _fit(
    config: TrainConfig,
    task: LocalizationConfig,
    found: LabelledSet,
    backbone: Backbone,
    head: LocalizationHead,
    framing: Framing,
    run_folder: Path,
) -> LocalizationFit:
    settings = localization_settings(config.trainer, task, config.seed, config.debugger)
    if config.data.root is None and settings.minutes is None:
        settings = replace(settings, minutes=DEMO_MINUTES)
        say(f"The demo set is learned for {DEMO_MINUTES:g} minutes; task.minutes=... sets another.")
    minutes = settings.minutes
    if found.unlabelled and settings.max_epochs != 0:
        validated = can_judge(found.val, found.class_names)
        say(before_boxes_words(len(found.unlabelled), minutes, validated=validated))

    def tell(guesses: GuessedBoxes) -> None:
        write_guessed_boxes(run_folder, guesses)
        say(guessed_boxes_words(guesses, len(found.unlabelled), minutes))

    if (run_folder / "checkpoints").is_dir():
        say("Going on after the last whole epoch of the run that was stopped.")
    fitted = fit_localization(
        backbone,
        head,
        found.train,
        found.val,
        found.class_names,
        framing,
        run_folder,
        settings,
        unlabelled=found.unlabelled,
        bar=progress,
        guessed=tell,
        max_pixels=int(config.data.max_megapixels * 1e6),
    )
    if not fitted.guesses.samples:  # what an earlier run of this folder had guessed is gone
        write_guessed_boxes(run_folder, fitted.guesses)
    kept = f"; kept is what stood after epoch {fitted.best_epoch}" if found.val else ""
    say(f"{fitted.epochs} epochs, {fitted.steps} steps{kept}.")
    if fitted.guesses.samples:
        say(taken_words(fitted))
    return fitted
