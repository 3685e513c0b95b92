"""The heads of a bundle whose backbone learns on with another head: measured before and after."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from visionkit.config import DataConfig, TrainConfig
from visionkit.data.demo import demo_photos
from visionkit.data.formats import NothingLeftError
from visionkit.data.problems import Problem
from visionkit.evaluation.summary import counted, number
from visionkit.files import write_json
from visionkit.inference.engines.network import TorchNetwork
from visionkit.inference.store import Parts
from visionkit.jobs.evaluate_trained import check_labels
from visionkit.jobs.figures import Figures, part_figures
from visionkit.jobs.labelled import Kind, Tested, read_labelled, read_test_pictures
from visionkit.jobs.measure import measure
from visionkit.jobs.pictures import reference_pictures
from visionkit.jobs.sets import data_of
from visionkit.jobs.sources import read_backgrounds, read_scenes
from visionkit.jobs.terminal import keep_problems, problems_kept, progress, say, say_table
from visionkit.matching.finder import Finder
from visionkit.matching.new_finder import new_finder
from visionkit.models.backbone import Backbone
from visionkit.types import Image

OTHERS_NAME = "others.json"
SETS = {"exemplar": "scenes", "classification": "labels", "localization": "boxes"}
"""Head -> the key of `others` that names the set it is measured on."""
_NEEDED = {"classification": "labels of pictures", "localization": "labelled boxes"}


@dataclass(frozen=True)
class Other:
    """A head that is not taught while its backbone moves.

    Attributes:
        task: which.
        words: the pictures it is measured on.
        measure: its figures on them, as a part of the bundle given.
        before: its figures while the backbone was as it had been.
    """

    task: str
    words: str
    measure: Callable[[Parts], Figures]
    before: Figures


def others_before(
    config: TrainConfig, parts: Parts, taught: Collection[str], run_folder: Path
) -> list[Other]:
    """The heads of the bundle beside those that are taught, measured; none where nothing moves.

    Args:
        config: of the training.
        parts: of the bundle, before the training.
        taught: heads that learn.
        run_folder: where the problems of their sets are written.

    Raises:
        FileNotFoundError: a set does not exist.
        ValueError: a head has no set in `others`, or it can't be used.
    """
    if not config.move_backbone:
        return []
    left = [task for task in parts.tasks if task not in taught]
    for task in left:
        if getattr(config.others, SETS[task]) is None:
            raise ValueError(
                f"others.{SETS[task]} must name pictures on which the head {task} of "
                f"{config.bundle} is measured before and after its backbone moves, got none"
            )
    found = []
    for task in left:
        measure_part, words = _examination(config, task, parts, run_folder)
        found.append(Other(task, words, measure_part, measure_part(parts)))
    return found


def after_moving(
    parts: Parts, others: Collection[Other], config: TrainConfig, run_folder: Path
) -> Parts:
    """The bundle's parts as they are on the backbone that has moved; figures are said and written.

    Trained heads stay as they were. The items of an exemplar head are embedded anew; what was
    learned of each is forgotten, since it was learned of what the backbone said before.

    Args:
        parts: with the backbone as it is now, frozen, in evaluation mode.
        others: of `others_before`.
        config: of the training.
        run_folder: where the figures are written.
    """
    if not others:
        return parts
    if parts.finder is not None and any(other.task == "exemplar" for other in others):
        parts = replace(parts, finder=_seen_anew(parts.finder, parts.backbone, config.data))
    after = {other.task: other.measure(parts) for other in others}
    rows = [
        [f"{other.task} {name}", number(value), number(after[other.task].get(name, float("nan")))]
        for other in others
        for name, value in other.before.items()
    ]
    say_table("Other heads, whose backbone moved", ["figure", "before", "after"], rows)
    written: dict[str, Any] = {
        other.task: {"on": other.words, "before": other.before, "after": after[other.task]}
        for other in others
    }
    write_json(run_folder / OTHERS_NAME, written)
    changed = {
        task: {"metrics": figures["after"], "on": figures["on"]}
        for task, figures in written.items()
    }
    return replace(parts, metadata={**parts.metadata, **changed})


def check_moving(config: TrainConfig, *, learns: bool) -> None:
    """Passes if the backbone of a bundle may move as the config says.

    Args:
        config: of the training.
        learns: whether the training would change a backbone of its own.

    Raises:
        ValueError: there is no bundle, the training changes no backbone, or sets are named for
            heads that are not measured.
    """
    if not config.move_backbone:
        named = [f"others.{key}" for key, value in vars(config.others).items() if value is not None]
        if named:
            raise ValueError(
                f"{' and '.join(named)} must be given with move_backbone=true only: the other "
                "heads answer as before where the backbone stays"
            )
        return
    if config.bundle is None:
        raise ValueError(
            "move_backbone must be false where no bundle is given, got true; name one with "
            "bundle=OLD, or leave it away: the backbone of a new bundle is free as the task says"
        )
    if not learns:
        raise ValueError(
            "move_backbone must be false where the backbone does not learn, got true; let it: "
            "task.finetune.enabled=true for classification, task.freeze=none for the others (the "
            "exemplar head never moves it)"
        )


def _examination(
    config: TrainConfig, task: str, parts: Parts, run_folder: Path
) -> tuple[Callable[[Parts], Figures], str]:
    """What measures this head of a bundle on its pictures, and which these are."""
    pixels, seed = int(config.data.max_megapixels * 1e6), config.seed
    if task == "exemplar":
        return _scenes_examination(config, parts, run_folder, pixels)
    kind: Kind = "classification" if task == "classification" else "localization"
    tested, problems = _tested(config, kind, parts.trained[task].class_names)
    keep_problems(problems, run_folder)

    def figures(parts: Parts) -> Figures:
        part = parts.trained[task]
        named, located = parts.classification, parts.localization
        network = TorchNetwork(
            parts.backbone,
            None if named is None else named.head,
            None if located is None else located.head,
        )
        with progress(f"pictures of {task}", len(tested.samples)) as step:
            return part_figures(
                part, network, tested.samples, seed=seed, max_pixels=pixels, progress=step
            )

    return figures, tested.words


def _tested(
    config: TrainConfig, kind: Kind, class_names: Sequence[str]
) -> tuple[Tested, Sequence[Problem]]:
    """The pictures that a trained head is measured on, and what was wrong with its set.

    The set is divided as the head's own training would, so that nothing is measured that it
    learned from; one that has nothing but test pictures is measured as it is.
    """
    others = config.others
    data = replace(config.data, labels=others.labels, boxes=others.boxes)
    # The form of the set that is learned from says nothing of this one.
    own = data_of(replace(data, format="auto", image_root=others.image_root), kind)
    try:
        found = read_labelled(own, kind, seed=config.seed)
    except NothingLeftError:
        tested, problems = read_test_pictures(own, kind)
        if not tested:
            raise
        check_labels(tested, class_names, str(own.root), what=_NEEDED[kind])
        return Tested(tuple(tested), "test pictures"), problems
    return found.tested, found.problems


def _scenes_examination(
    config: TrainConfig, parts: Parts, run_folder: Path, pixels: int
) -> tuple[Callable[[Parts], Figures], str]:
    if parts.finder is None or config.others.scenes is None:
        raise RuntimeError("an exemplar head and its scenes must be there to be measured, got none")
    with problems_kept(run_folder):
        scenes, problems = read_scenes(
            config.others.scenes,
            image_root=config.others.image_root,
            max_pixels=pixels,
            splits=vars(config.data.splits),
            seed=config.seed,
        )
    keep_problems(problems, run_folder)
    hidden = scenes.hiding(parts.finder.gallery.views)
    test = hidden.part("test")
    chosen = test if len(test) else hidden

    def figures(parts: Parts) -> Figures:
        if parts.finder is None:
            raise RuntimeError("a bundle that lists exemplar must have it, got none")
        with progress("scenes of exemplar", len(chosen)) as step:
            return measure(parts.finder, chosen, seed=config.seed, progress=step).figures

    return figures, "test scenes" if len(test) else "scenes"


def _seen_anew(finder: Finder, backbone: Backbone, data: DataConfig) -> Finder:
    """A finder of the same items and settings that sees by the backbone as it is now."""
    grounds: Sequence[Image] = demo_photos()
    if data.background is not None:
        grounds, _ = read_backgrounds(data.background, image_root=data.image_root)
    renewed = new_finder(backbone, reference_pictures(grounds), finder.settings)
    views = finder.gallery.views
    with progress("views, seen anew", len(views)) as step:
        renewed.add(views, progress=step)
    if finder.learned:
        say(
            f"What was learned of {counted(len(finder.learned), 'item')} is forgotten, as it was "
            "learned of the backbone before; task=exemplar learns it anew."
        )
    return renewed
