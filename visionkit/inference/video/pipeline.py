"""A video through the network: frames are decoded in a thread while earlier ones are seen.

What a frame costs is then the larger of both, not their sum. Decoder and network work without
holding Python's lock, so that threads are enough; another process was slower.
"""

from __future__ import annotations

import itertools
import math
import os
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch

from visionkit.data.problems import Problem
from visionkit.inference.parts import ClassificationPart, LocalizationPart
from visionkit.inference.prediction import Prediction, chosen_tasks
from visionkit.inference.video.ahead import ahead, made_of_each
from visionkit.inference.video.frames import Frame, FramePrediction
from visionkit.inference.video.opening import VideoInfo, is_stream, look
from visionkit.inference.video.reader import Reading, read_frames
from visionkit.inference.video.reuse import THUMBNAIL, Reusing
from visionkit.models.backbone import Backbone

_BATCH = {"cpu": 8}
_BATCH_OF_ACCELERATORS = 32
_BATCH_BYTES = 256 << 20
"""Of all pixels of the frames of a batch; three batches are held at once, or up to seven where
several are asked about at once."""
_STREAM = VideoInfo((1080, 1920), None, None, None)
"""What is taken for granted of streams: some have one listener, once, so that none is opened only
to look at it."""
_TRIED_FRAMES, _TRIED_SECONDS = 24, 0.5
_MOST_DECODER_THREADS = 16
_LEAST_FRAMES = 300
"""Shorter videos are not worth a measurement."""
_HEAVIER = 1.5
"""So much heavier decoding must be than the network, that threads of both on every core pay:
measured on two cores, where that reached 0.90 of the limit at twice the weight (1080p; a thread
each 0.81), and 0.74 at equal weight (720p; a thread each 0.89)."""
_MOST_ASKERS = 4
"""Batches that are asked about at once, at most: each is held in memory."""


class Asked(Protocol):
    """A predictor, as far as it is asked here."""

    backbone: Backbone
    classification: ClassificationPart | None
    localization: LocalizationPart | None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The heads that there are."""

    def predict(
        self,
        images: Sequence[Frame],
        tasks: Sequence[str] | None = None,
        *,
        score_threshold: float | None = None,
        batch_size: int = 8,
    ) -> list[Prediction]:
        """What the heads say of each frame."""


@dataclass(frozen=True)
class Threads:
    """How many threads decoding and the network have.

    Attributes:
        decoder: of the video's decoder.
        network: of the network on a CPU; None leaves it as it is.
        askers: how many batches are asked about at once, each with those threads.
    """

    decoder: int
    network: int | None
    askers: int = 1


def predict_video(
    predictor: Asked,
    source: str | Path,
    reading: Reading,
    tasks: Sequence[str] | None = None,
    *,
    score_threshold: float | None = None,
    batch_size: int | None = None,
) -> Iterator[FramePrediction]:
    """What is said of each frame; see `Predictor.video`. What is lost of the video is warned of."""
    problems: list[Problem] = []
    batches = predict_batches(
        predictor,
        source,
        reading,
        tasks,
        score_threshold=score_threshold,
        batch_size=batch_size,
        problems=problems,
    )
    with closing(batches):
        for batch in batches:
            yield from (answer for _, answer in batch)
    if problems:
        warnings.warn("\n".join(map(str, problems)), stacklevel=2)


def predict_batches(
    predictor: Asked,
    source: str | Path,
    reading: Reading,
    tasks: Sequence[str] | None = None,
    *,
    score_threshold: float | None = None,
    batch_size: int | None = None,
    threads: Threads | None = None,
    reuse: float = 0.0,
    problems: list[Problem],
) -> Generator[list[tuple[Frame, FramePrediction]], None, None]:
    """Frames of a video and what is said of them, a batch after the other, with constant memory.

    Args:
        predictor: whose heads are asked.
        source: path, address or pattern, as of `read_frames`.
        reading: which frames; `framings`, `whole`, `changes` and `threads` are added to as is
            needed.
        tasks: of the heads; None asks all.
        score_threshold: 0..1, one for all items and classes; None takes each one's own.
        batch_size: frames seen at once; None chooses.
        threads: None measures at the start which are best.
        reuse: a frame of which no part changed by so much, of 255, gets the answer of the frame
            before; 0 asks about every frame.
        problems: what was lost of the video is added here.

    Raises:
        FileNotFoundError, VideoError: as of `read_frames`.
        ValueError: a head is not there.
    """
    asked = chosen_tasks(tasks, predictor.tasks)
    reading = _with_needs(predictor, asked, reading)
    if reuse:
        reading = replace(reading, framings=reading.framings | {THUMBNAIL})
    info = _STREAM if is_stream(source) else look(source, timeout=reading.timeout)
    size = batch_size or fitting_batch(predictor, info, asked)

    def answer(frames: Sequence[Frame]) -> list[Prediction]:
        return predictor.predict(frames, asked, score_threshold=score_threshold, batch_size=size)

    several = not reuse and "exemplar" not in asked
    if threads is None:
        device = _device(predictor)
        threads = _best_threads(device, source, reading, info, answer, size, several=several)
    frames = read_frames(source, replace(reading, threads=threads.decoder), problems=problems)
    ask = Reusing(answer, reuse) if reuse else answer
    batches = ahead(_batches(frames, size))
    workers = threads.askers if several else 1
    with (
        _network_threads(threads.network),
        closing(made_of_each(batches, ask, workers=workers)) as said,
    ):
        for batch, predictions in said:
            yield [
                (frame, _answered(str(source), frame, prediction))
                for frame, prediction in zip(batch, predictions, strict=True)
            ]


def fitting_batch(predictor: Asked, info: VideoInfo, asked: Sequence[str]) -> int:
    """How many frames are seen at once: more on an accelerator, fewer where frames are large.

    Args:
        predictor: whose device counts.
        info: of the video.
        asked: heads. Items are searched frame by frame, so that more at once gain nothing.
    """
    if tuple(asked) == ("exemplar",):
        return 1
    usual = _BATCH.get(_device(predictor), _BATCH_OF_ACCELERATORS)
    return max(1, min(usual, _BATCH_BYTES // max(1, 3 * info.size[0] * info.size[1])))


def split_threads(decoding: float, network: float, cores: int, *, several: bool) -> Threads:
    """The threads of each half, from the seconds that a frame takes in each with one thread.

    Where several batches may be asked about at once, there are more threads than cores, so that
    none of them is ever idle: on two cores 0.87 and 0.86 of the limit (720p and 1080p) in place of
    0.58 and 0.74 with a thread for each half.

    Args:
        decoding: seconds, above 0.
        network: seconds, above 0.
        cores: that there are.
        several: whether several batches may be asked about at once.
    """
    wanted = cores * decoding / (decoding + network)
    if several:
        askers = min(cores, _MOST_ASKERS)
        return Threads(min(cores, 1 + round(wanted)), cores // askers, askers)
    if cores == 1:
        return Threads(1, 1)
    if decoding > _HEAVIER * network:
        return Threads(cores, cores)
    decoder = min(max(1, round(wanted)), cores - 1)
    return Threads(decoder, cores - decoder)


def _with_needs(predictor: Asked, asked: Sequence[str], reading: Reading) -> Reading:
    """The reading, with the frames made in the thread that the asked heads will want."""
    classes = predictor.classification if "classification" in asked else None
    objects = predictor.localization if "localization" in asked else None
    tiled = objects is not None and objects.tiles is not None
    framings = {part.framing for part in (classes, None if tiled else objects) if part is not None}
    whole = reading.whole or tiled or "exemplar" in asked
    return replace(reading, framings=reading.framings | framings, whole=whole, changes=True)


def _answered(video: str, frame: Frame, said: Prediction) -> FramePrediction:
    return FramePrediction(video, frame.index, frame.time, frame.size, said, frame.change)


def _best_threads(
    device: str,
    source: str | Path,
    reading: Reading,
    info: VideoInfo,
    answer: Callable[[Sequence[Frame]], object],
    size: int,
    *,
    several: bool,
) -> Threads:
    """The threads for a video, from a short measurement where it is long enough."""
    cores = _cores()
    if device != "cpu":
        return Threads(min(cores, _MOST_DECODER_THREADS), None)
    expected = (info.seconds or 0.0) * (info.frame_rate or 0.0)
    if is_stream(source) or expected < _LEAST_FRAMES or cores == 1:
        return Threads(1, max(1, cores - 1))
    start = time.perf_counter()
    tried: list[Frame] = []
    with closing(read_frames(source, replace(reading, threads=1), problems=[])) as frames:
        for frame in itertools.islice(frames, _TRIED_FRAMES):
            tried.append(frame)
            if time.perf_counter() - start > _TRIED_SECONDS:
                break
    if not tried:
        return Threads(1, max(1, cores - 1))
    decoding = (time.perf_counter() - start) / len(tried)
    batch = tried[: math.ceil(size / 4)]  # a frame takes as long as in a whole batch
    with _network_threads(1):
        answer(batch)  # the first time takes longer
        start = time.perf_counter()
        answer(batch)
    seconds = (time.perf_counter() - start) / len(batch)
    return split_threads(decoding, seconds, cores, several=several)


@contextmanager
def _network_threads(count: int | None) -> Iterator[None]:
    """Lets torch have so many threads for a while; None leaves it as it is."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device(predictor: Asked) -> str:
    """Kind of the device on which the network runs, such as "cpu"."""
    return str(next(predictor.backbone.parameters()).device.type)


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not there on Windows and macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _batches(frames: Generator[Frame, None, None], size: int) -> Generator[list[Frame], None, None]:
    with closing(frames):
        while batch := list(itertools.islice(frames, size)):
            yield batch
