"""Videos cut into pieces of time, so that several processes share a long one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from visionkit.data.problems import Problem
from visionkit.inference.video.opening import VideoError, length_of
from visionkit.inference.video.pipeline import Asked, Threads, predict_batches
from visionkit.inference.video.reader import Reading
from visionkit.inference.video.records import frame_line


@dataclass(frozen=True)
class Piece:
    """A stretch of a video.

    Attributes:
        video: path or address.
        reading: which of its frames.
        is_last: whether the video ends with it.
    """

    video: str
    reading: Reading
    is_last: bool


@dataclass(frozen=True)
class Seen:
    """What was said of a piece.

    Attributes:
        piece: which.
        lines: a line a frame, as of `frame_line`.
        problems: what of it could not be read.
    """

    piece: Piece
    lines: Sequence[dict[str, Any]]
    problems: Sequence[Problem]


def cut(video: str, reading: Reading, seconds: float) -> list[Piece]:
    """The pieces of a video, in the order of time; together they are what `reading` asks for.

    A video of which it is not known how long it lasts is one piece, as is one that can't be
    opened: whoever reads the piece says why.

    Args:
        video: path or address.
        reading: of the whole.
        seconds: of each piece, at most.

    Raises:
        ValueError: the seconds are not positive.
    """
    if not seconds > 0:
        raise ValueError(f"seconds of a piece must be positive, got {seconds}")
    first = reading.after.time if reading.after is not None else reading.start or 0.0
    last = reading.end
    if last is None:
        last = length_of(video)
    if last is None or not math.isfinite(last) or last <= first:
        return [Piece(video, reading, is_last=True)]
    # Cut at whole multiples, so that a run that goes on cuts as the one that was stopped.
    cuts = [seconds * n for n in range(math.floor(first / seconds) + 1, math.ceil(last / seconds))]
    starts: list[float | None] = [reading.start, *cuts]
    ends: list[float | None] = [*cuts, reading.end]
    pieces = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        after = reading.after if number == 0 else None
        own = replace(reading, start=start, end=end, after=after)
        pieces.append(Piece(video, own, is_last=number == len(cuts)))
    return pieces


def watch(
    predictor: Asked,
    piece: Piece,
    tasks: Sequence[str] | None,
    *,
    score_threshold: float | None = None,
    batch_size: int | None = None,
    reuse: float = 0.0,
) -> Seen:
    """What the predictor says of a piece; what can't be read of it is among the problems."""
    lines: list[dict[str, Any]] = []
    problems: list[Problem] = []
    try:
        batches = predict_batches(
            predictor,
            piece.video,
            piece.reading,
            tasks,
            score_threshold=score_threshold,
            batch_size=batch_size,
            threads=Threads(1, 1),
            reuse=reuse,
            problems=problems,
        )
        with closing(batches):
            for batch in batches:
                lines += [frame_line(answer) for _, answer in batch]
    except (VideoError, FileNotFoundError) as error:
        problems.append(unreadable(piece.video, error))
    return Seen(piece, lines, problems)


def unreadable(video: str, error: VideoError | FileNotFoundError) -> Problem:
    """The problem of a video of which nothing can be read."""
    reason = error.reason if isinstance(error, VideoError) else "it is gone"
    return Problem(video, None, f"{reason}; nothing of it was used")
