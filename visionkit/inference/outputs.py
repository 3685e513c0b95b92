"""Predictions on disk: JSON Lines a picture, Parquet a find, and pictures with the finds drawn."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image as PillowImage

from visionkit.files import atomic_path, atomic_write, write_json
from visionkit.inference.drawing import draw_prediction
from visionkit.inference.prediction import Prediction
from visionkit.inference.records import (
    FIND_SCHEMA,
    parquet_rows,
    prediction_records,
    read_prediction,
    utf8,
)
from visionkit.types import Image

_PART_PICTURES = 64
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
        draw: bool = True,
        overwrite: bool = False,
        part_pictures: int = _PART_PICTURES,
    ) -> None:
        """Opens `folder`, which is made where it is missing.

        Args:
            folder: where everything is written.
            settings: what the predictions depend on (bundle, thresholds ...), as JSON values; a
                stopped run is resumed only with the same.
            draw: whether to write pictures with the finds drawn.
            overwrite: whether predictions that are there already are deleted.
            part_pictures: pictures a part file; so many are lost at most by a kill.

        Raises:
            FileExistsError: the folder holds the predictions of a finished run.
            ValueError: it holds parts of a run with other settings.
        """
        self._folder = Path(folder)
        self._draw = draw
        self._part_pictures = part_pictures
        self._pending: list[dict[str, Any]] = []
        self._parts = self._folder / "parts"
        if overwrite:
            self._clear()
        self._settings = json.loads(json.dumps(dict(settings)))
        self._open()
        self.done = {line["image"] for part in self._part_paths() for line in _lines(part)}

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
        if not self._pending:
            return
        last = max((int(part.stem) for part in self._part_paths()), default=-1)
        with atomic_write(self._parts / f"{last + 1:06d}.jsonl") as file:
            for line in self._pending:
                text = json.dumps(line, ensure_ascii=False, allow_nan=False)
                file.write(utf8(text) + b"\n")
        self._pending.clear()

    def finish(self) -> PredictionFiles:
        """Where the joined results lie; the part files are deleted.

        Raises:
            RuntimeError: the disk is full; the parts are kept, so that a resumed run can finish.
        """
        self.flush()
        parquet, jsonl = self._folder / "predictions.parquet", self._folder / "predictions.jsonl"
        finds = self._join_parquet(parquet)
        with atomic_write(jsonl) as file:  # last: its presence says that the run is finished
            for part in self._part_paths():
                file.write(part.read_bytes())
        shutil.rmtree(self._parts)
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
        if kind is None and self._parts.exists():
            self.finish()
        elif kind is not None:
            self.flush()

    def _open(self) -> None:
        if (self._folder / "predictions.jsonl").exists():
            raise FileExistsError(
                f"{self._folder} must be new or hold a stopped run, but holds the predictions of a "
                "finished one; choose another folder or overwrite=true"
            )
        settings = self._parts / "settings.json"
        if not settings.exists():
            write_json(settings, self._settings)
            return
        before = json.loads(settings.read_text(encoding="utf-8"))
        if before != self._settings:
            changed = sorted(
                key
                for key in before.keys() | self._settings.keys()
                if before.get(key) != self._settings.get(key)
            )
            raise ValueError(
                f"a stopped run must be resumed with its own settings, got another "
                f"{', '.join(changed)} [{settings}]; set it back, choose another folder, or "
                "overwrite=true"
            )

    def _clear(self) -> None:
        for name in ("predictions.jsonl", "predictions.parquet"):
            (self._folder / name).unlink(missing_ok=True)
        for folder in (self._parts, self._folder / "pictures"):
            if folder.exists():
                shutil.rmtree(folder)

    def _part_paths(self) -> list[Path]:
        # Partial files have another suffix and a leading dot: they are never taken for parts.
        return sorted(self._parts.glob("[0-9]*.jsonl"))

    def _join_parquet(self, path: Path) -> int:
        """Number of finds, all written to `path`, one part in memory at a time."""
        schema = FIND_SCHEMA.with_metadata({"visionkit.settings": json.dumps(self._settings)})
        finds = 0
        with atomic_path(path) as partial, pq.ParquetWriter(partial, schema) as writer:
            for part in self._part_paths():
                rows = [row for line in _lines(part) for row in parquet_rows(line)]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                finds += sum(row.get("assumed") is not False for row in rows)
        return finds


def read_predictions(path: str | Path) -> Iterator[tuple[str, Prediction]]:
    """The name of each picture of a `predictions.jsonl` and what was said of it, one at a time.

    Raises:
        ValueError: a line is not of the form that `PredictionWriter` writes.
    """
    for number, line in enumerate(_lines(Path(path)), start=1):
        try:
            yield line["image"], read_prediction(line["tasks"], line["finds"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"predictions must be lines as visionkit predict writes them, got {error!r} "
                f"[{path}, line {number}]; predict again."
            ) from error


def _lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, start=1):
            try:
                yield json.loads(text)
            except ValueError as error:
                raise ValueError(
                    f"predictions must be JSON Lines, got {error} [{path}, line {number}]; "
                    "predict again."
                ) from error


def _drawn_name(name: str) -> str:
    """A file name of its own for each picture: two folders may hold pictures of one name."""
    stem = utf8(Path(name).stem)[:120].decode(errors="ignore")
    return f"{stem}_{hashlib.sha256(utf8(name)).hexdigest()[:8]}.jpg"


def write_jpeg(path: Path, image: Image) -> None:
    """Writes (H, W, 3) uint8 RGB as a JPEG, whole or not at all; raises like `atomic_write`."""
    with atomic_write(path) as file:
        PillowImage.fromarray(image).save(file, format="JPEG", quality=_DRAWN_QUALITY)
