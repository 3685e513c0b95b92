"""What is made of the predictions of videos when all frames are seen: tracks, times, pictures."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from visionkit.config import PredictVideoConfig
from visionkit.data.problems import Problem
from visionkit.evaluation.summary import counted
from visionkit.inference.predictor import Predictor
from visionkit.inference.video.annotate import annotate
from visionkit.inference.video.crops import CropChooser, still_name, write_crops
from visionkit.inference.video.frames import FramePrediction
from visionkit.inference.video.intervals import Measuring
from visionkit.inference.video.opening import is_stream, length_of
from visionkit.inference.video.passes import TrackPass, frame_rows
from visionkit.inference.video.presence import write_intervals
from visionkit.inference.video.records import VideoFiles, VideoWriter
from visionkit.inference.video.stills import read_stills
from visionkit.inference.video.timeline import write_timeline
from visionkit.inference.video.unsure import UnsureChooser, write_unsure
from visionkit.inference.video.votes import Ballot, TrackKey
from visionkit.jobs.catalogued import thresholds_of
from visionkit.jobs.catalogued_frames import catalogue_frames
from visionkit.jobs.sightings import Sightings
from visionkit.jobs.terminal import progress, say

INTERVALS_NAME, TIMELINE_NAME = "intervals.csv", "timeline.html"
Frames = Callable[[], Iterable[FramePrediction]]
"""Reads all frames anew, video by video, each by time: what is kept of a long video is on disk."""


@dataclass(frozen=True)
class Footage:
    """What was made.

    Attributes:
        files: the rows.
        sightings: when each item and class was seen.
        made: name -> path of what else was written.
        problems: what could not be drawn or copied.
    """

    files: VideoFiles
    sightings: Sightings
    made: Mapping[str, Path] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def finish_footage(
    writer: VideoWriter, predictor: Predictor, config: PredictVideoConfig, folder: Path
) -> Footage:
    """Tracks what was found, writes what the config asks for, and the rows last.

    The rows say that a run is finished: one that is killed before goes on here.

    Args:
        writer: with the answers on all frames.
        predictor: that gave them.
        config: of the job.
        folder: where everything is written.

    Raises:
        ModuleNotFoundError: tracks are asked for, and their package is not installed.
        RuntimeError: the disk is full.
    """
    ballots: Mapping[TrackKey, Ballot] = {}
    settled: Frames = writer.predictions
    plain: Frames = writer.predictions
    if _is_tracked(config, predictor):
        passed = TrackPass(_shown("Tracking", writer.predictions(), writer.frames))
        ballots = passed.ballots
        settled = lambda: passed.settled(writer.predictions())  # noqa: E731
        plain = lambda: passed.tracked(writer.predictions())  # noqa: E731
    made: dict[str, Path] = {}
    problems: list[Problem] = []
    end_of = _ends(config, {each.file for each in writer.problems if each.level == "error"})
    measuring = Measuring(gap_seconds=config.gap_seconds, end_of=end_of)
    crops = CropChooser()
    for frame in settled():
        measuring.add(frame.video, frame.time, frame_rows(frame))
        if config.crops:
            crops.see(frame)
    measured = measuring.finish()
    made["intervals"] = write_intervals(folder / INTERVALS_NAME, measured.intervals)
    if config.timeline:
        created = time.strftime("%Y-%m-%d %H:%M")
        made["timeline"] = write_timeline(
            folder / TIMELINE_NAME, measured, read_stills, created=created
        )
    if config.crops:
        write_crops(folder / "crops", crops.chosen(), read_stills)
        made["crops"] = folder / "crops"
    if config.unsure:
        unsure = UnsureChooser(thresholds_of(predictor), ballots, most=config.unsure)
        for frame in plain():
            unsure.see(frame)
        made["unsure frames"] = write_unsure(folder / "unsure", unsure.chosen(), read_stills)
    if config.catalog:
        added = catalogue_frames(plain, writer.frames, ballots, predictor, config)
        say(f"{counted(added, 'frame')} new in the catalog {config.catalog}")
    if config.annotate:
        _annotate(settled, folder / "annotated", problems)
        made["annotated videos"] = folder / "annotated"
    sightings = Sightings()
    files = writer.finish(settled(), watch=sightings.see)
    return Footage(files, sightings, made, tuple(problems))


def _ends(config: PredictVideoConfig, damaged: Set[str]) -> Callable[[str], float | None]:
    """What says when a video, or what was asked for of it, ends; not of damaged ones."""

    def end_of(video: str) -> float | None:
        seconds = None if video in damaged else length_of(video)
        return seconds if seconds is None or config.end is None else min(seconds, config.end)

    return end_of


def _is_tracked(config: PredictVideoConfig, predictor: Predictor) -> bool:
    """Whether finds are tracked: as is asked, or else where that is possible."""
    if not {"exemplar", "localization"} & {*(config.tasks or predictor.tasks)}:
        return False
    if config.track is None and importlib.util.find_spec("trackers") is None:
        say("Finds are not tracked; pip install --no-deps trackers for that.")
        return False
    return config.track is not False


def _annotate(frames: Frames, folder: Path, problems: list[Problem]) -> None:
    """Draws each video's finds into a copy of it; streams are gone and left out."""
    folder.mkdir(parents=True, exist_ok=True)
    for video, found in groupby(frames(), lambda frame: frame.video):
        if is_stream(video):
            problems.append(
                Problem(video, None, "a stream that has passed can't be drawn into; not done")
            )
            continue
        name = Path(still_name(video, 0.0)).stem.rsplit("_", 1)[0]
        say(f"Drawing what was found in {video}")
        annotate(video, found, folder / f"{name}.mp4", problems=problems)


def _shown(title: str, frames: Iterable[FramePrediction], count: int) -> Iterable[FramePrediction]:
    with progress(title, count) as step:
        for frame in frames:
            yield frame
            step(1)
