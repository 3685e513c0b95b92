"""Where pictures lie that were moved after they came into the catalog."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from visionkit.flywheel.catalog.schema import PLACES
from visionkit.flywheel.catalog.store import Store, Table

_NAME = "places"


class PlaceTable:
    """Newer places of pictures; the last one of each counts.

    There is no such table before the first picture was moved. In object storage one that another
    process has made is seen when the catalog is opened.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._table: Table | None = store.existing(_NAME)

    def fresh(self) -> list[tuple[str, str]]:
        """Id and uri of the pictures that were moved since this was last asked."""
        if self._table is None and self._store.has_made(_NAME):
            self._table = self._store.existing(_NAME)
        return [] if self._table is None else _rows(self._table.fresh())

    def add(self, places: Mapping[str, str]) -> list[tuple[str, str]]:
        """Adds places by id and returns them; while `Store.writing` is held, after `fresh`."""
        self._table = self._table or self._store.table(_NAME, PLACES)
        columns = {"id": [*places.keys()], "uri": [*places.values()]}
        return _rows(self._table.append(pa.table(columns, schema=PLACES)))


def _rows(table: pa.Table) -> list[tuple[str, str]]:
    columns = (table.column(name).to_pylist() for name in ("id", "uri"))
    return list(zip(*columns, strict=True))
