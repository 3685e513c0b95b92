"""Opening what a video may be: a file, numbered pictures, a stream; and finding videos."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from visionkit.data.picture_files import files_of, is_junk

VIDEO_SUFFIXES = frozenset(
    ".3gp .asf .avi .flv .gif .m2ts .m4v .mjpeg .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .ts .vob "
    ".webm .wmv .y4m".split()
)
"""Files of a folder that are taken for videos by their names; others are named and left out."""

_NUMBER = re.compile(r"%(0\d+)?d")
_AGAIN = "fetch or record it again, or leave it out"


class VideoError(ValueError):
    """A video of which nothing can be read.

    Attributes:
        source: path or address.
        reason: what is wrong with it, without the path.
        way_out: what to do about it.
    """

    def __init__(self, source: str, reason: str, way_out: str = _AGAIN) -> None:
        super().__init__(f"{source}: {reason}; {way_out}")
        self.source, self.reason, self.way_out = source, reason, way_out

    def __reduce__(self) -> tuple[type[VideoError], tuple[str, str, str]]:
        return type(self), (self.source, self.reason, self.way_out)


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself, which need not be true.

    Attributes:
        size: height and width of its frames as they are stored.
        seconds: how long it lasts; None where that is not known, as of streams.
        frame_rate: frames a second on average; None where that is not known.
        frames: so many at least by its index; None where there is no index.
    """

    size: tuple[int, int]
    seconds: float | None
    frame_rate: float | None
    frames: int | None


def is_stream(source: str | Path) -> bool:
    """Whether a source is the address of a stream, such as rtsp://camera/1."""
    return re.match(r"[a-z][a-z0-9+.-]+://", str(source), re.IGNORECASE) is not None


def find_videos(source: str | Path) -> tuple[list[str], list[str]]:
    """The videos of a file, folder, glob, pattern of numbered pictures or address, and the rest.

    Args:
        source: a path that exists is meant literally; a folder with all that is below it;
            `shots/%04d.png` is numbered pictures as one video.

    Returns:
        Sorted names of the videos, and of the other files of a folder.

    Raises:
        FileNotFoundError: there is no such path, or no video in it.
    """
    if is_stream(source) or (not Path(source).exists() and numbered_pictures(source)):
        return [str(source)], []
    path = Path(source).expanduser()
    files = sorted(file for file in files_of(path) if not is_junk(file.name))
    videos = [file for file in files if path.is_file() or file.suffix.lower() in VIDEO_SUFFIXES]
    if not videos:
        others = ", ".join(file.name for file in files[:3]) or "nothing"
        raise FileNotFoundError(
            f"no videos in {source}, which holds {others}; check the path: videos end in "
            f"{', '.join(sorted(VIDEO_SUFFIXES))}, and numbered pictures are given as "
            "folder/%04d.png"
        )
    return [file.as_posix() for file in videos], [
        file.as_posix() for file in files if file not in {*videos}
    ]


@contextmanager
def opened(
    source: str | Path, *, timeout: float | None = None
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and the stream of pictures in it.

    Args:
        source: path or address of a video, or a pattern of numbered pictures.
        timeout: seconds without data after which reading gives up; None waits.

    Raises:
        FileNotFoundError: there is no such file.
        VideoError: it is no video, or has no pictures.
    """
    name = str(source)
    where, options, form = _ffmpeg_words(name)
    try:
        # Metadata of strangers need not be UTF-8, and files of strangers name no others.
        container = av.open(
            where, format=form, options=options, timeout=timeout, metadata_errors="replace"
        )
    except FFmpegError as error:
        raise VideoError(name, *why(error, timeout)) from error
    with container:
        yield container, _pictures(name, container)


def numbered_pictures(pattern: str | Path) -> dict[int, Path]:
    """Number -> picture of those that a pattern such as `%04d.png` means, in their order."""
    path = Path(pattern).expanduser()
    sign = _NUMBER.search(path.name)
    if sign is None or not path.parent.is_dir():
        return {}
    before, behind = path.name[: sign.start()], path.name[sign.end() :]
    name = re.compile(re.escape(before) + r"(\d+)" + re.escape(behind))
    stated = [found[1] for found in map(name.fullmatch, os.listdir(path.parent)) if found]
    # `%04d` writes 7 as 0007 alone.
    numbers = sorted(int(digits) for digits in stated if sign[0] % int(digits) == digits)
    return {number: path.parent / f"{before}{sign[0] % number}{behind}" for number in numbers}


def look(source: str | Path, *, timeout: float | None = None) -> VideoInfo:
    """What a video says of itself; raises as `opened` does."""
    with opened(source, timeout=timeout) as (container, stream):
        return info_of(container, stream)


def length_of(source: str | Path) -> float | None:
    """Seconds that a video lasts; None of a stream, and where the video can't be opened."""
    if is_stream(source):
        return None
    try:
        return look(source).seconds
    except (VideoError, FileNotFoundError):
        return None


def info_of(container: InputContainer, stream: VideoStream) -> VideoInfo:
    """What an opened video says of itself."""
    seconds = None
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        seconds = container.duration / av.time_base
    frames = stream.frames if is_mp4(container) else len(stream.index_entries)
    context, rate = stream.codec_context, stream.average_rate
    return VideoInfo(
        (context.height, context.width),
        seconds if seconds is not None and seconds > 0 else None,
        float(rate) if rate else None,
        frames or None,
    )


def is_mp4(container: InputContainer) -> bool:
    """Whether a container is MP4 or MOV, whose index holds all frames and is to be relied on."""
    return "mp4" in container.format.name


def is_matroska_file(source: str | Path, container: InputContainer) -> bool:
    """Whether a source is a Matroska or WebM file, whose bytes can be looked at again."""
    return "matroska" in container.format.name and Path(source).expanduser().is_file()


def why(error: FFmpegError, timeout: float | None) -> tuple[str, str]:
    """What is wrong with a video and what to do about it, from an error of the decoder."""
    if isinstance(error, ExitError) and timeout is not None:
        return (
            f"no data came for {timeout:g} seconds",
            "check the connection, or wait longer (timeout=SECONDS)",
        )
    return f"it can't be read as a video ({error.strerror or error})", _AGAIN


def _ffmpeg_words(name: str) -> tuple[str, dict[str, str], str | None]:
    """Name, options and format by which FFmpeg opens a source."""
    if is_stream(name):
        # UDP loses packets without a word.
        return name, ({"rtsp_transport": "tcp"} if name.lower().startswith("rtsp") else {}), None
    path = Path(name).expanduser()
    if path.is_file():
        if path.stat().st_size == 0:
            raise VideoError(name, "it is empty (0 bytes)")
        return f"file:{path}", {"protocol_whitelist": "file"}, None
    numbers = numbered_pictures(path)
    if not numbers:
        raise FileNotFoundError(f"no such video: {name}; check the path")
    return str(path), {"start_number": str(min(numbers))}, "image2"


def _pictures(name: str, container: InputContainer) -> VideoStream:
    """The stream of pictures that is meant: not the cover of a song."""
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise VideoError(name, f"it has no pictures, only {kinds}", "leave it out")
    best = container.streams.best("video")
    stream = best if best in streams and isinstance(best, VideoStream) else streams[0]
    if stream.codec_context is None:
        raise VideoError(name, "its pictures have a format that is not known", "convert it")
    return stream
