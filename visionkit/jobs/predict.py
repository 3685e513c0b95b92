"""What a bundle says of pictures: items, classes, objects."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from visionkit.config import PredictConfig
from visionkit.data.images import ImageError, read_image, why_unread
from visionkit.data.picture_files import find_images
from visionkit.data.problems import Problem
from visionkit.evaluation.summary import counted
from visionkit.flywheel.catalog import open_catalog
from visionkit.inference.outputs import PART_PICTURES, PredictionFiles, PredictionWriter
from visionkit.inference.prediction import Prediction, chosen_tasks
from visionkit.inference.predictor import Predictor
from visionkit.jobs.catalogued import CatalogWriter, records_of, settled
from visionkit.jobs.quickest import load_quickest
from visionkit.jobs.summary import Summary
from visionkit.jobs.tally import Tally, pictures_with_finds, say_tallies, tally_answers
from visionkit.jobs.terminal import keep_problems, progress, replace_problems, say, say_next
from visionkit.models.bundle import bundle_hash
from visionkit.types import Image

_SAVE_SECONDS = 20.0
"""So much work is lost at most when the process is killed."""


def predict(config: PredictConfig, run_folder: Path) -> Summary:
    """Where the answers lie: JSON Lines a picture, Parquet a find, and pictures with them drawn.

    A picture that can't be read is reported and skipped. A run that was stopped goes on where
    it stopped if its folder is given again.

    Raises:
        FileNotFoundError: there is no such bundle, or no picture.
        FileExistsError: the folder holds the finds of a finished run.
        ValueError: the bundle is damaged or empty, or lacks a head that is asked for; no picture
            can be read; or the run that stopped had other settings, or another catalog or none.
        RuntimeError: the disk is full.
    """
    paths = find_images(config.source)
    predictor, _ = load_quickest(config, len(paths), run_folder)
    tasks = chosen_tasks(config.tasks, predictor.tasks)
    check_items(predictor, tasks, config.bundle)
    settings = {
        "bundle": bundle_hash(config.bundle),
        "tasks": tasks,
        "engine": predictor.engine,
        "score_threshold": config.score_threshold,
        "draw": config.draw,
    }
    start = time.monotonic()
    entries = _catalog(predictor, tasks, config)
    with PredictionWriter(
        run_folder,
        settings=settings,
        shared=None if config.catalog is None else {"catalog": _place(config.catalog)},
        draw=config.draw,
        part_pictures=PART_PICTURES if entries is None else sys.maxsize,
        # The catalog first: what a stopped run has written of its own, it won't see again.
        before_part=None if entries is None else entries.flush,
    ) as writer:
        before = len(writer.done)
        if before:
            say(f"Going on: {counted(before, 'picture')} done before.")
        problems = _ask(predictor, paths, writer, tasks, config, entries)
        asked = len(writer.done) - before
        if not writer.done:
            keep_problems(problems, run_folder)
            raise ValueError(
                f"at least one picture must be readable, got none of {len(paths)} "
                f"[{config.source}]; see {run_folder}"
            )
        files = writer.finish()
    seconds = (time.monotonic() - start) / max(1, asked)
    replace_problems(problems, run_folder)
    tallies = tally_answers(files.jsonl, tasks)
    say_tallies(tallies, _names(predictor), files)
    _say_files(tallies, files, config)
    if entries is not None:
        say(f"{counted(entries.added, 'picture')} new in the catalog {config.catalog}")
    return Summary(
        run_folder,
        {
            "pictures": files.images,
            "pictures_with_finds": len(pictures_with_finds(tallies)),
            "finds": files.finds,
            "skipped": len(problems),
            "seconds_per_picture": seconds,
        },
        unread=len({problem.file for problem in problems if problem.level == "error"}),
    )


def check_items(predictor: Predictor, tasks: Sequence[str], bundle: str) -> None:
    """Passes if there is something to find for the heads that are asked.

    Raises:
        ValueError: only items are looked for, and there are none.
    """
    if tuple(tasks) == ("exemplar",) and not predictor.items:
        raise ValueError(
            f"the bundle must have items to find, got none [{bundle}]; add one with "
            f"visionkit gallery add bundle={bundle} item=NAME images=FOLDER"
        )


def _ask(
    predictor: Predictor,
    paths: Sequence[Path],
    writer: PredictionWriter,
    tasks: Sequence[str],
    config: PredictConfig,
    entries: CatalogWriter | None,
) -> list[Problem]:
    """Writes the answers on all pictures that are not done yet; what could not be read."""
    low = config.score_threshold if entries is None else 0.0  # near misses are worth asking about
    problems: list[Problem] = []
    saved = time.monotonic()
    # Items are searched picture by picture, so that more at once would only be lost by a stop.
    size = 1 if tuple(tasks) == ("exemplar",) else config.batch_size
    with progress("Searching", len(paths)) as step:
        for start in range(0, len(paths), size):
            batch = paths[start : start + size]
            # Whole pictures: they are drawn on, and items may be small. What a head answers then
            # does not depend on what else is asked for.
            images = _read([path for path in batch if path.as_posix() not in writer.done], problems)
            predictions = predictor.predict(
                images.values(),
                tasks,
                score_threshold=low,
                batch_size=size,
            )
            if entries is not None:
                predictions = _catalogue(predictor, images, predictions, entries, config)
            for (name, image), prediction in zip(images.items(), predictions, strict=True):
                writer.write(name, image, prediction)
            late = time.monotonic() - saved > _SAVE_SECONDS
            if late or (entries is not None and entries.is_full):
                writer.flush()
                saved = time.monotonic()
            step(len(batch))
    return problems


def _catalog(
    predictor: Predictor, tasks: Sequence[str], config: PredictConfig
) -> CatalogWriter | None:
    if config.catalog is None:
        return None
    catalog = open_catalog(config.catalog, create=True)
    return CatalogWriter(catalog, predictor, config.bundle, tasks)


def _place(catalog: str) -> str:
    """Where a catalog lies, also for who works in another folder."""
    return catalog if "://" in catalog else Path(catalog).expanduser().absolute().as_posix()


def _catalogue(
    predictor: Predictor,
    images: Mapping[str, Image],
    predictions: Sequence[Prediction],
    entries: CatalogWriter,
    config: PredictConfig,
) -> list[Prediction]:
    """Hands some pictures to the catalog; their answers as they are without it."""
    final = [settled(each, predictor, config.score_threshold) for each in predictions]
    for (name, image), low, high in zip(images.items(), predictions, final, strict=True):
        entries.add(name, image, records_of(low, high))
    return final


def _read(paths: Sequence[Path], problems: list[Problem]) -> dict[str, Image]:
    """Name -> (H, W, 3) uint8 RGB of the pictures that can be read; adds what is wrong."""
    images = {}
    for path in paths:
        try:
            images[path.as_posix()] = read_image(path)
        except (ImageError, FileNotFoundError) as error:
            problems.append(Problem(path.as_posix(), None, f"{why_unread(error)}; skipped"))
    return images


def _names(predictor: Predictor) -> dict[str, Sequence[str]]:
    """Task -> names of its items or classes."""
    names: dict[str, Sequence[str]] = {"exemplar": predictor.items}
    if predictor.classification is not None:
        names["classification"] = predictor.classification.class_names
    if predictor.localization is not None:
        names["localization"] = predictor.localization.class_names
    return names


def _say_files(tallies: Mapping[str, Tally], files: PredictionFiles, config: PredictConfig) -> None:
    say(
        f"{counted(files.finds, 'find')} in {len(pictures_with_finds(tallies))} of "
        f"{counted(files.images, 'picture')}",
        f"  a line a picture: {files.jsonl}",
        f"  a row a find:     {files.parquet}",
    )
    if files.drawn is not None:
        say(f"  with boxes drawn: {files.drawn}")
    bundle, source = f"bundle={config.bundle}", f"source={config.source}"
    again = [] if config.score_threshold else [["predict", bundle, source, "score_threshold=0.5"]]
    judge = [["review", f"catalog={config.catalog}"]] if config.catalog else []
    say_next(*judge, *again, *([["gallery", "list", bundle]] if "exemplar" in tallies else []))
