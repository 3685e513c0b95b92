"""The pictures that monitor looks at: files, frames of videos, or the newest of a catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from visionkit.config.monitoring import MonitorConfig
from visionkit.data.images import ImageError, read_image
from visionkit.data.picture_files import IMAGE_SUFFIXES, files_of, find_images, is_junk
from visionkit.data.problems import Problem
from visionkit.flywheel.catalog import open_catalog
from visionkit.inference.video.opening import (
    VIDEO_SUFFIXES,
    VideoError,
    find_videos,
    is_stream,
    length_of,
)
from visionkit.inference.video.reader import Reading, read_frames
from visionkit.inference.video.sampling import Rate
from visionkit.jobs.catalogued import thumbnail_of
from visionkit.jobs.observing import Seen
from visionkit.types import Image


@dataclass
class LivePictures:
    """Pictures that are read when it is their turn.

    Attributes:
        files: (name, file) of pictures.
        videos: of which frames are looked at.
        frame_seconds: between them.
        most: frames of all videos at most.
        uris: name of a picture -> its file; frames have none.
        small: name -> small JPEG, of those that were read.
        problems: what could not be read.
    """

    files: Sequence[tuple[str, str]]
    videos: Sequence[str] = ()
    frame_seconds: float = 2.0
    most: int = 1000
    uris: dict[str, str] = field(default_factory=dict)
    small: dict[str, bytes] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def __iter__(self) -> Iterator[Seen]:
        """The pictures that can be read; those that can't become problems."""
        for name, uri in self.files:
            try:
                image = read_image(uri)
            except (ImageError, FileNotFoundError) as error:
                self.problems.append(Problem(uri, None, f"{error}; skipped"))
                continue
            self.uris[name] = uri
            yield self._seen(name, image)
        for video in self.videos:
            yield from self._frames(video)

    def small_of_uri(self, uri: str) -> bytes:
        """The small JPEG of the picture of this file; b"" where there is none."""
        names = [name for name, place in self.uris.items() if place == uri]
        return self.small.get(names[0], b"") if names else b""

    def _frames(self, video: str) -> Iterator[Seen]:
        reading = Reading(Rate(1 / self.frame_seconds), whole=True)
        try:
            for frame in read_frames(video, reading, problems=self.problems):
                if len(self.small) >= self.most:
                    return
                yield self._seen(f"{video} at {round(frame.time, 3)} s", frame.image)
        except (VideoError, FileNotFoundError) as error:
            self.problems.append(Problem(video, None, f"{error}; skipped"))

    def _seen(self, name: str, image: Image) -> Seen:
        self.small[name] = thumbnail_of(image)
        return Seen(name, image)


def live_pictures(config: MonitorConfig) -> LivePictures:
    """What the config calls live.

    Raises:
        FileNotFoundError: there is no such path, nothing in it, or no such catalog.
        ValueError: no picture of the catalog is new enough.
    """
    if config.source is None:
        files = _of_catalog(config)
        return LivePictures(_drawn(files, most=config.most, seed=config.seed))
    return source_pictures(
        config.source, most=config.most, frame_seconds=config.frame_seconds, seed=config.seed
    )


def source_pictures(source: str, *, most: int, frame_seconds: float, seed: int = 0) -> LivePictures:
    """Pictures and frames of videos.

    Args:
        source: a picture, a video, or a folder or glob of either or both; a GIF among other files
            is a picture.
        most: pictures and frames at most: drawn at random of files, and spread evenly over videos.
        frame_seconds: between frames at least.
        seed: of the draw.

    Raises:
        FileNotFoundError: there is no such path, or nothing in it.
    """
    files, videos = _found(source)
    lengths = [length_of(video) for video in videos]
    known = sum(length for length in lengths if length is not None)
    # One more a video, since each begins with a frame.
    share = _share(len(files), known / frame_seconds + len(videos), most)
    apart = max(frame_seconds, known / max(most - share - len(videos), 1))
    named = [(file, file) for file in files]
    return LivePictures(_drawn(named, most=share, seed=seed), videos, apart, most)


def _found(source: str) -> tuple[list[str], list[str]]:
    """The pictures and the videos that a source means."""
    path = Path(source).expanduser()
    if is_stream(source) or (path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES):
        return [], find_videos(source)[0]
    suffixes = frozenset() if path.is_file() else VIDEO_SUFFIXES - IMAGE_SUFFIXES
    videos = {
        file.as_posix()
        for file in files_of(source)
        if file.suffix.lower() in suffixes and not is_junk(file.name)
    }
    try:
        pictures = find_images(source)
    except FileNotFoundError:
        if not videos:
            raise
        pictures = []
    return [file.absolute().as_posix() for file in pictures], sorted(videos)


def _share(pictures: int, frames: float, most: int) -> int:
    """How many of the pictures are among `most`: in proportion to the frames, and some of both."""
    if pictures + frames <= most:
        return pictures
    if not pictures or not frames:
        return min(pictures, most)
    return min(max(round(most * pictures / (pictures + frames)), 1), most - 1)


def _of_catalog(config: MonitorConfig) -> list[tuple[str, str]]:
    """Id and file of the pictures about which a model was asked in the last days."""
    catalog = open_catalog(str(config.catalog))
    since = datetime.now(UTC) - timedelta(days=config.days)
    new = {name for name, when in catalog.asked_at().items() if _time(when) >= since}
    found = [(sample.id, sample.uri) for sample in catalog.samples() if sample.id in new]
    if not found:
        raise ValueError(
            f"the catalog must have pictures that a model was asked about in the last "
            f"{config.days:g} days, got none [{config.catalog}]; say a larger days="
        )
    return found


def _time(text: str) -> datetime:
    """The instant; the beginning of time where it is not known."""
    if not text:
        return datetime.min.replace(tzinfo=UTC)
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _drawn(files: Sequence[tuple[str, str]], *, most: int, seed: int) -> list[tuple[str, str]]:
    if len(files) <= most:
        return list(files)
    rows = np.random.default_rng(seed).choice(len(files), most, replace=False)
    return [files[row] for row in sorted(rows.tolist())]
