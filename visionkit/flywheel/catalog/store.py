"""Tables that are only ever added to, by one writer at a time and read by many.

Each table lies in Lance, which commits an append whole or not at all. A row has a `number` that
grows, so that whoever has read up to one reads only what came after it.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from visionkit.flywheel.catalog.locking import file_lock

if TYPE_CHECKING:
    import lancedb

NUMBER = "number"
_COMPACT_AFTER = 64
"""So many appends are small files of their own before they are made one; reading 300 takes 0.2 s,
reading one 0.01 s."""
_KEPT = timedelta(hours=1)
"""So long a reader may take with a state of a table that is not the last."""
_PARTS = ("data", "_versions")
_TICK_SECONDS = 0.1
"""A folder's time stamp may be the same for two changes that are less than this apart."""


class Store:
    """The database of a catalog, and the lock that its writers hold.

    Args:
        uri: a folder, or an address of object storage, where only one process may write.

    Raises:
        ModuleNotFoundError: lancedb is not installed.
    """

    def __init__(self, uri: str) -> None:
        self.folder = _folder(uri)
        self.uri = uri if self.folder is None else self.folder.as_posix()
        self._database = _connect(self.uri)
        self._thread_lock = threading.RLock()
        self._held = 0

    @staticmethod
    def exists(uri: str) -> bool:
        """Whether there is a database; nothing is made."""
        folder = _folder(uri)
        if folder is None:
            return bool(Store(uri).names())
        return folder.is_dir() and any(folder.glob("*.lance"))

    def names(self) -> list[str]:
        """The tables that there are."""
        return list(self._database.list_tables(limit=1000).tables)

    def table(self, name: str, schema: pa.Schema) -> Table:
        """A table, made where it is missing; `schema` holds all its columns but `number`.

        Raises:
            ValueError: it is there with other columns.
        """
        full = schema.append(pa.field(NUMBER, pa.int64(), nullable=False))
        if name in self.names():
            opened = self._database.open_table(name)
        else:
            opened = self._database.create_table(name, schema=full, exist_ok=True)
        if opened.schema.names != full.names:
            odd = sorted({*opened.schema.names} ^ {*full.names})
            raise ValueError(
                f"the table {name} of {self.uri} must have the columns of this visionkit, but "
                f"differs in {', '.join(odd)}; use the version of visionkit that made it"
            )
        return self._held_by(name, opened)

    def existing(self, name: str) -> Table | None:
        """A table with the columns that it has, or None where there is none."""
        return (
            self._held_by(name, self._database.open_table(name)) if name in self.names() else None
        )

    def has_made(self, name: str) -> bool:
        """Whether a table is there by now, told by the folder alone; False in object storage."""
        if self.folder is None:
            return False
        return any(self.folder.glob(f"{name}.lance/_versions/*.manifest"))

    def _held_by(self, name: str, opened: lancedb.table.Table) -> Table:
        folder = None if self.folder is None else self.folder / f"{name}.lance"
        return Table(opened, opened.schema, folder)

    @contextmanager
    def reading(self, *, wait: bool) -> Iterator[bool]:
        """Whether what others have written may be taken in; others keep from it meanwhile.

        Without waiting it is not while another thread writes: then what is in memory is as it
        was before that, and nobody who only reads waits for the disk.
        """
        free = self._thread_lock.acquire(blocking=wait)
        try:
            yield free
        finally:
            if free:
                self._thread_lock.release()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keeps all others, threads and processes, from writing; may be entered twice."""
        with self._thread_lock:
            if self.folder is None or self._held:
                yield
                return
            with file_lock(self.folder / ".lock"):
                self._held += 1
                try:
                    yield
                finally:
                    self._held -= 1


@contextmanager
def without_collecting() -> Iterator[None]:
    """A block without garbage collection: 300,000 new values are made in 2 s, not in 6 s."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class Table:
    """One table; `fresh` gives what others and one's own process have added.

    Attributes:
        schema: with the column `number`.
    """

    def __init__(self, opened: lancedb.table.Table, schema: pa.Schema, folder: Path | None) -> None:
        self._opened, self.schema, self._folder = opened, schema, folder
        self._last, self._version, self._stamp = -1, -1, -1
        self._flushed: dict[str, set[str]] = {part: self._files(part) for part in _PARTS}

    @property
    def last(self) -> int:
        """The number of the last row that was read; -1 before the first."""
        return self._last

    def fresh(self) -> pa.Table:
        """The rows that were added since this was last asked, in their order."""
        if self._is_still():
            return self.schema.empty_table()
        self._see_latest()
        version = self._opened.version
        if version == self._version:
            return self.schema.empty_table()
        rows = self._newer() if self._last >= 0 else self._opened.to_arrow()
        rows = rows.cast(self.schema).sort_by(NUMBER)
        self._version = version
        if rows.num_rows:
            self._last = rows.column(NUMBER)[-1].as_py()
        return rows

    def skip(self) -> None:
        """Passes over all that was added so far without reading it."""
        self._see_latest()
        self._last = self._opened.count_rows() - 1

    def append(self, columns: pa.Table) -> pa.Table:
        """Adds rows, all or none, and returns them numbered; on the disk when it returns.

        Only while `Store.writing` is held, after `fresh` or `skip` was asked.
        """
        first = self._last + 1
        numbers = pa.array(range(first, first + columns.num_rows), pa.int64())
        rows = columns.append_column(self.schema.field(NUMBER), numbers).cast(self.schema)
        self._opened.add(rows)
        self._flush()
        self._last += columns.num_rows
        if self._opened.version % _COMPACT_AFTER == 0:  # each append makes one, of any process
            self._opened.optimize(cleanup_older_than=_KEPT)
            self._flush()
        self._version = self._opened.version
        return rows

    def rows(self, columns: list[str], where: str | None = None) -> pa.Table:
        """Some columns of the rows that a condition holds for, as the table is now."""
        self._see_latest()
        found = self._opened.search().select(columns)
        return (found if where is None else found.where(where)).to_arrow()

    def _flush(self) -> None:
        """Puts new files on the disk, what they refer to first, so that a power cut leaves them."""
        for part in _PARTS if self._folder is not None else ():
            files = self._files(part)
            for name in files - self._flushed[part]:
                _sync(f"{self._folder}/{part}/{name}")
            if files - self._flushed[part] and os.name != "nt":  # Windows can't open folders
                _sync(f"{self._folder}/{part}")
            self._flushed[part] = files

    def _files(self, part: str) -> set[str]:
        folder = None if self._folder is None else self._folder / part
        return set() if folder is None or not folder.is_dir() else set(os.listdir(folder))

    def _see_latest(self) -> None:
        self._opened.checkout_latest()  # type: ignore[no-untyped-call]

    def _newer(self) -> pa.Table:
        return self._opened.search().where(f"{NUMBER} > {self._last}").to_arrow()

    def _is_still(self) -> bool:
        """Whether surely nothing was added: a look at the folder, a hundredth of asking Lance."""
        if self._folder is None:
            return False
        stamp = os.stat(self._folder / "_versions").st_mtime_ns
        settled = time.time() - stamp / 1e9 > _TICK_SECONDS
        still = settled and stamp == self._stamp
        self._stamp = stamp if settled else -1
        return still


def _connect(uri: str) -> lancedb.DBConnection:
    """The database; its library takes a second to load, and predicting does without it."""
    try:
        import lancedb
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a catalog needs the package lancedb, which is not installed; "
            "pip install visionkit[flywheel]"
        ) from error
    return lancedb.connect(uri)


def _folder(uri: str) -> Path | None:
    """The folder of a database; None for object storage."""
    return None if "://" in uri else Path(uri).expanduser().absolute()


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
