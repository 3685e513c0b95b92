"""Pictures of what was found in videos: a few of each object, cut out of its best frames."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from visionkit.inference.outputs import write_jpeg
from visionkit.inference.part_files import utf8
from visionkit.inference.video.frames import FramePrediction
from visionkit.inference.video.intervals import area_share
from visionkit.inference.video.passes import frame_rows
from visionkit.inference.video.stills import StillReader
from visionkit.inference.video.votes import Row
from visionkit.types import Image

_APART = 1.0  # seconds between two crops of one object, which else would look alike
_MARGIN = 0.1  # of the box's sides, kept on each side
_NAME_BYTES = 80
_SPARE = 4  # so many times more objects are remembered than are written in the end


@dataclass(frozen=True)
class Crop:
    """A find to be cut out.

    Attributes:
        video, frame, time: where it is.
        task, name: head that found it, and the item or class.
        track: number of the object, or None without tracking.
        score: 0..1.
        box: xyxy in pixels of the upright frame.
        rank: the larger, the better a picture of the object it is.
    """

    video: str
    frame: int
    time: float
    task: str
    name: str
    track: int | None
    score: float
    box: tuple[float, float, float, float]
    rank: float


class CropChooser:
    """Chooses the finds to cut out while the predictions of frames come in.

    Of each object (without tracks: of each item or class of a video) the finds with the largest
    score x share of the picture are taken, at least a second apart.

    Args:
        per_track: crops of one object.
        most: crops in all: the best of each object in turn.
    """

    def __init__(self, *, per_track: int = 3, most: int = 500) -> None:
        self._per_track, self._most = per_track, most
        self._best: dict[tuple[str, str, str], list[Crop]] = {}

    def see(self, frame: FramePrediction) -> None:
        """Takes the next frame; the frames of a video come by time."""
        for row in frame_rows(frame):
            if row.get("box") is not None:
                crop = _crop(row)
                key = crop.video, crop.task, crop.name if crop.track is None else str(crop.track)
                best = self._best.setdefault(key, [])
                self._add(best, crop)
        if len(self._best) > 2 * _SPARE * self._most:
            ranked = sorted(self._best.items(), key=lambda each: -each[1][0].rank)
            self._best = dict(ranked[: _SPARE * self._most])

    def chosen(self) -> list[Crop]:
        """The crops, by video and time."""
        ranked = [
            (place, -crop.rank, crop)
            for best in self._best.values()
            for place, crop in enumerate(best)
        ]
        ranked.sort(key=lambda each: each[:2])
        crops = [crop for *_, crop in ranked[: self._most]]
        return sorted(crops, key=lambda crop: (crop.video, crop.time, -crop.rank))

    def _add(self, best: list[Crop], crop: Crop) -> None:
        """Keeps the best crops of an object in falling order; of near ones the better."""
        near = [each for each in best if abs(each.time - crop.time) < _APART]
        if any(each.rank >= crop.rank for each in near):
            return
        best[:] = sorted(
            [each for each in best if each not in near] + [crop], key=lambda each: -each.rank
        )[: self._per_track]


def write_crops(folder: str | Path, crops: Sequence[Crop], stills: StillReader) -> list[Path]:
    """Paths of the pictures that were written, each whole or not at all.

    Their names tell video, time, item or class and track. A crop whose frame can't be read is
    left out.

    Args:
        folder: made where it is missing.
        crops: as chosen.
        stills: reads the frames.

    Raises:
        RuntimeError: the disk is full.
    """
    at: dict[str, dict[float, list[Crop]]] = {}
    for crop in crops:
        at.setdefault(crop.video, {}).setdefault(crop.time, []).append(crop)
    paths: list[Path] = []
    for video, times in at.items():
        for time, image in stills(video, sorted(times)):
            for number, crop in enumerate(times[time]):
                track = f"track{crop.track}" if crop.track is not None else f"find{number}"
                path = Path(folder) / still_name(video, time, crop.name, track)
                write_jpeg(path, cut(image, crop.box))
                paths.append(path)
    return paths


def cut(image: Image, box: Sequence[float]) -> Image:
    """(h, w, 3) uint8: the part of a picture in an xyxy box and a little around it."""
    height, width = image.shape[:2]
    x_min, y_min, x_max, y_max = box
    across, down = _MARGIN * (x_max - x_min), _MARGIN * (y_max - y_min)
    left = min(max(round(x_min - across), 0), width - 1)
    top = min(max(round(y_min - down), 0), height - 1)
    right = min(max(round(x_max + across), left + 1), width)
    bottom = min(max(round(y_max + down), top + 1), height)
    return image[top:bottom, left:right]


def still_name(video: str, time: float, *words: str) -> str:
    """A file name that any system takes, in which videos of one name differ.

    >>> still_name("in/shop 1.mp4", 75.25, "cola <1 l>", "track3")
    'shop-1_28371d09_00075.250s_cola-1-l_track3.jpg'
    """
    digest = hashlib.sha256(utf8(video)).hexdigest()[:8]
    parts = [_plain(Path(video).stem), digest, f"{time:09.3f}s", *map(_plain, words)]
    return "_".join(parts) + ".jpg"


def _plain(words: str) -> str:
    plain = re.sub(r"[^\w-]+", "-", words).strip("-")
    return utf8(plain)[:_NAME_BYTES].decode(errors="ignore")


def _crop(row: Row) -> Crop:
    box, size = row["box"], (int(row["height"]), int(row["width"]))
    score = float(row.get("score") or 0.0)
    return Crop(
        video=str(row["video"]),
        frame=int(row["frame"]),
        time=float(row["time"]),
        task=str(row["task"]),
        name=str(row["item"] if row["task"] == "exemplar" else row["label"]),
        track=row.get("track"),
        score=score,
        box=(box[0], box[1], box[2], box[3]),
        rank=score * area_share(box, size),
    )
