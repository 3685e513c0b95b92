"""Training the exemplar head: items in, a bundle with thresholds and a report out."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from visionkit.config import ExemplarConfig, TrainConfig
from visionkit.data.demo import demo_photos, make_demo_set
from visionkit.data.problems import Problem
from visionkit.evaluation.report import LearningCurve, TrainingScene
from visionkit.evaluation.summary import counted
from visionkit.jobs.chain import Chain
from visionkit.jobs.measure import measure, say_measured, versions, write_measured
from visionkit.jobs.pictures import reference_pictures, write_scenes
from visionkit.jobs.reference import Kept, keep_training_reference
from visionkit.jobs.settings import compose_settings, finder_settings, fit_settings
from visionkit.jobs.sources import (
    Pictures,
    Scenes,
    read_backgrounds,
    read_exemplar_scenes,
    read_scenes,
    read_views,
    unknown_items,
)
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import problems_kept, progress, replace_problems, say
from visionkit.jobs.training import (
    BUNDLE_NAME,
    Finished,
    begin,
    config_text,
    learning_curves,
    save_bundle,
    say_end,
)
from visionkit.matching.finder import Finder
from visionkit.matching.gallery import View
from visionkit.matching.new_finder import new_head
from visionkit.matching.pyramid import scene_pyramid
from visionkit.models.backbone import Backbone
from visionkit.training.composed import ComposedScenes
from visionkit.training.fit import FitResult, fit
from visionkit.training.pairs import SceneSource
from visionkit.training.retaken import RetakenScenes
from visionkit.types import Image, Numbered

_SHOWN_SCENES = 12
_Part = Literal["train", "val", "test"]
_PARTS: tuple[_Part, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Material:
    """What a training has to work with.

    Attributes:
        views: of all items.
        scenes: pictures with boxes in their splits, or None.
        exemplars: the pictures that the views were cut from, where all their boxes are known.
        backgrounds: pictures without items.
        backgrounds_from: where they lie, or "" where they are the photos that come with visionkit.
        problems: what was left out.
    """

    views: list[View]
    scenes: Scenes | None
    exemplars: Scenes | None
    backgrounds: Sequence[Image]
    backgrounds_from: str
    problems: list[Problem]


@dataclass(frozen=True)
class _Parts:
    """Scenes by what they are for."""

    train: SceneSource
    val: SceneSource
    test: Scenes
    composed: bool


def train_exemplar(config: TrainConfig, task: ExemplarConfig, run_folder: Path) -> Summary:
    """Trains the exemplar head, sets its thresholds and measures it; see `visionkit.jobs.train`."""
    torch.manual_seed(config.seed)  # a backbone without weights begins at random
    start = begin(config)
    done = fill_exemplar(config, task, start.backbone, run_folder, text=config_text(run_folder))
    save_bundle(start, run_folder, metadata=done.metadata, finder=done.part)
    keep_training_reference(
        run_folder / BUNDLE_NAME,
        done.kept,
        device=config.trainer.accelerator,
        max_pixels=int(config.data.max_megapixels * 1e6),
        seed=config.seed,
    )
    finder = done.part
    bundle = f"bundle={run_folder / BUNDLE_NAME}"
    say_end(
        run_folder,
        f"{len(finder.item_names)} items, {len(finder.gallery.views)} views",
        ["gallery", "add", bundle, "item=NAME", "images=FOLDER"],
        ["gallery", "audit", bundle],
    )
    return Summary(run_folder, done.figures)


def fill_exemplar(
    config: TrainConfig, task: ExemplarConfig, backbone: Backbone, run_folder: Path, *, text: str
) -> Finished[Finder]:
    """The exemplar head with its items, trained and measured; figures and report are written.

    Args:
        config: of the training.
        task: its options of this head.
        backbone: frozen, in evaluation mode; the finder sees by a view of it.
        run_folder: where figures and report are written, and scenes where they are composed.
        text: the composed config.

    Raises:
        FileNotFoundError: a path of the data does not exist.
        ValueError: no item is left, or a setting does not fit another.
        RuntimeError: the disk is full, or the loss is not finite.
    """
    material = _gather(config, run_folder)
    finder = _finder(backbone, task, material)
    with progress("views", len(material.views)) as step:
        finder.add(material.views, progress=step)
    parts = _parts(config, task, finder, material, run_folder)
    result = _learn(config, task, finder, parts, run_folder)
    finder.calibrate(finder.item_names)
    thresholds_from = _thresholds_from(material, len(finder.reference), task.false_alarm_rate)
    say(thresholds_from)
    with progress("test scenes", len(parts.test)) as step:
        measured = measure(finder, parts.test, seed=config.seed, progress=step)
    say_measured(measured)
    words = "composed test scenes" if parts.composed else "test scenes"
    write_measured(
        run_folder,
        measured,
        finder,
        title=f"exemplar, {words}",
        thresholds_from=thresholds_from,
        problems=material.problems,
        training_scenes=_training_scenes(parts.train),
        learning=_curves(result),
        config=text,
        versions=versions(),
    )
    shutil.rmtree(run_folder / "cache", ignore_errors=True)  # large, and of use to no other run
    return Finished("exemplar", finder, measured.figures, words, _kept(material))


def _thresholds_from(material: Material, count: int, rate: float) -> str:
    """On which of so many background pictures the thresholds were set, a sentence."""
    own = min(len(material.backgrounds), count) if material.backgrounds_from else 0
    shipped = count - own
    parts = []
    if own:
        parts.append(f"{counted(own, 'background picture')} of {material.backgrounds_from}")
    if shipped:
        ending = "that comes" if shipped == 1 else "that come"
        parts.append(f"{counted(shipped, 'background photo')} {ending} with visionkit")
    return (
        f"Each item's threshold was set on {' and '.join(parts)}, all together for a false find in "
        f"{100 * rate:g} % of the pictures without items."
    )


def _kept(material: Material) -> Kept:
    """Real scenes where there are any, else background pictures of one's own; else nothing."""
    if material.scenes is not None:
        held = [sample for sample in material.scenes.samples if sample.split != "train"]
        return Kept(held, material.scenes.part("train").samples)
    if isinstance(material.backgrounds, Pictures):
        return Kept((), material.backgrounds.scenes.samples)
    return Kept(())


def _gather(config: TrainConfig, run_folder: Path) -> Material:
    """The pictures of the config, or of the demo set where it names none."""
    data = config.data
    items, scenes, background = data.items, data.scenes, data.background
    data_format = data.format
    if data.root is not None:
        raise ValueError(
            f"data.items must be given for task=exemplar, got data.root={data.root}, which is for "
            "classification and localization"
        )
    if data.unlabelled is not None:
        raise ValueError(
            "data.unlabelled is for classification and localization, got "
            f"{data.unlabelled}; pictures that show none of the items are named with "
            "data.background"
        )
    if items is None:
        if scenes is not None:
            raise ValueError(f"data.items must be given with data.scenes, got only {scenes}")
        demo = data.demo
        made = make_demo_set(
            demo.folder or Path("runs") / "demo",
            seed=demo.seed,
            items=demo.items,
            views=demo.views,
            scenes=demo.scenes,
            background=demo.background,
        )
        say(f"No data.items given: training on the demo set in {made.items.parent}.")
        items, scenes, data_format = str(made.items), str(made.scenes), "auto"
        background = background or str(made.background)
    pixels = int(data.max_megapixels * 1e6)
    with problems_kept(run_folder):
        views, problems = read_views(
            items, format=data_format, image_root=data.image_root, max_pixels=pixels
        )
        found = exemplars = None
        if scenes is None:
            exemplars = read_exemplar_scenes(
                items, format=data_format, image_root=data.image_root, max_pixels=pixels
            )
        else:
            found, more = read_scenes(
                scenes,
                format=data_format,
                image_root=data.image_root,
                max_pixels=pixels,
                splits=vars(data.splits),
                seed=config.seed,
            )
            problems += more
            problems += unknown_items(found, {view.item for view in views}, scenes)
            found = found.boxed()
        backgrounds: Sequence[Image] | Pictures = demo_photos()
        if background is not None:
            backgrounds, more = read_backgrounds(
                background, image_root=data.image_root, max_pixels=pixels
            )
            problems += more
    replace_problems(problems, run_folder)
    return Material(views, found, exemplars, backgrounds, background or "", problems)


def _finder(whole: Backbone, task: ExemplarConfig, material: Material) -> Finder:
    settings = finder_settings(task)
    stride = settings.pyramid.stride
    # The map that is searched is the deepest that the finder needs.
    backbone = whole.view((stride,), pool_stride=stride)
    chosen = reference_pictures(material.backgrounds)
    with progress("backgrounds", len(chosen)) as step:
        reference = []
        for image in chosen:
            reference.append(scene_pyramid(image, backbone, settings.pyramid))
            step(1)
    learned = task.learned
    head = new_head(
        backbone,
        reference,
        stride=stride,
        embedding_size=learned.embedding_size,
    )
    return Finder(backbone, head, settings, reference)


def _parts(
    config: TrainConfig,
    task: ExemplarConfig,
    finder: Finder,
    material: Material,
    run_folder: Path,
) -> _Parts:
    """Composed scenes to learn from, real ones where there are any, and test scenes."""
    settings, counts = compose_settings(config.augment), task.scenes

    def composed(count: int, seed: int, part: _Part) -> ComposedScenes:
        return ComposedScenes(
            finder.gallery,
            _grounds(material.backgrounds, part),
            count=count,
            settings=settings,
            seed=1000 * config.seed + seed,
        )

    train: SceneSource = composed(counts.train, 1, "train")
    val: SceneSource = composed(counts.val, 2, "val")
    if material.exemplars is not None:
        own = material.exemplars.hiding(finder.gallery.views)
        retaken = RetakenScenes(own, count=counts.exemplars, seed=1000 * config.seed + 5)
        train = Chain((train, retaken))
    if material.scenes is None:
        return _Parts(
            train,
            val,
            write_scenes(composed(counts.test, 4, "test"), run_folder / "test_scenes"),
            composed=True,
        )
    real = material.scenes.hiding(finder.gallery.views)
    test = real.part("test")
    if not len(test):
        raise ValueError(
            f"data.scenes must have pictures to test on, got {len(real)} pictures, none in the "
            f"split test; raise data.splits.test or add pictures"
        )
    return _Parts(
        Chain((train, real.part("train"))),
        Chain((val, real.part("val"))),
        test,
        composed=False,
    )


def _grounds(backgrounds: Sequence[Image], part: _Part) -> Numbered[Image]:
    """Photos that scenes of a part are composed on: no two parts share one if there are enough."""
    own = backgrounds
    if len(backgrounds) >= 2 * len(_PARTS):
        own = backgrounds[_PARTS.index(part) :: len(_PARTS)]
    return Chain((own, demo_photos(part)))


def _learn(
    config: TrainConfig, task: ExemplarConfig, finder: Finder, parts: _Parts, run_folder: Path
) -> FitResult | None:
    settings = fit_settings(config.trainer, task, config.seed, config.debugger)
    if not task.learned.enabled or not settings.max_epochs or not len(parts.train):
        say("Nothing is learned: the gallery is searched as it is.")
        return None
    if (run_folder / "checkpoints").is_dir():
        say("Going on after the last whole epoch of the run that was stopped.")
    else:
        say(
            f"Training on {len(parts.train)} scenes; the first epoch also computes what the "
            f"frozen backbone sees, later ones read it."
        )
    result = fit(finder, parts.train, parts.val, run_folder, settings)
    kept = "kept" if result.learned else "not kept: it is no better than without training"
    say(
        f"Validation loss {result.untrained_loss:.4f} without training, {result.best_loss:.4f} "
        f"with {result.epochs} epochs; what was learned is {kept}."
    )
    return result


def _training_scenes(scenes: SceneSource) -> list[TrainingScene]:
    shown = [scenes[index] for index in range(min(_SHOWN_SCENES, len(scenes)))]
    return [TrainingScene(scene.image, scene.boxes, scene.items) for scene in shown]


def _curves(result: FitResult | None) -> list[LearningCurve]:
    names = {"train/loss_epoch": "training loss", "val/loss": "validation loss"}
    return [] if result is None else learning_curves(result.curve, names)
