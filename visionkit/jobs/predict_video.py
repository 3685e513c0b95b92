"""What a bundle says of videos: items, classes, objects, and when they are seen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from visionkit.config import PredictVideoConfig
from visionkit.data.problems import Problem
from visionkit.evaluation.summary import counted
from visionkit.inference.part_files import is_finished
from visionkit.inference.prediction import chosen_tasks
from visionkit.inference.predictor import Predictor
from visionkit.inference.video.many import Asking, watch_many
from visionkit.inference.video.opening import VideoError, find_videos, is_stream, length_of, look
from visionkit.inference.video.pieces import cut, unreadable
from visionkit.inference.video.pipeline import Threads, predict_batches
from visionkit.inference.video.reader import Reading
from visionkit.inference.video.records import VideoWriter
from visionkit.inference.video.sampling import Every, KeyFrames, Rate, Sampling
from visionkit.jobs.catalogued import MODEL_DIGITS
from visionkit.jobs.footage import Footage, finish_footage
from visionkit.jobs.predict import check_items
from visionkit.jobs.quickest import WORTH_PICTURES, load_quickest
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import keep_problems, replace_problems, say, say_next, watching
from visionkit.models.bundle import bundle_hash

_KEY_FRAMES = 0.5  # a second, of most videos
Step = Callable[[float, int], None]


def predict_video(config: PredictVideoConfig, run_folder: Path) -> Summary:
    """Where the answers lie: a row a find or class of a frame, as JSON Lines and as Parquet.

    What can't be read of a video is reported, and the rest used. A run that was stopped goes on
    behind the last frame that was written; a finished one is left as it is.

    Raises:
        FileNotFoundError: there is no such bundle, or no video.
        ValueError: the bundle is damaged or empty, or lacks a head that is asked for; nothing of
            any video can be read; or the run that stopped had other settings.
        RuntimeError: the disk is full.
    """
    if is_finished(run_folder) and not config.overwrite:
        say(f"{run_folder} holds finished predictions; overwrite=true makes them again")
        return Summary(run_folder)
    videos, others = find_videos(config.source)
    reading = Reading(sampling_of(config), config.start, config.end, timeout=config.timeout)
    frames = _frames(videos, reading, WORTH_PICTURES)
    predictor, is_converted = load_quickest(config, frames, run_folder)
    tasks = chosen_tasks(config.tasks, predictor.tasks)
    check_items(predictor, tasks, config.bundle)
    digest = bundle_hash(config.bundle)
    writer = VideoWriter(
        run_folder,
        settings={**_settings(config, digest, tasks), "engine": predictor.engine},
        model=digest[:MODEL_DIGITS],
        overwrite=config.overwrite,
    )
    start = time.monotonic()
    with writer:
        before = writer.frames
        if before:
            say(f"Going on: {counted(before, 'frame')} done before.")
        asking = Asking(
            str(Path(config.bundle).absolute()),
            tasks,
            config.score_threshold,
            config.batch_size,
            config.reuse,
            config.accelerator,
            predictor.engine,
            is_converted,
        )
        _watch(predictor, videos, writer, asking, reading, config)
        problems = [*writer.problems, *map(_other, others)]
        if not writer.frames and any(problem.level == "error" for problem in problems):
            keep_problems(problems, run_folder)
            raise ValueError(
                f"at least one video must be readable, got none of {len(videos)} "
                f"[{config.source}]; see {run_folder}"
            )
        rate = (writer.frames - before) / max(time.monotonic() - start, 1e-9)
        footage = finish_footage(writer, predictor, config, run_folder)
    # A video is read again to be drawn into, and what is lost of it is said again.
    problems += [problem for problem in footage.problems if problem not in problems]
    replace_problems(problems, run_folder)
    footage.sightings.say(len(videos))
    _say_made(writer.frames, rate, footage)
    if config.catalog is not None:
        say_next(["review", f"catalog={config.catalog}"])
    return Summary(
        run_folder,
        {
            "videos": len(videos),
            "frames": writer.frames,
            "finds": footage.files.finds,
            "frames_per_second": rate,
        },
        unread=len({problem.file for problem in problems if problem.level == "error"}),
    )


def sampling_of(config: PredictVideoConfig) -> Sampling:
    """Which frames are looked at.

    Raises:
        ValueError: more than one way is asked for.
    """
    ways: dict[str, Sampling] = {}
    if config.every != 1:
        ways[f"every={config.every}"] = Every(config.every)
    if config.fps is not None:
        ways[f"fps={config.fps:g}"] = Rate(config.fps)
    if config.keyframes:
        ways["keyframes=true"] = KeyFrames()
    if len(ways) > 1:
        raise ValueError(f"frames must be chosen in one way, got {' and '.join(ways)}; keep one")
    return next(iter(ways.values()), Every(1))


def _settings(config: PredictVideoConfig, digest: str, tasks: Sequence[str]) -> dict[str, Any]:
    """What the rows depend on."""
    return {
        "bundle": digest,
        "tasks": tasks,
        "score_threshold": config.score_threshold,
        "sampling": repr(sampling_of(config)),
        "start": config.start,
        "end": config.end,
        "batch_size": config.batch_size,
        "reuse": config.reuse,
    }


def _watch(
    predictor: Predictor,
    videos: Sequence[str],
    writer: VideoWriter,
    asking: Asking,
    reading: Reading,
    config: PredictVideoConfig,
) -> None:
    """Writes the answers on all frames of all videos that are not done yet."""
    left = [video for video in videos if video not in writer.done]
    with watching("Watching", sum(_seconds(video, reading) for video in left)) as step:
        if config.compute == "ray":
            _watch_on_ray(left, writer, asking, reading, config, step)
            return
        for video in left:
            own = replace(reading, after=writer.reached.get(video))
            problems: list[Problem] = []
            try:
                _watch_one(predictor, video, writer, asking, own, config, problems, step)
            except (VideoError, FileNotFoundError) as error:
                problems.append(unreadable(video, error))
            writer.close_video(video, problems)


def _watch_on_ray(
    videos: Sequence[str],
    writer: VideoWriter,
    asking: Asking,
    reading: Reading,
    config: PredictVideoConfig,
    step: Step,
) -> None:
    """The same with many processes, to which the videos go in pieces."""
    if any(is_stream(video) for video in videos):
        raise ValueError(f"compute must be local for a stream, got ray [{config.source}]")
    pieces = [
        piece
        for video in videos
        for piece in cut(
            video, replace(reading, after=writer.reached.get(video)), config.piece_seconds
        )
    ]
    for seen in watch_many(pieces, asking, workers=config.workers, address=config.address):
        if seen.problems:
            writer.note(seen.piece.video, seen.problems)
        writer.write_lines(seen.lines)
        if seen.lines:
            step(seen.lines[-1]["time"] - seen.lines[0]["time"], len(seen.lines))
        if seen.piece.is_last:
            writer.close_video(seen.piece.video, [])


def _watch_one(
    predictor: Predictor,
    video: str,
    writer: VideoWriter,
    asking: Asking,
    reading: Reading,
    config: PredictVideoConfig,
    problems: list[Problem],
    step: Step,
) -> None:
    if is_stream(video) and reading.after is not None:
        raise ValueError(
            f"a stream must be watched in one go, got one that was stopped [{video}]; choose "
            "another output, or overwrite=true"
        )
    count = config.decoder_threads
    batches = predict_batches(
        predictor,
        video,
        reading,
        asking.tasks,
        score_threshold=asking.score_threshold,
        batch_size=asking.batch_size,
        threads=None if count is None else Threads(count, None),
        reuse=asking.reuse,
        problems=problems,
    )
    reached = reading.after.time if reading.after is not None else reading.start or 0.0
    with closing(batches):
        try:
            for batch in batches:
                writer.write([answer for _, answer in batch], batch[-1][0].lost)
                step(batch[-1][0].time - reached, len(batch))
                reached = batch[-1][0].time
        except KeyboardInterrupt:
            if not is_stream(video):
                raise
            say(f"Stopped watching {video}; what was seen of it is kept.")  # it has no other end


def _seconds(video: str, reading: Reading) -> float:
    """How much of a video is watched, in seconds; 0 where it can't be known."""
    if is_stream(video):
        return reading.end or 0.0
    seconds = length_of(video) or 0.0  # what can't be opened is reported when its turn comes
    return max(0.0, min(seconds, reading.end or float("inf")) - (reading.start or 0.0))


def _frames(videos: Sequence[str], reading: Reading, enough: float) -> float:
    """How many frames of the videos are looked at, about, and no more than is enough to know."""
    count = 0.0
    for video in videos:
        if count >= enough:
            break
        count += _seconds(video, reading) * _rate(video, reading.sampling)
        count += math.inf if is_stream(video) else 0.0
    return count


def _rate(video: str, sampling: Sampling) -> float:
    """Frames of a file that are looked at in each second, about."""
    try:
        rate = 0.0 if is_stream(video) else look(video).frame_rate or 0.0
    except (VideoError, FileNotFoundError):
        return 0.0
    if isinstance(sampling, Every):
        return rate / sampling.count
    return min(rate, sampling.fps if isinstance(sampling, Rate) else _KEY_FRAMES)


def _other(file: str) -> Problem:
    return Problem(file, None, "it is no video by its name; passed over", "warning")


def _say_made(frames: int, rate: float, footage: Footage) -> None:
    files = footage.files
    say(
        f"{counted(files.finds, 'find')} in {counted(frames, 'frame')}, {rate:.1f} frames a second",
        f"  a row a find: {files.jsonl}",
        f"                {files.parquet}",
        *(f"  {name}: {path}" for name, path in footage.made.items()),
    )
