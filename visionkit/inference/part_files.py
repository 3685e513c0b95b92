"""Results that a killed run keeps: lines in part files, joined when all is done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from visionkit.files import atomic_path, atomic_write, write_json

JSONL_NAME, PARQUET_NAME = "predictions.jsonl", "predictions.parquet"


@dataclass(frozen=True)
class Piece:
    """Some of the results, as they are written in the end.

    Attributes:
        lines: JSON values of `predictions.jsonl`, one a line.
        rows: of `predictions.parquet`.
    """

    lines: Sequence[Mapping[str, Any]]
    rows: Sequence[Mapping[str, Any]]


class PartFiles:
    """The part files of a run in `folder/parts`, each written whole or not at all.

    Args:
        folder: of the run; made where it is missing.
        settings: what the results depend on, as JSON values; a stopped run is resumed only
            with the same.
        shared: what else it must have the same of, though the results don't depend on it.
        overwrite: whether results that are there already are deleted.

    Raises:
        FileExistsError: the folder holds the results of a finished run.
        ValueError: it holds parts of a run with other settings.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        settings: Mapping[str, Any],
        shared: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        self._folder = Path(folder)
        self._parts = self._folder / "parts"
        if overwrite:
            self._clear()
        self._settings = json.loads(json.dumps(dict(settings)))
        self._open(json.loads(json.dumps({**settings, **(shared or {})})))

    @property
    def open(self) -> bool:
        """Whether the parts are not joined yet."""
        return self._parts.exists()

    def add(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Writes a part file; nothing for no lines.

        Raises:
            RuntimeError: the disk is full.
        """
        if not lines:
            return
        last = max((int(part.stem) for part in self._paths()), default=-1)
        with atomic_write(self._parts / f"{last + 1:06d}.jsonl") as file:
            for line in lines:
                file.write(json_line(line))

    def parts(self) -> Iterator[list[Any]]:
        """The lines of each part file, in the order in which they were added."""
        for path in self._paths():
            yield list(read_lines(path))

    def join(self, pieces: Iterable[Piece], schema: pa.Schema) -> tuple[Path, Path]:
        """Paths of `predictions.jsonl` and `predictions.parquet`; the part files are deleted.

        Args:
            pieces: all that was said, which may be read from `parts` while it is written.
            schema: of the rows.

        Raises:
            RuntimeError: the disk is full; the parts are kept, so that a resumed run can finish.
        """
        jsonl, parquet = self._folder / JSONL_NAME, self._folder / PARQUET_NAME
        schema = schema.with_metadata({"visionkit.settings": json.dumps(self._settings)})
        # The lines take their place last: their presence says that the run is finished.
        with (
            atomic_write(jsonl) as file,
            atomic_path(parquet) as partial,
            pq.ParquetWriter(partial, schema) as writer,
        ):
            for piece in pieces:
                file.writelines(json_line(line) for line in piece.lines)
                writer.write_table(pa.Table.from_pylist(list(piece.rows), schema=schema))
        shutil.rmtree(self._parts)
        return jsonl, parquet

    def _open(self, wanted: Mapping[str, Any]) -> None:
        if is_finished(self._folder):
            raise FileExistsError(
                f"{self._folder} must be new or hold a stopped run, but holds the predictions of a "
                "finished one; choose another folder or overwrite=true"
            )
        settings = self._parts / "settings.json"
        if not settings.exists():
            write_json(settings, wanted)
            return
        before = json.loads(settings.read_text(encoding="utf-8"))
        if before != wanted:
            changed = sorted(
                key for key in before.keys() | wanted.keys() if before.get(key) != wanted.get(key)
            )
            raise ValueError(
                f"a stopped run must be resumed with its own settings, got another "
                f"{', '.join(changed)} [{settings}]; set it back, choose another folder, or "
                "overwrite=true"
            )

    def _clear(self) -> None:
        for name in (JSONL_NAME, PARQUET_NAME):
            (self._folder / name).unlink(missing_ok=True)
        if self._parts.exists():
            shutil.rmtree(self._parts)

    def _paths(self) -> list[Path]:
        # Partial files have another suffix and a leading dot: they are never taken for parts.
        return sorted(self._parts.glob("[0-9]*.jsonl"))


def is_finished(folder: str | Path) -> bool:
    """Whether a folder holds the results of a run that came to its end."""
    return (Path(folder) / JSONL_NAME).exists()


def read_lines(path: Path) -> Iterator[Any]:
    """The values of a file of JSON Lines, one at a time.

    Raises:
        ValueError: a line is no JSON.
    """
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, start=1):
            try:
                yield json.loads(text)
            except ValueError as error:
                raise ValueError(
                    f"predictions must be JSON Lines, got {error} [{path}, line {number}]; "
                    "predict again."
                ) from error


def json_line(value: Mapping[str, Any]) -> bytes:
    """A value as a line of JSON Lines."""
    return utf8(json.dumps(value, ensure_ascii=False, allow_nan=False)) + b"\n"


def utf8(text: str) -> bytes:
    r"""UTF-8, where the stray bytes of a file name that is none read \udc80: JSON's own escape."""
    return text.encode("utf-8", errors="backslashreplace")
