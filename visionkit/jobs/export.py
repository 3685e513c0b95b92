"""Exporting a bundle's network for another engine, and looking whether its answers hold."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from visionkit.config import EvaluateConfig, ExportConfig
from visionkit.data.demo import stock_backgrounds
from visionkit.data.images import ImageError, read_image, why_unread
from visionkit.data.picture_files import find_images
from visionkit.data.problems import Problem
from visionkit.evaluation.summary import counted
from visionkit.inference.agreement import OF_TASK, TOLERANCE, agreement, distances
from visionkit.inference.engines.choice import Started, engine_module, start
from visionkit.inference.engines.exported import FOLDER, Export, exports_in
from visionkit.inference.engines.exporting import (
    KEPT,
    framed,
    package_versions,
    scaled,
    write_graphs,
)
from visionkit.inference.engines.graph import Graph, weights_id
from visionkit.inference.predictor import Predictor
from visionkit.jobs.losses import Examination, Losses, examinations
from visionkit.jobs.moving import SETS
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import keep_problems, say, say_next, say_table
from visionkit.models.bundle import put_into_bundle
from visionkit.types import Image

_COMPARED = 16
"""Pictures that are compared; more change the largest distances little."""
_LEAST_AGREEMENT = 0.9
"""Of unlabelled pictures: below, something is wrong; above, nothing is promised."""
_SEARCHED = 50
"""Pictures that ranges of the searched map are fixed on: each is seen at three or four scales."""


def export(config: ExportConfig, run_folder: Path) -> Summary:
    """Where the exported network lies, in the bundle, once its answers were found to hold.

    Raises:
        FileNotFoundError: there is no such bundle, picture or data.
        FileExistsError: it was exported before and `overwrite` is false.
        ModuleNotFoundError: the engine is not installed.
        ValueError: the bundle is damaged, or no picture can be read.
        RuntimeError: its answers are further from torch's than is allowed; the bundle is left
            as it was.
    """
    engine_module(config.engine)
    predictor = Predictor.load(config.bundle, device="cpu", engine="torch")
    name = f"{config.engine}_{config.precision}"
    if name in exports_in(config.bundle) and not config.overwrite:
        raise FileExistsError(
            f"{Path(config.bundle) / FOLDER / name} is already there; take another precision or "
            "overwrite=true"
        )
    pictures = _Pictures(config, run_folder)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / name
        judge = _in_eight_bits if config.precision == "int8" else _within_tolerance
        measured = judge(config, predictor, pictures, made, run_folder)
        _put(config, predictor.graphs(), made, measured)
    say_next(["predict", f"bundle={config.bundle}", "source=PICTURE_OR_FOLDER", f"engine={name}"])
    numbers = {key: value for key, value in measured.items() if isinstance(value, float)}
    return Summary(run_folder, numbers)


class _Pictures:
    """The pictures that an export is made and judged on, read when they are asked for."""

    def __init__(self, config: ExportConfig, run_folder: Path) -> None:
        self._photos = stock_backgrounds() if config.images is None else []
        paths = find_images(config.images) if config.images is not None else []
        self._paths = _evenly(paths, config.calibration)
        self._folder = run_folder
        self.words = config.images or "the photos that come with visionkit"

    def some(self, count: int) -> Iterator[Image]:
        """At most so many, evenly; what can't be read is said and left out."""
        yield from _evenly(self._photos, count)
        problems, read = [], 0
        for path in _evenly(self._paths, count):
            try:
                yield read_image(path)
                read += 1
            except (ImageError, FileNotFoundError) as error:
                problems.append(Problem(path.as_posix(), None, f"{why_unread(error)}; skipped"))
        keep_problems(problems, self._folder)
        if self._paths and not read:
            raise ValueError(f"at least one picture must be readable, got none [{self.words}]")


def _within_tolerance(
    config: ExportConfig, predictor: Predictor, pictures: _Pictures, made: Path, _: Path
) -> dict[str, Any]:
    """What was measured of a network in floats, if it is within the tolerance."""
    graphs = predictor.graphs()
    write_graphs(graphs, config.engine, config.precision, made, frames={})
    found = distances(predictor, start(made, config.engine, graphs), pictures.some(_COMPARED))
    tolerance = dict(TOLERANCE[config.precision])
    measured = {key: vars(found)[key] for task in predictor.tasks for key in OF_TASK[task]}
    rows = [[key, f"{value:.2g}", f"{tolerance[key]:g}"] for key, value in measured.items()]
    say("", f"The largest distances from torch on {pictures.words}:")
    say_table("", _COLUMNS, rows)
    wrong = found.beyond(config.precision)
    if wrong:
        words = ", ".join(f"{key} {value:.3g}" for key, value in wrong.items())
        raise RuntimeError(
            f"answers must be within the tolerance of {config.precision}, got {words}; the bundle "
            "is left as it was: take another engine or precision"
        )
    return {"tolerance": tolerance, "pictures": pictures.words, **measured}


_COLUMNS = ["what", "distance", "allowed"]


@dataclass(frozen=True)
class _Judged:
    """What was found of a network in eight bits.

    Attributes:
        good: whether it may be kept.
        words: what it should be and what it is.
        measured: plain JSON values.
    """

    good: bool
    words: str
    measured: dict[str, Any]


def _in_eight_bits(
    config: ExportConfig,
    predictor: Predictor,
    pictures: _Pictures,
    made: Path,
    run_folder: Path,
) -> dict[str, Any]:
    """What was measured of a network in eight bits, if it loses no more than it may.

    Where it loses too much, it is made again with more of its layers in floats.
    """
    graphs = predictor.graphs()
    frames = _calibration(predictor, pictures, config.calibration)
    judge = _judge(config, predictor, pictures, run_folder)
    for kept in KEPT:
        write_graphs(graphs, config.engine, "int8", made, frames=frames, kept=kept)
        judged = judge(start(made, config.engine, graphs))
        if judged.good:
            break
        say(f"{judged.words[0].upper()}{judged.words[1:]}.")
    if not judged.good and not config.force:
        raise RuntimeError(
            f"{judged.words} [{pictures.words}]; the bundle is left as it was: name more pictures "
            "like those it will see (images=), take precision=fp32, allow more (max_loss=), or "
            "force=true"
        )
    return {**judged.measured, "max_loss": config.max_loss, "floats": list(kept)}


def _calibration(
    predictor: Predictor, pictures: _Pictures, most: int
) -> dict[str, Sequence[np.ndarray[Any, np.dtype[np.uint8]]]]:
    """Graph -> frames that its ranges are fixed on."""
    frames: dict[str, Sequence[np.ndarray[Any, np.dtype[np.uint8]]]] = {}
    parts = [part for part in (predictor.classification, predictor.localization) if part]
    if parts:
        frames["heads"] = framed(pictures.some(most), [part.framing for part in parts])
    if "exemplar" in predictor.tasks:
        settings = predictor.finder.settings.pyramid
        frames["search"] = scaled(pictures.some(min(most, _SEARCHED)), settings)
    return frames


def _judge(
    config: ExportConfig, predictor: Predictor, pictures: _Pictures, run_folder: Path
) -> Callable[[Started], _Judged]:
    """What says whether a network is as good as torch's."""
    other = Predictor.load(config.bundle, device="cpu", engine="torch")
    heads = examinations(
        None if config.data is None else _as_evaluation(config, config.data),
        _own_sets(config),
        predictor,
        run_folder,
    )
    if not heads:
        say(
            f"No labelled pictures are named (data=): answers on {pictures.words} are compared, "
            "which says nothing of how many are right."
        )
        return lambda started: _by_agreement(predictor, other, started, pictures)
    unjudged = [task for task in predictor.tasks if task not in {head.task for head in heads}]
    if unjudged:
        keys = " or ".join(f"others.{SETS[task]}=" for task in unjudged)
        say(
            f"Not judged: {' and '.join(unjudged)}. What int8 loses of it is not known, and it is "
            "taken all the same where no precision is named, if the heads that were judged hold; "
            f"name labelled pictures with {keys}"
        )
    before = [head.figures(predictor) for head in heads]

    def by_figures(started: Started) -> _Judged:
        other.take(started)
        losses = {}
        for head, known in zip(heads, before, strict=True):
            losses[head.task] = Losses(head.task, known, head.figures(other))
            losses[head.task].say(started.name)
        return _by_losses(losses, heads, unjudged, config.max_loss)

    return by_figures


def _own_sets(config: ExportConfig) -> dict[str, EvaluateConfig]:
    """Head -> how the set is read that was named for it alone."""
    own = {task: getattr(config.others, key) for task, key in SETS.items()}
    return {
        task: replace(
            _as_evaluation(config, data),
            task=task,
            format="auto",
            image_root=config.others.image_root,
        )
        for task, data in own.items()
        if data is not None
    }


def _by_losses(
    losses: Mapping[str, Losses],
    heads: Sequence[Examination],
    unjudged: Sequence[str],
    max_loss: float,
) -> _Judged:
    """Good only if no head loses more than it may; the one that loses most stands for all."""
    found = []
    for head in heads:
        figure, lost = losses[head.task].main
        told = {"figure": figure, "lost": lost, **asdict(losses[head.task])}
        found.append({**told, "pictures": head.pictures})
    beyond = [entry for entry in found if not entry["lost"] <= max_loss]
    # What is no number stands for the worst: nothing is known of it.
    worst = max(found, key=lambda entry: math.inf if math.isnan(entry["lost"]) else entry["lost"])
    if len(found) == 1:
        words = f"of {worst['figure']}, got {worst['lost']:.4f}"
    else:
        got = (f"{each['lost']:.4f} of {each['task']}'s {each['figure']}" for each in beyond)
        words = f"of every head, got {' and '.join(got)}"
    measured = dict(worst)
    if len(found) > 1:
        measured["heads"] = found
    if unjudged:
        measured["not_judged"] = list(unjudged)
    return _Judged(not beyond, f"int8 must lose at most max_loss={max_loss:g} {words}", measured)


def _by_agreement(
    predictor: Predictor, other: Predictor, started: Started, pictures: _Pictures
) -> _Judged:
    other.take(started)
    shares = agreement(predictor, other, pictures.some(_COMPARED))
    rows = [[task, f"{share:.3f}"] for task, share in shares.items()]
    say_table("Answers as by torch", ["head", "share"], rows)
    silent = [task for task in predictor.tasks if task not in shares]
    if silent:
        say(
            f"Not compared: {' and '.join(silent)}, which finds nothing on {pictures.words}; name "
            "pictures like those it will see (images=)."
        )
    least = min(shares.values(), default=1.0)
    words = f"at least {_LEAST_AGREEMENT:g} of int8's answers must be torch's, got {least:.3f}"
    found = {"agreement": shares, "pictures": pictures.words}
    return _Judged(least >= _LEAST_AGREEMENT, words, found)


def _as_evaluation(config: ExportConfig, data: str) -> EvaluateConfig:
    """How the labelled pictures are read: as `visionkit evaluate` does."""
    return EvaluateConfig(
        bundle=config.bundle,
        data=data,
        task=config.task,
        format=config.format,
        image_root=config.image_root,
        background=None,
        split=config.split,
        engine="torch",
        accelerator="cpu",
        seed=config.seed,
        output=None,
        overwrite=False,
        debug=config.debug,
    )


def _put(
    config: ExportConfig, graphs: dict[str, Graph], made: Path, measured: dict[str, Any]
) -> None:
    """Puts the files and what was measured of them into the bundle."""
    export = Export(
        config.engine,
        config.precision,
        {name: weights_id(graph) for name, graph in graphs.items()},
        measured,
        package_versions(),
    )

    def write(folder: Path) -> None:
        for path in made.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        export.write(folder)

    place = f"{FOLDER}/{export.name}"
    put_into_bundle(config.bundle, place, write, overwrite=config.overwrite)
    size = sum(path.stat().st_size for path in made.iterdir()) / 1e6
    say(f"{Path(config.bundle) / place}: {counted(len(graphs), 'graph')}, {size:.1f} MB")


def _evenly(things: Sequence[Any], count: int) -> list[Any]:
    """At most so many, evenly spread."""
    if len(things) <= count:
        return list(things)
    return [things[round(place)] for place in np.linspace(0, len(things) - 1, count)]
