"""Finding a bundle's items in pictures."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import supervision as sv

from visionkit.config import PredictConfig
from visionkit.data.images import ImageError, find_images, read_image
from visionkit.data.problems import Problem
from visionkit.evaluation.summary import counted
from visionkit.inference.outputs import PredictionFiles, PredictionWriter, read_predictions
from visionkit.inference.predictor import Predictor
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import keep_problems, progress, say, say_next, say_table
from visionkit.models.bundle import bundle_hash
from visionkit.scores import score_text

_SHOWN_ITEMS = 60
_SAVE_SECONDS = 20.0
"""So much work is lost at most when the process is killed."""


def predict(config: PredictConfig, run_folder: Path) -> Summary:
    """Where the finds lie: JSON Lines a picture, Parquet a find, and pictures with boxes drawn.

    A picture that can't be read is reported and skipped. A run that was stopped goes on where
    it stopped if its folder is given again.

    Raises:
        FileNotFoundError: there is no such bundle, or no picture.
        FileExistsError: the folder holds the finds of a finished run.
        ValueError: the bundle is damaged or empty, no picture can be read, or the run that
            stopped had other settings.
        RuntimeError: the disk is full.
    """
    paths = find_images(config.source)
    predictor = Predictor.load(config.bundle, device=config.accelerator)
    if not predictor.items:
        raise ValueError(
            f"the bundle must have items to find, got none [{config.bundle}]; add one with "
            f"visionkit gallery add bundle={config.bundle} item=NAME images=FOLDER"
        )
    settings = {
        "bundle": bundle_hash(config.bundle),
        "score_threshold": config.score_threshold,
        "draw": config.draw,
    }
    start = time.monotonic()
    with PredictionWriter(run_folder, settings=settings, draw=config.draw) as writer:
        before = len(writer.done)
        if before:
            say(f"Going on: {counted(before, 'picture')} done before.")
        problems = _search(predictor, paths, writer, config.score_threshold)
        searched = len(writer.done) - before
        if not writer.done:
            keep_problems(problems, run_folder)
            raise ValueError(
                f"at least one picture must be readable, got none of {len(paths)} "
                f"[{config.source}]; see {run_folder}"
            )
        files = writer.finish()
    seconds = (time.monotonic() - start) / max(1, searched)
    keep_problems(problems, run_folder)
    tally = _tally(files.jsonl)
    _say(predictor.items, tally, files, config)
    return Summary(
        run_folder,
        {
            "pictures": files.images,
            "pictures_with_finds": tally.pictures_with_finds,
            "finds": files.finds,
            "skipped": len(problems),
            "seconds_per_picture": seconds,
        },
    )


@dataclass
class _Tally:
    """How often each item was found."""

    pictures_with_finds: int = 0
    finds: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    pictures: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    best: dict[str, float] = field(default_factory=dict)


def _search(
    predictor: Predictor,
    paths: Sequence[Path],
    writer: PredictionWriter,
    score_threshold: float | None,
) -> list[Problem]:
    """Writes the finds of all pictures that are not done yet; what could not be read."""
    problems, saved = [], time.monotonic()
    with progress("Searching", len(paths)) as step:
        for path in paths:
            name = path.as_posix()
            if name not in writer.done:
                try:
                    image = read_image(path)
                except ImageError as error:
                    problems.append(
                        Problem(name, None, f"{error.reason}; {error.way_out}; skipped")
                    )
                else:
                    found = predictor.find(image, score_threshold=score_threshold)
                    writer.write(name, image, found)
            if time.monotonic() - saved > _SAVE_SECONDS:
                writer.flush()
                saved = time.monotonic()
            step(1)
    return problems


def _tally(jsonl: Path) -> _Tally:
    tally = _Tally()
    for _, found in read_predictions(jsonl):
        tally.pictures_with_finds += bool(len(found))
        _count(tally, found)
    return tally


def _count(tally: _Tally, found: sv.Detections) -> None:
    if not len(found) or found.confidence is None:
        return
    names = [str(name) for name in found.data["class_name"]]
    for name, score in zip(names, found.confidence.tolist(), strict=True):
        tally.finds[name] += 1
        tally.best[name] = max(tally.best.get(name, 0.0), score)
    for name in set(names):
        tally.pictures[name] += 1


def _say(
    items: Sequence[str], tally: _Tally, files: PredictionFiles, config: PredictConfig
) -> None:
    rows = [
        (item, str(tally.pictures[item]), str(tally.finds[item]), score_text(tally.best[item]))
        for item in items
        if tally.finds[item]
    ]
    if rows:
        columns = ("item", "pictures", "finds", "best score")
        say_table(f"Found in {counted(files.images, 'picture')}", columns, rows[:_SHOWN_ITEMS])
    missing = [item for item in items if not tally.finds[item]]
    if missing:
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        say(f"Found nowhere: {', '.join(missing[:8])}{more}")
    say(
        f"{counted(files.finds, 'find')} in {tally.pictures_with_finds} of "
        f"{counted(files.images, 'picture')}",
        f"  a line a picture: {files.jsonl}",
        f"  a row a find:     {files.parquet}",
    )
    if files.drawn is not None:
        say(f"  with boxes drawn: {files.drawn}")
    bundle, source = f"bundle={config.bundle}", f"source={config.source}"
    again = [] if config.score_threshold else [["predict", bundle, source, "score_threshold=0.5"]]
    say_next(*again, ["gallery", "list", bundle])
