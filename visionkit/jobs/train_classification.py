"""Training the classification head: labels in, a bundle with thresholds and figures out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from visionkit.config import ClassificationConfig, TrainConfig
from visionkit.data.framing import Framing
from visionkit.data.problems import Problem, write_problems
from visionkit.evaluation.label_errors import label_doubts
from visionkit.evaluation.near_copies import near_copies
from visionkit.evaluation.summary import counted, percent
from visionkit.heads.classification import ClassificationHead
from visionkit.inference.engines.network import TorchNetwork
from visionkit.inference.parts import ClassificationPart
from visionkit.jobs.guessed import guessed_labels_words, write_guessed_labels
from visionkit.jobs.labelled import LabelledSet
from visionkit.jobs.measure import versions
from visionkit.jobs.measure_classification import (
    Doubted,
    measure_classification,
    say_classified,
    write_classified,
)
from visionkit.jobs.moving import after_moving, others_before
from visionkit.jobs.reference import Kept, keep_training_reference
from visionkit.jobs.settings import classification_settings
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import PROBLEMS_NAME, progress, say
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
from visionkit.training.classification import (
    ClassificationFit,
    ClassificationSettings,
    fit_classification,
)
from visionkit.training.feature_cache import FeatureCache
from visionkit.types import Sample

_SHOWN_DOUBTS = 5
_CURVES = {
    "train/loss_epoch": "training loss",
    "val/loss": "validation loss",
    "val/error": "share of the validation pictures named wrongly",
}


def train_classification(
    config: TrainConfig, task: ClassificationConfig, run_folder: Path
) -> Summary:
    """Trains the classification head, calibrates and measures it; see `visionkit.jobs.train`."""
    torch.manual_seed(config.seed)  # the head begins at random
    pixels = int(config.data.max_megapixels * 1e6)
    found = read_set(config.data, "classification", run_folder, seed=config.seed)
    settings = classification_settings(config.trainer, task, config.seed, config.debugger)
    if config.bundle is not None and settings.finetune is not None and not config.move_backbone:
        raise ValueError(
            "task.finetune.enabled must be false where a head is added to a bundle, got true: its "
            "other heads would answer otherwise; leave away bundle=, fine-tune nothing, or say "
            "move_backbone=true, and they are measured before and after"
        )
    start = begin(config, learns=settings.finetune is not None)
    others = others_before(config, start, ["classification"], run_folder)
    backbone = start.backbone
    head = new_classification_head(task, backbone, found)
    framing = classification_framing(task, backbone)
    fitted = _fit(task, found, backbone, head, framing, run_folder, settings, pixels)
    backbone.freeze().eval()
    part = named_part(head, found, framing)
    done = finish_classification(
        part,
        found,
        fitted,
        backbone,
        run_folder,
        config,
        task,
        problems=fitted.problems,
        curve=() if fitted.finetuned is None else fitted.finetuned.curve,
        text=config_text(run_folder),
    )
    start = after_moving(start, others, config, run_folder)
    save_bundle(start, run_folder, metadata=done.metadata, classification=done.part)
    keep_training_reference(
        run_folder / BUNDLE_NAME,
        replace(done.kept, moved=settings.finetune is not None),
        device=config.trainer.accelerator,
        max_pixels=pixels,
        seed=config.seed,
    )
    bundle = f"bundle={run_folder / BUNDLE_NAME}"
    say_end(run_folder, f"{len(found.class_names)} classes", ["evaluate", bundle, "data=FOLDER"])
    return Summary(run_folder, done.figures)


def new_classification_head(
    task: ClassificationConfig, backbone: Backbone, found: LabelledSet
) -> ClassificationHead:
    """A head that has learned nothing of these classes, on the backbone's device."""
    return ClassificationHead(
        backbone.pooled_channels,
        len(found.class_names),
        kind=task.kind,  # type: ignore[arg-type]  # checked by the config
        multi_label=found.multi_label,
        label_smoothing=task.label_smoothing,
        dropout=task.dropout,
    ).to(next(backbone.parameters()).device)


def classification_framing(task: ClassificationConfig, backbone: Backbone) -> Framing:
    """How pictures are seen: as a square of the size that the config or the backbone says."""
    side = task.image_size or min(backbone.image_size)
    return Framing((side, side), task.fit)  # type: ignore[arg-type]  # checked by the config


def frames_of(found: LabelledSet, settings: ClassificationSettings) -> int:
    """How many frames and views of a set the frozen backbone sees."""
    return len(found.train) * (1 + settings.views) + len(found.val) + len(found.unlabelled)


def feature_cache(task: ClassificationConfig) -> FeatureCache:
    """Where features of the frozen backbone are kept for later runs."""
    folder = task.cache.folder or Path("runs") / "features"
    return FeatureCache(folder, max_bytes=int(task.cache.max_gigabytes * 2**30))


def named_part(
    head: ClassificationHead, found: LabelledSet, framing: Framing
) -> ClassificationPart:
    """The head with thresholds that say nothing yet of its pictures."""
    usual = dict.fromkeys(found.class_names, 0.5 if found.multi_label else 0.0)
    return ClassificationPart(head, found.class_names, framing, usual)


def finish_classification(
    part: ClassificationPart,
    found: LabelledSet,
    fitted: ClassificationFit,
    backbone: Backbone,
    folder: Path,
    config: TrainConfig,
    task: ClassificationConfig,
    *,
    problems: Sequence[Problem],
    curve: Sequence[Mapping[str, float]],
    text: str,
) -> Finished[ClassificationPart]:
    """The part with its thresholds, measured; figures and what is doubtful are said and written.

    Args:
        part: as it is after the training.
        found: the set that was learned.
        fitted: how the head learned on the frozen backbone, whatever came after.
        backbone: as it is after the training, in evaluation mode.
        folder: where figures and problems are written.
        config: of the training.
        task: its options of this head.
        problems: of the training.
        curve: figures of each epoch of it.
        text: the composed config.
    """
    pixels = int(config.data.max_megapixels * 1e6)
    doubted = doubted_in(fitted)
    doubts = doubts_of(doubted, found.class_names)
    if found.unlabelled:
        say(guessed_labels_words(fitted, len(found.unlabelled)))
    _say_doubts(doubts, folder)
    if found.multi_label:
        part = with_thresholds(part, backbone, found.val or found.train, max_pixels=pixels)
    tested = found.tested
    with progress("test pictures", len(tested.samples)) as step:
        measured = measure_classification(
            part,
            TorchNetwork(backbone, part.head),
            tested.samples,
            thresholds=part.thresholds,
            precision_goal=task.precision_goal,
            seed=config.seed,
            max_pixels=pixels,
            progress=step,
        )
    say_classified(measured)
    write_classified(
        folder,
        measured,
        title=f"classification, {tested.words}",
        thresholds_from=_thresholds_words(found),
        problems=(*found.problems, *problems),
        doubted=doubted,
        training_images=len(found.train),
        learning=learning_curves(curve, _CURVES),
        tried=[
            (str(one), one.accuracy, one.surprise, str(one) == str(fitted.frozen.chosen))
            for one in fitted.frozen.tried
        ],
        config=text,
        versions=versions(),
    )
    if fitted.guessed:
        write_guessed_labels(folder, fitted, found.class_names)
    wrong = [*found.problems, *problems, *measured.problems, *doubts]
    if wrong:  # those of reading were said before
        write_problems(folder / PROBLEMS_NAME, wrong)
    kept = Kept((*found.val, *found.test), found.train)
    return Finished("classification", part, measured.figures, tested.words, kept)


def _thresholds_words(found: LabelledSet) -> str:
    if not found.multi_label:
        return "The best class is named, whatever its confidence."
    on = "validation pictures" if found.val else "pictures learned from, which flatters"
    return f"Each class's threshold is that of its best F1 on the {on}."


def with_thresholds(
    part: ClassificationPart, backbone: Backbone, samples: Sequence[Sample], *, max_pixels: int
) -> ClassificationPart:
    """The part with the threshold of the best F1 on these pictures for each class.

    A class of which none of them shows anything keeps the threshold it has.
    """
    with progress("validation pictures", len(samples)) as step:
        judged = measure_classification(
            part,
            TorchNetwork(backbone, part.head),
            samples,
            thresholds=None,
            max_pixels=max_pixels,
            progress=step,
        )
    best = {one.name: one.assumed_threshold for one in judged.metrics.per_class}
    known = {name: float(value) for name, value in best.items() if math.isfinite(value)}
    return replace(part, thresholds={**part.thresholds, **known})


def doubted_in(fitted: ClassificationFit) -> Doubted:
    """What is doubtful about the pictures learned from, by heads that did not learn from them."""
    samples = fitted.learned.samples
    targets = fitted.learned.targets.numpy()
    labels = targets > 0 if targets.ndim == 2 else targets
    hashes = [sample.content_hash for sample in samples]
    return Doubted(
        samples,
        tuple(label_doubts(labels, fitted.frozen.out_of_fold)),
        tuple(near_copies(fitted.features.numpy(), hashes)),
    )


def doubts_of(doubted: Doubted, class_names: Sequence[str]) -> list[Problem]:
    """Warnings of doubtful labels, the most doubtful first, and of pictures nearly equal."""
    samples = doubted.samples
    doubts = []
    for doubt in doubted.doubts:
        said = ["not labelled so"]
        if doubt.label >= 0:
            said = [f"labelled {class_names[doubt.label]!r} ({percent(doubt.label_score)} sure)"]
        if doubt.likely >= 0:
            likely = class_names[doubt.likely]
            said.append(f"but looks like {likely!r} ({percent(doubt.likely_score)} sure)")
        reason = f"{', '.join(said)}; look whether the label is right"
        doubts.append(Problem(samples[doubt.picture].uri, None, reason, "warning"))
    for copy in doubted.copies:
        how = "the same picture as" if copy.equal else "nearly the same picture as"
        reason = f"{how} {samples[copy.first].uri}; leave one out if both say the same"
        doubts.append(Problem(samples[copy.second].uri, None, reason, "warning"))
    return doubts


def _say_doubts(doubts: Sequence[Problem], run_folder: Path) -> None:
    if doubts:
        say(
            f"{counted(len(doubts), 'label or picture', 'labels or pictures')} to look at:",
            *(f"  {doubt}" for doubt in doubts[:_SHOWN_DOUBTS]),
            f"  all of them: {run_folder / PROBLEMS_NAME}",
        )


def _fit(
    task: ClassificationConfig,
    found: LabelledSet,
    backbone: Backbone,
    head: ClassificationHead,
    framing: Framing,
    run_folder: Path,
    settings: ClassificationSettings,
    pixels: int,
) -> ClassificationFit:
    with progress("pictures and views", frames_of(found, settings)) as step:
        fitted = fit_classification(
            backbone,
            head,
            found.train,
            found.val,
            found.class_names,
            framing,
            run_folder,
            settings,
            unlabelled=found.unlabelled,
            cache=feature_cache(task),
            progress=step,
            max_pixels=pixels,
        )
    chosen, tuned = fitted.frozen.chosen, fitted.finetuned
    say(
        f"Learned on the frozen backbone in {fitted.fitting:.1f} s (and {fitted.seeing:.1f} s to "
        f"see the pictures): {chosen}, {percent(chosen.accuracy)} of "
        f"{fitted.frozen.judged} held-back pictures right."
    )
    if tuned is not None:
        say(f"Fine-tuned with the backbone: {tuned.epochs} epochs.")
    return fitted
