"""Frames of videos, put into a catalog for people to look at."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from visionkit.config import PredictVideoConfig
from visionkit.data.images import content_hash, read_image
from visionkit.flywheel.catalog import open_catalog
from visionkit.inference.outputs import write_jpeg
from visionkit.inference.prediction import chosen_tasks
from visionkit.inference.predictor import Predictor
from visionkit.inference.video.crops import still_name
from visionkit.inference.video.frames import FramePrediction
from visionkit.inference.video.passes import frame_rows
from visionkit.inference.video.stills import read_stills
from visionkit.inference.video.unsure import UnsureChooser
from visionkit.inference.video.votes import Ballot, TrackKey
from visionkit.jobs.catalogued import CatalogWriter, thresholds_of
from visionkit.types import Image

_USUAL = 100
"""So many doubtful frames, and as many others, go into a catalog unless the config says."""

_DIGITS = 12
"""So much of the hash of a frame's pixels stands in its file name."""

Rows = list[Mapping[str, Any]]


def catalogue_frames(
    frames: Callable[[], Iterable[FramePrediction]],
    count: int,
    ballots: Mapping[TrackKey, Ballot],
    predictor: Predictor,
    config: PredictVideoConfig,
) -> int:
    """How many frames are new in the catalog: the most doubtful, and others evenly spread.

    Their pictures lie in the catalog's folder `frames`; a frame that is there stays.

    Args:
        frames: reads the answers on all frames, video by video, with their tracks.
        count: how many frames there are.
        ballots: of `TrackPass`; none without tracking.
        predictor: that gave the answers.
        config: with `catalog`.

    Raises:
        ValueError: the catalog is no folder.
        RuntimeError: the disk is full.
    """
    place = str(config.catalog)
    if "://" in place:
        raise ValueError(f"catalog must be a folder, where frames can lie, got {place}")
    catalog = open_catalog(place, create=True)
    tasks = chosen_tasks(config.tasks, predictor.tasks)
    entries = CatalogWriter(catalog, predictor, config.bundle, tasks)
    for video, chosen in _chosen(frames(), count, ballots, predictor, config).items():
        for time, image in read_stills(video, sorted(chosen)):
            path = Path(catalog.uri) / "frames" / _frame_name(video, time, image)
            if not path.is_file():
                write_jpeg(path, image)
            entries.add(path.as_posix(), read_image(path), chosen[time], seconds=time)
            if entries.is_full:
                entries.flush()
    entries.flush()
    return entries.added


def _frame_name(video: str, time: float, image: Image) -> str:
    """The file name of a frame, (H, W, 3) uint8 RGB: one name is one picture.

    A path as typed means other videos in other working folders, and a video may be replaced
    under its name: the pixels tell these apart.
    """
    return still_name(os.path.abspath(video), time, content_hash(image)[:_DIGITS])


def _chosen(
    frames: Iterable[FramePrediction],
    count: int,
    ballots: Mapping[TrackKey, Ballot],
    predictor: Predictor,
    config: PredictVideoConfig,
) -> dict[str, dict[float, Rows]]:
    """Video -> time -> rows of the frame."""
    most = config.unsure or _USUAL
    doubts = UnsureChooser(thresholds_of(predictor), ballots, most=most)
    chosen: dict[str, dict[float, Rows]] = {}
    step = max(1, math.ceil(count / most))
    for number, frame in enumerate(frames):
        doubts.see(frame)
        if number % step == 0:
            chosen.setdefault(frame.video, {})[frame.time] = [*frame_rows(frame)]
    for doubt in doubts.chosen():
        chosen.setdefault(doubt.video, {})[doubt.time] = [*doubt.finds]
    return chosen
