"""The columns of the catalog's tables, and how they become values: by column, not by row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from visionkit.data import table
from visionkit.types import ObjectBox, Sample


def _text(name: str) -> pa.Field:
    return pa.field(name, pa.string(), nullable=False)


def _whole(name: str) -> pa.Field:
    return pa.field(name, pa.int64(), nullable=False)


_LABELS, _OBJECTS = table.SCHEMA.field("labels"), table.SCHEMA.field("objects")
_REVIEWED = pa.field("reviewed", pa.bool_(), nullable=False)

SAMPLES = pa.schema([*table.SCHEMA, _REVIEWED])
"""Pictures as they came in; `reviewed` where a person had said before what they show."""

PLACES = pa.schema([_text("id"), _text("uri")])
"""Where pictures lie that were moved since they came; the last row of a picture counts."""

THUMBNAILS = pa.schema([_text("id"), pa.field("jpeg", pa.binary(), nullable=False)])

PROPOSALS = pa.schema(
    [
        *(_text(name) for name in ("id", "sample_id", "task", "label")),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("threshold", pa.float32(), nullable=False),
        pa.field("box", pa.list_(pa.float32(), 4)),  # xyxy, pixels, upright; null for the whole
        *(_text(name) for name in ("model", "runner_up")),
        pa.field("runner_up_score", pa.float32(), nullable=False),
        *(_whole(name) for name in ("inliers", "track")),
        pa.field("seconds", pa.float64(), nullable=False),
        _text("created"),
        _whole("batch"),
    ]
)
"""What models said. What was added at once has one `batch`; of a model's answers about a picture
those of the last batch count. A row without a label says that the model was asked, and for which
tasks, if that is known (with commas between)."""

CORRECTIONS = pa.schema(
    [
        *(_text(name) for name in ("id", "sample_id")),
        _whole("revision"),
        *(_text(name) for name in ("reviewer", "action")),
        _LABELS,
        _OBJECTS,
        _REVIEWED,
        pa.field("seen", pa.list_(pa.string()), nullable=False),
        _text("model"),
        _whole("milliseconds"),
        _text("created"),
    ]
)
"""The log of answers. With "undo" `labels` and `objects` are what it made of the picture, and
`reviewed` is always what is so from that answer on."""

VERSIONS = pa.schema(
    [
        _text("name"),
        _whole("ordinal"),
        *(_text(name) for name in ("created", "author", "note", "restored")),
        *(_whole(name) for name in ("samples", "boxes", "corrections")),
        *(_whole(name) for name in ("last_sample", "last_correction")),
    ]
)
"""Versions, each the pictures and answers up to two numbers. `restored` names the one it equals."""

MODELS = pa.schema(
    [
        *(_text(name) for name in ("name", "bundle", "parent", "version", "config_hash", "code")),
        *(_text(name) for name in ("created", "metrics", "status")),  # metrics: JSON
    ]
)
"""Bundles and what they were made of; the last row of a name counts."""


def embeddings_schema(length: int) -> pa.Schema:
    """The columns of a table of embeddings of so many numbers."""
    return pa.schema(
        [_text("id"), pa.field("vector", pa.list_(pa.float32(), length), nullable=False)]
    )


def samples_of(rows: pa.Table) -> list[Sample]:
    """The rows of a table with the columns of `visionkit.data.table` as samples."""
    names = ("id", "uri", "width", "height", "content_hash", "split")
    columns = [rows.column(name).to_pylist() for name in names]
    columns += [texts_of(rows.column("labels")), objects_of(rows.column("objects"))]
    return [Sample(*values) for values in zip(*columns, strict=True)]


def texts_of(column: pa.ChunkedArray) -> list[tuple[str, ...]]:
    """Lists of strings as tuples."""
    return [tuple(texts) for texts in column.to_pylist()]


def objects_of(column: pa.ChunkedArray) -> list[tuple[ObjectBox, ...]]:
    """Lists of boxes with their labels, a tuple a row."""
    result: list[tuple[ObjectBox, ...]] = []
    for chunk in column.chunks:
        flat = chunk.flatten()
        columns = [
            boxes_of(flat.field(name)) if name == "box" else flat.field(name).to_pylist()
            for name in ("label", "box", "source", "created")
        ]
        boxes = [ObjectBox(*values) for values in zip(*columns, strict=True)]
        remaining = iter(boxes)
        result += [tuple(islice(remaining, n)) for n in chunk.value_lengths().to_pylist()]
    return result


def boxes_of(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Boxes as tuples of 4 numbers, or None where there is none."""
    numbers = [pc.list_element(column, place).to_pylist() for place in range(4)]
    return [None if box[0] is None else box for box in zip(*numbers, strict=True)]


def one_row(schema: pa.Schema, values: dict[str, Any]) -> pa.Table:
    """A table of one row."""
    return pa.Table.from_pylist([values], schema=schema)


def strings(name: str, values: Sequence[str]) -> str:
    """A condition that a column is one of some texts, for a filter of Lance."""
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{name} IN ({quoted})"
