"""The wheel turned once: corrections in, a challenger out, promoted where it is better."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

import visionkit
from visionkit.config import AllConfig, ClassificationConfig, LocalizationConfig, TrainConfig
from visionkit.config.flywheel import RetrainConfig
from visionkit.config.limits import BUNDLE_TASKS
from visionkit.config.task import TaskConfig
from visionkit.data.problems import summarize, write_problems
from visionkit.evaluation.summary import counted, json_value, number
from visionkit.files import write_json, write_text
from visionkit.flywheel.catalog import Catalog, Model, Version, open_catalog
from visionkit.flywheel.catalog.locking import file_lock
from visionkit.flywheel.frozen import FROZEN_NAME, FrozenSet, frozen_set
from visionkit.flywheel.marks import Marks
from visionkit.flywheel.paired import Contest
from visionkit.flywheel.promotion import Verdict, compare, first_verdict
from visionkit.flywheel.wheel import signed, write_wheel
from visionkit.jobs.author import author_of
from visionkit.jobs.catalogued import model_name
from visionkit.jobs.judging import check_told, compared, items_of, judge_bundle
from visionkit.jobs.retrain_data import check_data, unseen_pictures, write_data
from visionkit.jobs.retrain_folder import (
    CHALLENGER_FOLDER,
    CONFIG_NAME,
    DATA_FOLDER,
    OTHERS_FOLDER,
    VERDICT_NAME,
    WHEEL_NAME,
    empty_folder,
)
from visionkit.jobs.retrain_others import (
    StandingHead,
    check_judged,
    judge_others,
    other_figures,
    standing_heads,
    write_others,
)
from visionkit.jobs.retrain_turns import turns_of
from visionkit.jobs.retrain_waits import vouched_for, waits_for
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import PROBLEMS_NAME, say, say_next, say_table
from visionkit.jobs.train import train
from visionkit.jobs.training import BUNDLE_NAME
from visionkit.jobs.unchanged import unchanged
from visionkit.types import Sample

_SHOWN_CLASSES = 10


@dataclass(frozen=True)
class _Round:
    """What one training stands on; `standing` are heads that answer otherwise after it."""

    version: Version
    samples: Sequence[Sample]
    frozen: FrozenSet
    champion: Model | None
    standing: tuple[StandingHead, ...]
    folder: Path


def retrain(config: RetrainConfig, place: Path) -> Summary:
    """Trains a challenger where enough was corrected, and promotes it where it is better.

    Made to be called again and again: where there is too little to do, it says so and writes
    nothing. Two at once take turns.

    Raises:
        FileNotFoundError: there is no catalog, or a bundle or picture of it is gone.
        FileExistsError: the output folder holds something that is not to be replaced.
        ValueError: the frozen test set has changed, there is nothing to learn from, or the task
            or the backbone can't be what the config says.
        RuntimeError: the disk is full, or the loss is not finite.
    """
    check_data(config)
    if isinstance(config.task, AllConfig):
        raise ValueError(
            f"task must be one head, {', '.join(BUNDLE_TASKS)}, got all: each is compared on its "
            "own; retrain them one after the other"
        )
    _task(config)
    catalog = open_catalog(config.catalog)
    with _one_at_a_time(config.catalog):
        waits = waits_for(catalog, config.task.name, config.loop)
        if waits:
            say(waits)
            return Summary(place)
        _check_moving(catalog, config)
        return _turn(catalog, config)


def _task(config: RetrainConfig) -> TaskConfig:
    """What is trained, in no more minutes than the loop may take; or ValueError."""
    task, minutes = config.task, config.loop.minutes
    if minutes is None:
        return task
    if isinstance(task, LocalizationConfig):
        return replace(task, minutes=minutes)
    if isinstance(task, ClassificationConfig) and task.finetune.enabled:
        return replace(task, finetune=replace(task.finetune, minutes=minutes))
    raise ValueError(
        "loop.minutes must be null but for task=localization, and task=classification with "
        f"task.finetune.enabled=true, got {minutes:g} with task={task.name}, which can't be "
        "stopped after some minutes; leave it away"
    )


def _check_moving(catalog: Catalog, config: RetrainConfig) -> None:
    """Passes if the catalog can tell what the heads that stand on a moving backbone lose."""
    champion = catalog.champion()
    standing = _standing(config, config.bundle if champion is None else champion.bundle)
    if standing:
        check_judged(standing, vouched_for(catalog), "the catalog")


def _standing(config: RetrainConfig, bundle: str | None) -> list[StandingHead]:
    """The heads that answer otherwise after the training, though they do not learn."""
    if not config.move_backbone or bundle is None:
        return []
    return standing_heads(bundle, config.task.name)


def _turn(catalog: Catalog, config: RetrainConfig) -> Summary:
    round_ = _round(catalog, config)
    text = yaml.safe_dump(asdict(config), sort_keys=False)
    write_text(round_.folder / CONFIG_NAME, text)
    bundle = _trained(catalog, config, round_)
    name = model_name(bundle)
    if name in {model.name for model in catalog.models()}:
        say(f"The challenger is the model {name} once more, to the last bit: nothing changes.")
        return Summary(round_.folder)
    verdict, marks = _judged(config, round_, bundle)
    promoted = verdict.promoted and config.loop.promote
    figures = _figures(config, round_, marks, verdict, promoted=promoted)
    write_json(round_.folder / VERDICT_NAME, json_value(verdict))
    model = _model(name, bundle, round_, figures, text)
    # In one step: whatever is stopped before it is trained again, and nothing is left undecided.
    if promoted:
        catalog.promote(model)
    else:
        catalog.add_model(replace(model, status="retired"))
    _tell(catalog, config, round_, verdict, promoted=promoted)
    return Summary(round_.folder, {"champion": verdict.champion, "challenger": verdict.challenger})


def _round(catalog: Catalog, config: RetrainConfig) -> _Round:
    """What is trained on and judged by, checked so that no training is for nothing."""
    version = _version(catalog, config)
    # A turn that found a picture gone after the training would be tried again for ever.
    samples, problems = unchanged(catalog.at(version.name))
    if problems:
        say(summarize(problems))
    frozen = frozen_set(
        _frozen_path(config),
        samples,
        share=config.loop.test_share,
        anew=config.loop.refreeze,
    )
    say(
        f"{version.name}: {counted(version.samples, 'picture')}, {len(frozen.samples)} of them in "
        f"the frozen test set {frozen.name}{', frozen now' if frozen.is_new else ''}."
    )
    champion = _champion(catalog, config)
    if champion is not None and frozen.added:
        say(
            f"{len(frozen.added)} of them were no test pictures before: the champion may have "
            "learned from them, which speaks for it."
        )
    what = f"the frozen test set {frozen.name}"
    standing = _standing(config, None if champion is None else champion.bundle)
    check_judged(standing, frozen.samples, what)
    check_told(config.task.name, frozen.samples, _items(config, samples, champion), what)
    folder = empty_folder(config, catalog.models())
    if problems:
        write_problems(folder / PROBLEMS_NAME, problems)
    return _Round(version, samples, frozen, champion, tuple(standing), folder)


def _items(
    config: RetrainConfig, samples: Sequence[Sample], champion: Model | None
) -> set[str] | None:
    """The items that a challenger may look for; None where the config brings its own."""
    if config.data.items is not None:
        return None
    known = set() if champion is None else items_of(champion.bundle)
    return known | {entry.label for sample in samples for entry in sample.objects}


def _one_at_a_time(catalog: str) -> AbstractContextManager[None]:
    """Whoever is called while another trains waits, and then finds what is left to do."""
    if "://" in catalog:
        return nullcontext()
    return file_lock(Path(catalog) / ".retrain.lock")


def _version(catalog: Catalog, config: RetrainConfig) -> Version:
    """The newest version, made of what is in none where asked."""
    if config.loop.merge and (catalog.unmerged() or not catalog.versions()):
        return catalog.merge(author=author_of(config.author), note="made by retrain")
    return catalog.versions()[-1]


def _frozen_path(config: RetrainConfig) -> Path:
    if config.loop.frozen is not None:
        return Path(config.loop.frozen)
    if "://" in config.catalog:
        raise ValueError(
            f"loop.frozen must name a file where the catalog is no folder, got none "
            f"[{config.catalog}]"
        )
    return Path(config.catalog) / FROZEN_NAME


def _champion(catalog: Catalog, config: RetrainConfig) -> Model | None:
    """The model that is challenged; the bundle of the config where the catalog has none."""
    champion = catalog.champion()
    if champion is None and config.bundle is not None:
        name = model_name(config.bundle)
        if name not in {model.name for model in catalog.models()}:
            catalog.add_model(Model(name, Path(config.bundle).absolute().as_posix()))
        champion = catalog.promote(name)
    if champion is not None and not Path(champion.bundle).is_dir():
        raise FileNotFoundError(
            f"the champion's bundle must be at {champion.bundle}, but is not; put it back, or "
            "begin another catalog"
        )
    return champion


def _trained(catalog: Catalog, config: RetrainConfig, round_: _Round) -> Path:
    """Folder of the challenger's bundle."""
    bundle = None if round_.champion is None else round_.champion.bundle
    data = write_data(
        config,
        round_.samples,
        round_.frozen.samples,
        bundle,
        round_.folder / DATA_FOLDER,
        catalogued={sample.uri for sample in catalog.samples()},
        unseen=() if config.task.name == "exemplar" else unseen_pictures(catalog),
    )
    folder = round_.folder / CHALLENGER_FOLDER
    folder.mkdir()
    training = TrainConfig(
        task=_task(config),
        backbone=config.backbone,
        data=data,
        augment=config.augment,
        trainer=config.trainer,
        debugger=config.debugger,
        bundle=bundle,
        move_backbone=config.move_backbone and bundle is not None,
        others=write_others(round_.standing, round_.frozen.samples, round_.folder / OTHERS_FOLDER),
        seed=config.seed,
        output=str(folder),
        overwrite=config.overwrite,
        resume=None,
        debug=config.debug,
    )
    write_text(folder / CONFIG_NAME, yaml.safe_dump(asdict(training), sort_keys=False))
    train(training, folder)
    return folder / BUNDLE_NAME


def _judged(config: RetrainConfig, round_: _Round, bundle: Path) -> tuple[Verdict, Marks]:
    """The verdict, and how the challenger did."""
    frozen, task = round_.frozen.samples, config.task.name
    champions = [] if round_.champion is None else [round_.champion.bundle]
    samples, names = compared(task, frozen, [*champions, bundle])
    place = config.trainer.accelerator
    marks = judge_bundle(bundle, task, samples, names, accelerator=place)
    contest = Contest(
        level=config.loop.level,
        least_gain=config.loop.least_gain,
        most_loss=config.loop.most_loss,
        class_level=config.loop.class_level,
        least_score=config.loop.least_score,
        promote=config.loop.promote,
        seed=config.seed,
    )
    if round_.champion is None:
        return first_verdict(marks, contest), marks
    champion = round_.champion.bundle
    before = judge_bundle(champion, task, samples, names, accelerator=place)
    others = judge_others(round_.standing, champion, bundle, frozen, contest, accelerator=place)
    return compare(before, marks, contest, others=others), marks


def _figures(
    config: RetrainConfig, round_: _Round, marks: Marks, verdict: Verdict, *, promoted: bool
) -> dict[str, Any]:
    """What the catalog keeps of the challenger's test."""
    span = marks.interval(seed=config.seed)
    figures = {
        "task": config.task.name,
        "figure": marks.figure,
        "value": marks.mean(),
        "low": span.low,
        "high": span.high,
        "pictures": marks.pictures,
        "test": round_.frozen.name,
        "promoted": promoted,
        "verdict": verdict.words[0],
    }
    if verdict.others:
        figures["others"] = other_figures(verdict.others)
    kept: dict[str, Any] = json_value(figures)
    return kept


def _model(
    name: str, bundle: Path, round_: _Round, figures: dict[str, Any], config_text: str
) -> Model:
    """The challenger with what it was made of."""
    return Model(
        name=name,
        bundle=bundle.absolute().as_posix(),
        parent="" if round_.champion is None else round_.champion.name,
        version=round_.version.name,
        config_hash=hashlib.sha256(config_text.encode()).hexdigest()[:12],
        code=visionkit.__version__,
        metrics=figures,
    )


def _tell(
    catalog: Catalog, config: RetrainConfig, round_: _Round, verdict: Verdict, *, promoted: bool
) -> None:
    rows = [
        (one.name, str(one.support), number(one.champion), number(one.challenger),
         signed(one.change))
        for one in verdict.changes[:_SHOWN_CLASSES]
    ]  # fmt: skip
    say_table(
        f"{verdict.figure} by class, the greatest loss first",
        ("class", "tested", "champion", "challenger", "change"),
        rows,
    )
    say(*verdict.words)
    page = write_wheel(
        round_.folder / WHEEL_NAME,
        verdict,
        turns_of(
            catalog.models(),
            round_.champion,
            verdict.champion,
            task=config.task.name,
            test=round_.frozen.name,
        ),
        title=f"{config.task.name.capitalize()}: {round_.version.name}",
        promoted=promoted,
        created=time.strftime("%Y-%m-%d %H:%M"),
        config=(round_.folder / CONFIG_NAME).read_text("utf-8"),
        lineage={
            "catalog": config.catalog,
            "version learned from": round_.version.name,
            "frozen test set": f"{round_.frozen.name}, {len(round_.frozen.samples)} pictures",
            "champion": "none" if round_.champion is None else round_.champion.name,
            "challenger": str(round_.folder / CHALLENGER_FOLDER / BUNDLE_NAME),
            "visionkit": visionkit.__version__,
        },
    )
    say(f"The wheel by versions: {page}")
    used = catalog.champion()
    if used is not None:
        say_next(["predict", f"bundle={used.bundle}", "source=PICTURES", f"catalog={catalog.uri}"])
