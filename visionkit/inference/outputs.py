"""Predictions on disk: JSON Lines a picture, Parquet a find, and pictures with the finds drawn."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image as PillowImage

from visionkit.files import atomic_write
from visionkit.inference.drawing import draw_prediction
from visionkit.inference.part_files import PartFiles, Piece, read_lines, utf8
from visionkit.inference.prediction import Prediction
from visionkit.inference.records import (
    FIND_SCHEMA,
    parquet_rows,
    prediction_records,
    read_prediction,
)
from visionkit.types import Image

PART_PICTURES = 64
"""So many pictures at most are lost by a kill."""
_DRAWN_QUALITY = 90


@dataclass(frozen=True)
class PredictionFiles:
    """Where the predictions of a finished run lie, and how many there are.

    Attributes:
        jsonl: one line a picture, those without finds included.
        parquet: one row a find or class, columns of `FIND_SCHEMA`.
        drawn: folder of the pictures with finds drawn, or None where none were asked for.
        images: pictures.
        finds: items found, boxes located and classes taken to be there, in all of them.
    """

    jsonl: Path
    parquet: Path
    drawn: Path | None
    images: int
    finds: int


class PredictionWriter:
    """Writes predictions so that a killed run goes on where it stopped.

    Pictures are gathered into part files, each written whole or not at all; `finish` joins them
    into `predictions.jsonl` and `predictions.parquet`. Use it as a context manager: it finishes
    at the end of the block, and after an error or Ctrl-C keeps what it has for the next try.

    Attributes:
        done: names of the pictures that are written already, by this run or the one it resumes.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        settings: Mapping[str, Any],
        shared: Mapping[str, Any] | None = None,
        draw: bool = True,
        overwrite: bool = False,
        part_pictures: int = PART_PICTURES,
        before_part: Callable[[], None] | None = None,
    ) -> None:
        """Opens `folder`, which is made where it is missing.

        Args:
            folder: where everything is written.
            settings: what the predictions depend on (bundle, thresholds ...), as JSON values; a
                stopped run is resumed only with the same.
            shared: what else it must have the same of, though the predictions don't depend on it.
            draw: whether to write pictures with the finds drawn.
            overwrite: whether predictions that are there already are deleted.
            part_pictures: pictures a part file; so many are lost at most by a kill.
            before_part: called before each part file is written. Where it raises, that is not
                written either, and a resumed run sees its pictures again.

        Raises:
            FileExistsError: the folder holds the predictions of a finished run.
            ValueError: it holds parts of a run with other settings.
        """
        self._folder = Path(folder)
        self._draw = draw
        self._part_pictures, self._before_part = part_pictures, before_part
        self._pending: list[dict[str, Any]] = []
        if overwrite and (self._folder / "pictures").exists():
            shutil.rmtree(self._folder / "pictures")
        self._parts = PartFiles(folder, settings=settings, shared=shared, overwrite=overwrite)
        self.done = {line["image"] for part in self._parts.parts() for line in part}

    def write(self, name: str, image: Image, prediction: Prediction) -> None:
        """Takes the answers on one picture; a picture without finds is written too.

        Args:
            name: what the picture is called in the results, usually its path.
            image: (H, W, 3) uint8 RGB, upright.
            prediction: boxes in its pixels. Of `data`, `class_name`, `view`, `similarity`,
                `inliers`, `runner_up`, `runner_up_score` and `quad` are kept; of the classes of
                the picture the surest five and those that reach their thresholds.

        Raises:
            ValueError: the picture was written before.
            RuntimeError: the disk is full.
        """
        if name in self.done:
            raise ValueError(f"each picture must be written once, got {name} again; skip `done`.")
        height, width = image.shape[:2]
        line: dict[str, Any] = {"image": name, "width": width, "height": height}
        if self._draw:
            line["drawn"] = f"pictures/{_drawn_name(name)}"
            write_jpeg(self._folder / line["drawn"], draw_prediction(image, prediction))
        line |= {"tasks": list(prediction.tasks), "finds": prediction_records(prediction)}
        self._pending.append(line)
        self.done.add(name)
        if len(self._pending) >= self._part_pictures:
            self.flush()

    def flush(self) -> None:
        """Writes the pictures gathered so far as a part file.

        Raises:
            RuntimeError: the disk is full.
        """
        if self._before_part is not None:
            self._before_part()
        self._parts.add(self._pending)
        self._pending.clear()

    def finish(self) -> PredictionFiles:
        """Where the joined results lie; the part files are deleted.

        Raises:
            RuntimeError: the disk is full; the parts are kept, so that a resumed run can finish.
        """
        self.flush()
        finds = 0

        def pieces() -> Iterator[Piece]:
            nonlocal finds
            for lines in self._parts.parts():
                rows = [row for line in lines for row in parquet_rows(line)]
                finds += sum(row.get("assumed") is not False for row in rows)
                yield Piece(lines, rows)

        jsonl, parquet = self._parts.join(pieces(), FIND_SCHEMA)
        drawn = self._folder / "pictures" if self._draw else None
        return PredictionFiles(jsonl, parquet, drawn, images=len(self.done), finds=finds)

    def __enter__(self) -> PredictionWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and self._parts.open:
            self.finish()
        elif kind is not None:
            self.flush()


def read_predictions(path: str | Path) -> Iterator[tuple[str, Prediction]]:
    """The name of each picture of a `predictions.jsonl` and what was said of it, one at a time.

    Raises:
        ValueError: a line is not of the form that `PredictionWriter` writes.
    """
    for number, line in enumerate(read_lines(Path(path)), start=1):
        try:
            yield line["image"], read_prediction(line["tasks"], line["finds"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"predictions must be lines as visionkit predict writes them, got {error!r} "
                f"[{path}, line {number}]; predict again."
            ) from error


def _drawn_name(name: str) -> str:
    """A file name of its own for each picture: two folders may hold pictures of one name."""
    stem = utf8(Path(name).stem)[:120].decode(errors="ignore")
    return f"{stem}_{hashlib.sha256(utf8(name)).hexdigest()[:8]}.jpg"


def write_jpeg(path: Path, image: Image) -> None:
    """Writes (H, W, 3) uint8 RGB as a JPEG, whole or not at all; raises like `atomic_write`."""
    with atomic_write(path) as file:
        PillowImage.fromarray(image).save(file, format="JPEG", quality=_DRAWN_QUALITY)
