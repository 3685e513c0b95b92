"""The pictures of a catalog with their thumbnails and embeddings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from visionkit.data.table import SCHEMA, to_table
from visionkit.flywheel.answers import Truth
from visionkit.flywheel.catalog.places import PlaceTable
from visionkit.flywheel.catalog.schema import (
    SAMPLES,
    THUMBNAILS,
    embeddings_schema,
    samples_of,
    strings,
)
from visionkit.flywheel.catalog.store import Store, Table, without_collecting
from visionkit.types import Sample

Embeddings = NDArray[np.float32]
"""(N, D) float32, one row a picture."""

_SAMPLES, _THUMBNAILS, _EMBEDDINGS = "samples", "thumbnails", "embeddings"
_FEW = 100  # samples whose rows are looked for one by one


class SampleTable:
    """The pictures as they came into the catalog, but where they lie now.

    Attributes:
        all: in the order they came.
        reviewed: one a sample, whether it came as something that a person has said.
        moved: where in `all` those stand that were moved, in that order.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._table = store.table(_SAMPLES, SAMPLES)
        self._thumbnails = store.table(_THUMBNAILS, THUMBNAILS)
        self._moves = PlaceTable(store)
        self._frames = "" if store.folder is None else f"{store.folder.as_posix()}/frames"
        self._places: dict[str, int] = {}
        self.moved: list[int] = []
        self.all: list[Sample] = []
        self.reviewed: list[bool] = []

    @property
    def last(self) -> int:
        """The number of the sample that came last; -1 before the first."""
        return self._table.last

    def follow(self) -> list[Sample]:
        """Takes in what was added by anybody, and returns it."""
        moves = self._moves.fresh()  # before them, so that every one's picture is among them
        new = self._take(self._table.fresh())
        self._move(moves)
        return new

    def move(self, places: Mapping[str, str]) -> None:
        """Says where pictures lie now, by id; while `Store.writing` is held, after `follow`."""
        if places:
            self._move(self._moves.add(places))

    def place(self, sample_id: str) -> int:
        """Where in `all` a sample stands.

        Raises:
            KeyError: there is no such sample.
        """
        try:
            return self._places[sample_id]
        except KeyError:
            raise KeyError(
                f"the sample must be in the catalog, got {sample_id!r}, which is not; "
                "add it with catalog= of predict"
            ) from None

    def __contains__(self, sample_id: str) -> bool:
        return sample_id in self._places

    def imported(self, place: int) -> Truth:
        """What was said of a picture when it came."""
        sample = self.all[place]
        return Truth(sample.labels, sample.objects, 0, self.reviewed[place])

    def add(
        self,
        samples: Sequence[Sample],
        *,
        reviewed: Sequence[bool],
        thumbnails: Sequence[bytes] | None,
        embeddings: Embeddings | None,
    ) -> list[Sample]:
        """The samples that are new and were added; while `Store.writing` is held.

        What belongs to a sample is written before it, so that none is ever without.
        """
        self._check_taken(samples)
        ids = [sample.id for sample in samples]
        table = to_table(samples).append_column(
            SAMPLES.field("reviewed"), pa.array(reviewed, pa.bool_())
        )
        if thumbnails is not None:
            self._add_thumbnails(ids, thumbnails)
        if embeddings is not None:
            self._add_embeddings(ids, embeddings)
        fresh = [place for place, name in enumerate(ids) if name not in self._places]
        return self._take(self._table.append(table.take(fresh))) if fresh else []

    def thumbnail(self, sample_id: str) -> bytes:
        """JPEG of a sample, or b"" where there is none."""
        found = self._thumbnails.rows(["jpeg"], strings("id", [sample_id]))
        return bytes(found.column("jpeg")[0].as_py()) if found.num_rows else b""

    def embeddings(self, ids: Sequence[str] | None = None) -> tuple[list[str], Embeddings]:
        """The samples that have an embedding, in the order they got it, and their embeddings."""
        table = self._store.existing(_EMBEDDINGS)
        if table is None:
            return [], np.zeros((0, 0), np.float32)
        where = strings("id", ids) if ids and len(ids) <= _FEW else None
        rows = table.rows(["id", "vector"], where)
        names = rows.column("id").to_pylist()
        flat = [chunk.flatten().to_numpy() for chunk in rows.column("vector").chunks]
        vectors = np.concatenate(flat) if flat else np.zeros(0, np.float32)
        vectors = vectors.reshape(len(names), _length(table))
        wanted = None if ids is None else set(ids)
        kept = {name: row for row, name in enumerate(names) if wanted is None or name in wanted}
        return list(kept), vectors if len(kept) == len(names) else vectors[list(kept.values())]

    def embedding_length(self) -> int | None:
        """How many numbers an embedding has; None before the first."""
        table = self._store.existing(_EMBEDDINGS)
        return None if table is None else _length(table)

    def thumbnailed(self) -> set[str]:
        """The samples that have a thumbnail."""
        return set(self._thumbnails.rows(["id"]).column("id").to_pylist())

    def embedded(self) -> set[str]:
        """The samples that have an embedding."""
        table = self._store.existing(_EMBEDDINGS)
        return set() if table is None else set(table.rows(["id"]).column("id").to_pylist())

    def _check_taken(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            place = self._places.get(sample.id)
            if place is not None and self.all[place].content_hash != sample.content_hash:
                raise ValueError(
                    f"the id of a new picture must be free, but {sample.id!r} is that of "
                    f"{self.all[place].uri}, and {sample.uri} shows something else; give it "
                    "another id, such as its content_hash"
                )

    def _add_thumbnails(self, ids: Sequence[str], thumbnails: Sequence[bytes]) -> None:
        if len(thumbnails) != len(ids):
            raise ValueError(f"thumbnails must be one a sample ({len(ids)}), got {len(thumbnails)}")
        self._thumbnails.skip()
        had = self._having(self._thumbnails, ids)
        new = [place for place, name in enumerate(ids) if name not in had and thumbnails[place]]
        if new:
            columns = {"id": [ids[i] for i in new], "jpeg": [thumbnails[i] for i in new]}
            self._thumbnails.append(pa.table(columns, schema=THUMBNAILS))

    def _add_embeddings(self, ids: Sequence[str], embeddings: Embeddings) -> None:
        if embeddings.ndim != 2 or len(embeddings) != len(ids):
            raise ValueError(
                f"embeddings must be ({len(ids)}, D), one a sample, got {embeddings.shape}"
            )
        length = embeddings.shape[1]
        table = self._store.existing(_EMBEDDINGS)
        table = table or self._store.table(_EMBEDDINGS, embeddings_schema(length))
        if length != _length(table):
            raise ValueError(
                f"embeddings must have {_length(table)} numbers as those in the catalog, got "
                f"{length}; those of two backbones can't be compared: leave them out, or use "
                "another catalog"
            )
        table.skip()
        had = self._having(table, ids)
        new = [place for place, name in enumerate(ids) if name not in had]
        if new:
            flat = pa.array(np.asarray(embeddings, np.float32)[new].ravel())
            vectors = pa.FixedSizeListArray.from_arrays(flat, length)
            columns = {"id": [ids[i] for i in new], "vector": vectors}
            table.append(pa.table(columns, schema=embeddings_schema(length)))

    def _having(self, table: Table, ids: Sequence[str]) -> set[str]:
        known = [name for name in ids if name in self._places]
        if not known:
            return set()
        return set(table.rows(["id"], strings("id", known)).column("id").to_pylist())

    def _move(self, moves: Sequence[tuple[str, str]]) -> None:
        for name, uri in moves:
            place = self._places[name]
            self.all[place] = replace(self.all[place], uri=uri)
            self.moved.append(place)

    def _with_own_frame(self, sample: Sample) -> Sample:
        """The sample, at its place in the catalog's folder if that was moved with its frame."""
        folder, _, name = sample.uri.rpartition("/")
        if not self._frames or folder == self._frames or not folder.endswith("/frames"):
            return sample
        own = f"{self._frames}/{name}"
        moved = os.path.isfile(own) and not os.path.isfile(sample.uri)
        return replace(sample, uri=own) if moved else sample

    @without_collecting()
    def _take(self, rows: pa.Table) -> list[Sample]:
        new = [self._with_own_frame(sample) for sample in samples_of(rows.select(SCHEMA.names))]
        for sample in new:
            self._places[sample.id] = len(self._places)
        self.all += new
        self.reviewed += rows.column("reviewed").to_pylist()
        return new


def _length(table: Table) -> int:
    return int(table.schema.field("vector").type.list_size)
