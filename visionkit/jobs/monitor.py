"""Whether live pictures are still like those of the training, for people and for cron."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from visionkit.config.monitoring import MonitorConfig
from visionkit.data.images import ImageError, content_hash, read_image, why_unread
from visionkit.data.problems import Problem
from visionkit.evaluation.outcomes import FloatArray
from visionkit.evaluation.summary import counted, percent
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.flywheel.queue.carriers import write_carriers
from visionkit.inference.prediction import chosen_tasks
from visionkit.inference.predictor import Predictor
from visionkit.jobs.drift_files import PAGE_NAME, typical_pictures, write_drift_files
from visionkit.jobs.live import LivePictures, live_pictures, source_pictures
from visionkit.jobs.observing import embedder_of, names_of, observe
from visionkit.jobs.reference import reference_of_source
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import keep_problems, say, say_next, say_table
from visionkit.monitoring.accuracy import Estimate, estimated_accuracy
from visionkit.monitoring.comparison import Comparison, ComparisonSettings, compare
from visionkit.monitoring.counts import Foreseen, counts_of, foreseen_counts
from visionkit.monitoring.culprits import CARRIES, shift_scores
from visionkit.monitoring.forecast import has_ladder
from visionkit.monitoring.observed import Observed
from visionkit.monitoring.page import Carrier, DriftPage
from visionkit.monitoring.reference import Reference, keep_reference, read_reference
from visionkit.monitoring.windows import MOST, Window, add_window, read_windows, window_of
from visionkit.types import Sample

STATUS = {"fine": 0, "watch": 4, "act": 5}
"""Verdict -> exit status."""
_SHOWN = 8


def monitor(config: MonitorConfig, run_folder: Path) -> Summary:
    """Compares live pictures with the bundle's reference; or makes that, where pictures are given.

    Raises:
        FileNotFoundError: there is no bundle, reference, catalog or picture.
        ValueError: the bundle is damaged, fewer than 20 pictures can be read, the reference is
            of another backbone, or the config contradicts itself.
        RuntimeError: the disk is full.
    """
    _check(config)
    if config.reference is not None:
        return _make_reference(config, run_folder)
    reference = read_reference(config.bundle)
    predictor = Predictor.load(config.bundle, device=config.accelerator, engine=config.engine)
    _check_embedder(reference, predictor, config)
    tasks = _tasks(reference, predictor, config)
    pictures = live_pictures(config)
    found: Counter[tuple[str, str]] = Counter()
    live = observe(predictor, pictures, tasks, found=found)
    keep_problems(pictures.problems, run_folder)
    comparison = compare(reference.observed, live, _settings(config))
    estimate = estimated_accuracy(reference.observed, live, seed=config.seed)
    comparison = _with_accuracy(comparison, estimate, config)
    now = time.strftime("%Y-%m-%d %H:%M")
    window = window_of(comparison, estimate, live, time=now, counts=counts_of(live, found))
    foreseen = _foreseen(window, config)
    comparison = _with_counts(comparison, foreseen)
    window = replace(window, verdict=comparison.verdict)
    windows: list[Window] = []
    if config.history is not None:
        windows = add_window(config.history, window, season=config.season)[-MOST:]
    carriers = _carriers(comparison, reference.observed, live, config)
    page = DriftPage(
        comparison=comparison,
        estimate=estimate,
        carriers=carriers,
        reference=reference.observed,
        live=live,
        shown=pictures.small,
        typical=typical_pictures(reference, config.seed),
        bundle=config.bundle,
        source=str(config.source or config.catalog),
        reference_words=reference.words,
        created=now,
        windows=windows,
        foreseen=foreseen,
    )
    write_drift_files(run_folder, page)
    if config.queue and config.catalog is not None:
        lost = _queue(open_catalog(config.catalog), carriers, pictures)
        if lost:
            pictures.problems += lost
            keep_problems(pictures.problems, run_folder)
    _say(page, run_folder)
    return _summary(page, run_folder, unread=len(pictures.problems))


def _summary(page: DriftPage, run_folder: Path, *, unread: int) -> Summary:
    comparison, estimate = page.comparison, page.estimate
    figures = {
        "pictures": float(comparison.pictures[1]),
        "chance": comparison.chance,
        "findings": float(len(comparison.findings)),
        "largest_effect": max((test.effect for test in comparison.findings), default=0.0),
    }
    if estimate is not None:
        figures |= {"estimated_accuracy": estimate.live, "reference_accuracy": estimate.reference}
    if page.foreseen:
        figures["counts_off"] = float(sum(one.is_off for one in page.foreseen))
    return Summary(run_folder, figures, unread=unread, exit_status=STATUS[comparison.verdict])


def _check(config: MonitorConfig) -> None:
    if config.reference is None and config.source is None and config.catalog is None:
        raise ValueError(
            "source or catalog must say which pictures are live, got neither; or give reference= "
            "to make the bundle's reference"
        )
    if config.queue and config.catalog is None:
        raise ValueError("catalog must be given where queue=true, got none")


def _make_reference(config: MonitorConfig, run_folder: Path) -> Summary:
    predictor = Predictor.load(config.bundle, device=config.accelerator, engine=config.engine)
    source = str(config.reference)
    pictures = source_pictures(
        source, most=config.most, frame_seconds=config.frame_seconds, seed=config.seed
    )
    made = reference_of_source(
        predictor,
        pictures,
        tasks=chosen_tasks(config.tasks, predictor.tasks),
        keep_pictures=config.keep_pictures,
        words=source,
    )
    keep_problems(pictures.problems, run_folder)
    keep_reference(config.bundle, made)
    say(f"{counted(len(made.observed), 'picture')} are the reference of {config.bundle} now.")
    say_next(["monitor", f"bundle={config.bundle}", "source=PICTURES"])
    return Summary(
        run_folder, {"pictures": float(len(made.observed))}, unread=len(pictures.problems)
    )


def _check_embedder(reference: Reference, predictor: Predictor, config: MonitorConfig) -> None:
    if reference.embedder != embedder_of(predictor):
        raise ValueError(
            "the reference must be of the bundle's own backbone and framing, got one of another "
            f"[{config.bundle}]; make it again: visionkit monitor bundle={config.bundle} "
            "reference=FOLDER"
        )


def _tasks(reference: Reference, predictor: Predictor, config: MonitorConfig) -> tuple[str, ...]:
    """The heads whose answers are among the same names as those in the reference."""
    asked = chosen_tasks(config.tasks, predictor.tasks)
    now = names_of(predictor, asked)
    known = tuple(task for task in asked if list(reference.names.get(task, ())) == list(now[task]))
    for task in asked:
        if task not in known:
            say(f"Answers of {task} are not compared: the reference knows none with these names.")
    return known


def _settings(config: MonitorConfig) -> ComparisonSettings:
    return ComparisonSettings(
        level=config.level,
        act_effect=config.act_effect,
        permutations=config.permutations,
        most=config.most,
        seed=config.seed,
    )


def _with_accuracy(
    comparison: Comparison, estimate: Estimate | None, config: MonitorConfig
) -> Comparison:
    """To be acted on where a change was found and accuracy seems to have fallen far."""
    if estimate is None or comparison.verdict == "fine":
        return comparison
    lost = estimate.reference - estimate.live
    return replace(comparison, verdict="act") if lost >= config.act_accuracy else comparison


def _foreseen(window: Window, config: MonitorConfig) -> list[Foreseen]:
    """What the counts of this run should have been, by the history's runs before it."""
    if config.history is None:
        return []
    past = read_windows(config.history)
    foreseen = foreseen_counts(past, window, season=config.season, chance=config.forecast_chance)
    if foreseen and not has_ladder():
        say(
            "Counts are foreseen by those of a season ago alone; pip install visionkit[forecast] "
            "tries better ways, too."
        )
    return foreseen


def _with_counts(comparison: Comparison, foreseen: Sequence[Foreseen]) -> Comparison:
    """To be watched at least, where a count is far off its forecast."""
    if comparison.verdict == "fine" and any(one.is_off for one in foreseen):
        return replace(comparison, verdict="watch")
    return comparison


def _carriers(
    comparison: Comparison, reference: Observed, live: Observed, config: MonitorConfig
) -> list[Carrier]:
    """The pictures that carry the change most; none where there is no change, or in no picture."""
    if not comparison.findings:
        return []
    scores = shift_scores(reference, live, most=config.most)
    order = np.argsort(-scores, kind="stable")[: config.culprits].tolist()
    return [
        Carrier(live.names[row], float(scores[row]), _sentence(row, scores, reference, live))
        for row in order
        if scores[row] > CARRIES
    ]


def _sentence(row: int, scores: FloatArray, reference: Observed, live: Observed) -> str:
    """Why this picture, with the property in which it differs most from the reference."""
    words = f"Unlike the training pictures (drift score {scores[row]:.1f})"
    most, name, value = 2.0, "", 0.0
    for key, usual in reference.numbers.items():
        if key.startswith("picture.") and key in live.numbers:
            spread = float(usual.std())
            off = abs(live.numbers[key][row] - float(usual.mean())) / max(spread, 1e-9)
            if off > most and spread > 1e-9:
                most, name, value = off, key.removeprefix("picture."), live.numbers[key][row]
    if name:
        return f"{words}: {name} is {value:.3g}, {most:.1f} standard deviations off."
    return f"{words}."


def _queue(catalog: Catalog, carriers: Sequence[Carrier], pictures: LivePictures) -> list[Problem]:
    """Has the carriers asked first; those that the catalog does not have join it.

    What can't be read any more is left out and comes back.
    """
    known = {sample.uri: sample.id for sample in catalog.samples()}
    known |= {sample.content_hash: sample.id for sample in catalog.samples()}
    added: list[Sample] = []
    sentences: dict[str, str] = {}
    lost: list[Problem] = []
    frames = 0
    for carrier in carriers:
        uri = pictures.uris.get(carrier.name, "")
        name = carrier.name if carrier.name in {*known.values()} else known.get(uri, "")
        if not name and uri:
            try:
                image = read_image(uri)
            except (ImageError, FileNotFoundError) as error:
                lost.append(Problem(uri, None, f"{why_unread(error)}; not asked about"))
                continue
            digest = content_hash(image)
            name = known.get(digest, digest)
            if name == digest and digest not in known:
                known[digest] = digest  # also where another carrier is the same picture
                height, width = image.shape[:2]
                added.append(Sample(digest, uri, width, height, digest))
        if name:
            sentences[name] = carrier.words
        else:
            frames += 1
    catalog.add_samples(
        added, thumbnails=[pictures.small_of_uri(sample.uri) for sample in added], reviewed=False
    )
    write_carriers(catalog.uri, sentences)
    say(f"{counted(len(sentences), 'picture')} are asked about first in {catalog.uri}.")
    if frames:
        say("Frames of videos can't be asked about: put them into the catalog by predict_video.")
    say_next(["review", f"catalog={catalog.uri}"])
    return lost


def _say(page: DriftPage, run_folder: Path) -> None:
    comparison, estimate = page.comparison, page.estimate
    rows = [
        (test.name, f"{test.corrected:.3f}", f"{test.effect:.2f}", test.words)
        for test in comparison.tests[:_SHOWN]
    ]
    say_table("The most striking measures", ("measure", "chance", "effect", "what"), rows)
    for one in page.foreseen:
        if one.is_off:
            say(one.words)
    usual, live = comparison.pictures
    words: Mapping[str, str] = {
        "fine": "Nothing has changed that these pictures can show.",
        "watch": "Something has changed a little: watch it.",
        "act": "Something has changed: act on it.",
    }
    say(f"{comparison.verdict}: {words[comparison.verdict]}")
    say(f"{counted(live, 'live picture')} against {usual} of the reference.")
    if estimate is not None:
        say(
            f"Accuracy is estimated at {percent(estimate.live)}, and was "
            f"{percent(estimate.reference)} on the reference."
        )
    say(f"Report: {run_folder / PAGE_NAME}")
