"""Measuring a bundle on pictures whose items are known."""

from __future__ import annotations

from pathlib import Path

from visionkit.config import EvaluateConfig
from visionkit.data.problems import Problem
from visionkit.inference.predictor import Predictor
from visionkit.jobs.evaluating import require_split, title_of, used_config
from visionkit.jobs.measure import measure, say_measured, versions, write_measured
from visionkit.jobs.quickest import take_quickest
from visionkit.jobs.sources import Scenes, read_backgrounds, read_scenes, unknown_items
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import keep_problems, problems_kept, progress, say, say_next


def evaluate_exemplar(config: EvaluateConfig, predictor: Predictor, run_folder: Path) -> Summary:
    """Measures the exemplar head; see `visionkit.jobs.evaluate`.

    Every item of the bundle is looked for in every picture. Boxes are true by their label;
    pictures that only have a label, or lie in a folder named for an item, count for presence;
    pictures of the background, and those labelled "none", for false alarms.
    """
    if not predictor.items:
        raise ValueError(
            f"the bundle must have items to find, got none [{config.bundle}]; add one with "
            f"visionkit gallery add bundle={config.bundle} item=NAME images=FOLDER"
        )
    with problems_kept(run_folder):
        scenes, problems = read_known(config, predictor.items)
    keep_problems(problems, run_folder)
    scenes = scenes.hiding(predictor.finder.gallery.views)
    _say_reuse(scenes)
    take_quickest(predictor, config.engine, len(scenes))
    with progress("Searching", len(scenes)) as step:
        measured = measure(predictor.finder, scenes, seed=config.seed, progress=step)
    say_measured(measured)
    report = write_measured(
        run_folder,
        measured,
        predictor.finder,
        title=title_of(config),
        thresholds_from=(
            "Thresholds are those of the bundle: each item's own, together for a false find in "
            f"{100 * predictor.finder.settings.false_alarm_rate:g} % of the pictures without items."
        ),
        problems=problems,
        config=used_config(config, predictor),
        versions=versions(),
    )
    say("", f"The report: {report}")
    say_next(
        ["gallery", "audit", f"bundle={config.bundle}"],
        ["predict", f"bundle={config.bundle}", "source=PICTURE_OR_FOLDER"],
    )
    return Summary(run_folder, measured.figures)


def read_known(config: EvaluateConfig, items: list[str]) -> tuple[Scenes, list[Problem]]:
    """The pictures to measure on, and what was wrong with others."""
    scenes, problems = read_scenes(config.data, format=config.format, image_root=config.image_root)
    require_split(config, scenes.samples)
    if config.split != "all":
        scenes = scenes.part(config.split)
    problems += unknown_items(scenes, items, config.data)
    if config.background is not None:
        pictures, more = read_backgrounds(config.background)
        scenes, problems = scenes.and_then(pictures.scenes), problems + more
    return scenes, problems


def _say_reuse(scenes: Scenes) -> None:
    count = sum(bool(scenes.shown_views(index)) for index in range(len(scenes)))
    if count:
        say(
            f"{count} of {len(scenes)} pictures were cut up for the gallery; on each of them the "
            "views from it are not used, but what they teach of the place flatters the figures"
        )
