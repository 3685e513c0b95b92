"""Predictions of videos on disk: a row a find, or a class of a frame, as JSON Lines and Parquet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from visionkit.data.problems import Problem
from visionkit.inference.part_files import PartFiles, Piece, utf8
from visionkit.inference.records import (
    FIND_SCHEMA,
    parquet_find,
    prediction_records,
    read_prediction,
)
from visionkit.inference.video.frames import FramePrediction
from visionkit.inference.video.loss import Lost
from visionkit.inference.video.reader import Place

VIDEO_SCHEMA = pa.schema(
    [
        pa.field("video", pa.string(), nullable=False),
        pa.field("frame", pa.int64(), nullable=False),
        pa.field("time", pa.float64(), nullable=False),
        *(field for field in FIND_SCHEMA if field.name != "image"),
        pa.field("track", pa.int64()),
        pa.field("model", pa.string(), nullable=False),
    ]
)
"""The columns of a video's `predictions.parquet`: those of `FIND_SCHEMA`, but for the place, which
is path or address of the video, index of the frame and seconds from the video's start; the number
of the track where there are tracks; and which bundle said so."""

_PART_FRAMES = 4096
_PART_SECONDS = 20.0
"""So many frames, or so much work, are lost at most when the process is killed."""
_PIECE_ROWS = 8192

Row = Mapping[str, Any]


@dataclass(frozen=True)
class VideoFiles:
    """Where the predictions of a finished run lie, and how many there are.

    Attributes:
        jsonl, parquet: one row a find or class, columns of `VIDEO_SCHEMA`.
        finds: items found, boxes located and classes taken to be there, in all frames.
    """

    jsonl: Path
    parquet: Path
    finds: int


class VideoWriter:
    """Writes predictions of videos so that a killed run goes on behind the last frame written.

    Frames are gathered into part files, each written whole or not at all; those without finds,
    too, so that it is known where reading was. `finish` joins them. Use it as a context manager:
    after an error or Ctrl-C it keeps what it has for the next try.

    Args:
        folder: where everything is written; made where it is missing.
        settings: what the predictions depend on, as JSON values; a stopped run is resumed only
            with the same.
        model: what to call the bundle in the rows.
        overwrite: whether predictions that are there already are deleted.
        part_frames, part_seconds: a part file is written when either is reached.

    Attributes:
        reached: video -> its last frame that is written.
        done: videos that were read to their end.
        problems: what could not be read of the videos, by this run or the one it resumes.
        frames: how many are written, by this run or the one it resumes.

    Raises:
        FileExistsError: the folder holds the predictions of a finished run.
        ValueError: it holds parts of a run with other settings.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        settings: Mapping[str, Any],
        model: str,
        overwrite: bool = False,
        part_frames: int = _PART_FRAMES,
        part_seconds: float = _PART_SECONDS,
    ) -> None:
        self._parts = PartFiles(folder, settings=settings, overwrite=overwrite)
        self._model = model
        self._part_frames, self._part_seconds = part_frames, part_seconds
        self._pending: list[dict[str, Any]] = []
        self._saved = time.monotonic()
        self.reached: dict[str, Place] = {}
        self.done: set[str] = set()
        self.problems: list[Problem] = []
        self.frames = 0
        for line in self._lines():
            self._take(line)

    def write(self, batch: Sequence[FramePrediction], lost: Lost | None = None) -> None:
        """Takes what was said of some frames; a batch is written whole or not at all.

        So a run that goes on sees the same batches as one that was never stopped, and says the
        same to the last digit.

        Args:
            batch: frames of one video.
            lost: what of the video could not be read up to the last of them; None where nothing.

        Raises:
            RuntimeError: the disk is full.
        """
        lines = [frame_line(frame) for frame in batch]
        if lines and lost not in (None, Lost()):
            lines[-1]["lost"] = asdict(lost)
        self.write_lines(lines)

    def write_lines(self, lines: Sequence[dict[str, Any]]) -> None:
        """Takes some frames as `frame_line` makes lines of them; all of them or none.

        Raises:
            RuntimeError: the disk is full.
        """
        self._pending += lines
        for line in lines:
            self._take(line)
        late = time.monotonic() - self._saved > self._part_seconds
        if late or len(self._pending) >= self._part_frames:
            self.flush()

    def note(self, video: str, problems: Sequence[Problem]) -> None:
        """Takes what could not be read of a video of which there is more to read."""
        line = {"video": video, "problems": [asdict(problem) for problem in problems]}
        self._pending.append(line | {"more": True})
        self._take(self._pending[-1])

    def close_video(self, video: str, problems: Sequence[Problem]) -> None:
        """Says that a video was read to its end.

        Args:
            video: as its frames name it.
            problems: what could not be read of it; kept for the run that goes on.
        """
        line = {"video": video, "problems": [asdict(problem) for problem in problems]}
        self._pending.append(line)
        self._take(line)

    def flush(self) -> None:
        """Writes the frames gathered so far as a part file.

        Raises:
            RuntimeError: the disk is full.
        """
        self._parts.add(self._pending)
        self._pending.clear()
        self._saved = time.monotonic()

    def predictions(self) -> Iterator[FramePrediction]:
        """All that is written, also by the run that this one resumes: video by video, in order.

        Of the classes of a frame there are those that were kept.
        """
        self.flush()
        for line in self._lines():
            if "finds" in line:
                yield FramePrediction(
                    line["video"],
                    line["frame"],
                    line["time"],
                    (line["height"], line["width"]),
                    read_prediction(line["tasks"], line["finds"]),
                    line.get("change"),
                )

    def finish(
        self,
        predictions: Iterable[FramePrediction] | None = None,
        *,
        watch: Callable[[Row], None] = lambda _: None,
    ) -> VideoFiles:
        """Where the joined results lie; the part files are deleted.

        Args:
            predictions: what is written in the end, made of `predictions()`, with tracks for
                instance; None writes what there is.
            watch: called with each row.

        Raises:
            RuntimeError: the disk is full; the parts are kept, so that a resumed run can finish.
        """
        self.flush()
        finds = 0

        def pieces() -> Iterator[Piece]:
            nonlocal finds
            for rows in _in_pieces(self._rows(predictions)):
                finds += sum(row.get("assumed") is not False for row in rows)
                for row in rows:
                    watch(row)
                yield Piece(rows, [_parquet_row(row) for row in rows])

        jsonl, parquet = self._parts.join(pieces(), VIDEO_SCHEMA)
        return VideoFiles(jsonl, parquet, finds)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._parts.open:
            self.flush()

    def _take(self, line: Row) -> None:
        """Remembers how far a line says that reading got."""
        if "finds" in line:
            self.frames += 1
            lost = Lost(**line.get("lost", {}))
            self.reached[line["video"]] = Place(line["frame"], line["time"], lost)
            return
        if not line.get("more"):
            self.done.add(line["video"])
        told = [Problem(**problem) for problem in line["problems"]]
        self.problems += [problem for problem in told if problem not in self.problems]

    def _lines(self) -> Iterator[Row]:
        for part in self._parts.parts():
            yield from part

    def _rows(self, predictions: Iterable[FramePrediction] | None) -> Iterator[Row]:
        if predictions is not None:
            for frame in predictions:
                place = {"video": frame.video, "frame": frame.index, "time": frame.time}
                yield from self._found(place, frame.size, prediction_records(frame.prediction))
            return
        for line in self._lines():
            if "finds" in line:
                place = {key: line[key] for key in ("video", "frame", "time")}
                yield from self._found(place, (line["height"], line["width"]), line["finds"])

    def _found(self, place: Row, size: tuple[int, int], finds: Iterable[Row]) -> Iterator[Row]:
        height, width = size
        for find in finds:
            yield {**place, "width": width, "height": height, **find, "model": self._model}


def frame_line(frame: FramePrediction) -> dict[str, Any]:
    """A frame and what was said of it as plain JSON values."""
    height, width = frame.size
    return {
        "video": frame.video,
        "frame": frame.index,
        "time": frame.time,
        "width": width,
        "height": height,
        "change": frame.change,
        "tasks": list(frame.prediction.tasks),
        "finds": prediction_records(frame.prediction),
    }


def _parquet_row(row: Row) -> dict[str, Any]:
    return {**parquet_find(row), "video": utf8(row["video"]).decode()}


def _in_pieces(rows: Iterator[Row]) -> Iterator[list[Row]]:
    piece: list[Row] = []
    for row in rows:
        piece.append(row)
        if len(piece) == _PIECE_ROWS:
            yield piece
            piece = []
    yield piece
