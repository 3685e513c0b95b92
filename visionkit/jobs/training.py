"""What all trainings begin and end with: the backbone, the set, the bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from visionkit.config import BackboneConfig, DataConfig, TrainConfig
from visionkit.evaluation.report import LearningCurve
from visionkit.evaluation.summary import counted
from visionkit.inference.device import pick_device
from visionkit.inference.parts import ClassificationPart, LocalizationPart, Part
from visionkit.inference.store import Parts, load_parts, save_parts
from visionkit.jobs.labelled import Kind, LabelledSet, read_labelled
from visionkit.jobs.moving import check_moving
from visionkit.jobs.reference import Kept
from visionkit.jobs.terminal import problems_kept, replace_problems, say, say_next
from visionkit.matching.finder import Finder
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone

BUNDLE_NAME = "bundle"
AnyPart = TypeVar("AnyPart", ClassificationPart, LocalizationPart, Finder)


@dataclass(frozen=True)
class Finished(Generic[AnyPart]):
    """A head that was trained and measured.

    Attributes:
        task: its name.
        part: of the bundle.
        figures: name -> value on the pictures that were measured.
        words: which these were.
        kept: the pictures of the training that monitor compares live ones with.
    """

    task: str
    part: AnyPart
    figures: Mapping[str, float]
    words: str
    kept: Kept

    @property
    def metadata(self) -> dict[str, Any]:
        """What the bundle says of it."""
        return {self.task: {"metrics": self.figures, "on": self.words}}


def begin(config: TrainConfig, *, learns: bool = False) -> Parts:
    """The backbone that a head is trained on, all layers of it, and the heads that it has already.

    Args:
        config: of the training.
        learns: whether the backbone may learn too. That of a bundle only does where the config
            says that it moves, since its other heads answer otherwise then.

    Raises:
        FileNotFoundError: there is no such bundle.
        ValueError: the bundle is damaged, the backbone can't be built, or the config says that it
            moves where it can't.
        RuntimeError: the hub can't be reached.
    """
    device = pick_device(config.trainer.accelerator)
    check_moving(config, learns=learns)
    if config.bundle is not None:
        parts = load_parts(config.bundle, device)
        if config.move_backbone:
            parts.backbone.free()
        does = "learns too" if config.move_backbone else "stays as it is"
        say(
            f"Adding to {config.bundle}, which answers {' and '.join(parts.tasks)}: its backbone "
            f"({parts.backbone.name}) {does}."
        )
        return parts
    backbone = _build(config.backbone).to(device).eval()
    return Parts(backbone if learns else backbone.freeze())


def _build(config: BackboneConfig) -> Backbone:
    return build_backbone(
        config.name,
        weights=config.weights,  # type: ignore[arg-type]  # checked by the config
        file=config.file,
        strides=config.strides,
        pooling=config.pooling,  # type: ignore[arg-type]
        image_size=config.image_size,
        mean=config.mean,
        std=config.std,
        options=config.options,
    ).full()


def read_set(data: DataConfig, kind: Kind, run_folder: Path, *, seed: int) -> LabelledSet:
    """The labelled set of the config; what was wrong with it is said and kept.

    Raises:
        FileNotFoundError: a path does not exist.
        NothingLeftError: nothing can be learned from what is left.
        ValueError: the config contradicts itself.
    """
    if data.root is None:
        say(f"No data.root given: training on the demo set for {kind}.")
    with problems_kept(run_folder):
        found = read_labelled(data, kind, seed=seed)
    replace_problems(found.problems, run_folder)
    without = f", {len(found.unlabelled)} without a label" if found.unlabelled else ""
    say(
        f"{counted(len(found.class_names), 'class', 'classes')}; "
        f"{counted(len(found.train), 'picture')} to learn from, {len(found.val)} to choose on, "
        f"{len(found.test)} to measure on{without}."
    )
    return found


def save_bundle(
    parts: Parts,
    run_folder: Path,
    *,
    metadata: Mapping[str, Any],
    finder: Finder | None = None,
    classification: Part | None = None,
    localization: Part | None = None,
) -> None:
    """Writes the run's bundle: the heads of `parts`, with those given added or in their place.

    Raises:
        RuntimeError: the disk is full.
    """
    given = {"finder": finder, "classification": classification, "localization": localization}
    added = {name: part for name, part in given.items() if part is not None}
    whole = replace(parts, **added, metadata={**parts.metadata, **metadata})  # type: ignore[arg-type]
    whole.check()
    save_parts(whole, run_folder / BUNDLE_NAME, overwrite=True)


def say_end(run_folder: Path, what: str, *more: Sequence[str]) -> None:
    """Prints where the results lie and what to type next.

    Args:
        run_folder: of the run.
        what: what the bundle knows, in a few words.
        more: further commands, see `say_next`.
    """
    bundle = str(run_folder / BUNDLE_NAME)
    say(f"Bundle: {bundle} ({what})", f"Report: {run_folder / 'report.html'}")
    say_next(["predict", f"bundle={bundle}", "source=PICTURE_OR_FOLDER"], *more)


def config_text(run_folder: Path) -> str:
    """The composed config as it stands in the run's folder, or "" where it is not there."""
    path = run_folder / "config.yaml"
    return path.read_text("utf-8") if path.is_file() else ""


def learning_curves(
    curve: Sequence[Mapping[str, float]], names: Mapping[str, str]
) -> list[LearningCurve]:
    """The figures of the epochs, for the report.

    Args:
        curve: a mapping an epoch.
        names: name of a figure in `curve` -> what it is called; in their order.
    """
    curves = []
    for name, words in names.items():
        at = [number for number, epoch in enumerate(curve, 1) if name in epoch]
        if at:
            curves.append(LearningCurve(words, at, [curve[number - 1][name] for number in at]))
    return curves
