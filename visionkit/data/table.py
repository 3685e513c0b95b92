"""The one table of a data set: a row an image, as an Arrow table and as Parquet on disk."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq

from visionkit.files import atomic_path
from visionkit.types import ObjectBox, Sample, Split

SCHEMA_VERSION = 1
_VERSION_KEY = b"visionkit_schema"
_UNFIT = ("Cc", "Cs", "Zl", "Zp")  # Unicode: control, surrogate, line and paragraph separator

OBJECT = pa.struct(
    [
        pa.field("label", pa.string(), nullable=False),
        pa.field("box", pa.list_(pa.float32(), 4), nullable=False),  # xyxy, pixels, upright
        pa.field("source", pa.string(), nullable=False),  # "human" or the name of a model
        pa.field("created", pa.string(), nullable=False),  # ISO 8601, or ""
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("objects", pa.list_(OBJECT), nullable=False),
    ],
    metadata={_VERSION_KEY: str(SCHEMA_VERSION)},
)


def to_table(samples: Sequence[Sample]) -> pa.Table:
    """The samples as an Arrow table of `SCHEMA`, in the order given; none give no rows.

    Raises:
        ValueError: two samples have one id, a split or label is none, or a box is not finite.
    """
    _check_ids(samples)
    for sample in samples:
        _check_sample(sample)
    rows = [
        {
            "id": sample.id,
            "uri": sample.uri,
            "width": sample.width,
            "height": sample.height,
            "content_hash": sample.content_hash,
            "split": sample.split,
            "labels": list(sample.labels),
            "objects": [_object_row(entry) for entry in sample.objects],
        }
        for sample in samples
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def to_samples(table: pa.Table) -> list[Sample]:
    """The rows of a table of `SCHEMA` as samples, in their order."""
    return [
        Sample(
            **{key: row[key] for key in ("id", "uri", "width", "height", "content_hash", "split")},
            labels=tuple(row["labels"]),
            objects=tuple(ObjectBox(**{**box, "box": tuple(box["box"])}) for box in row["objects"]),
        )
        for row in table.to_pylist()
    ]


def absolute_uris(table: pa.Table, root: str | Path) -> pa.Table:
    """The table with relative uris taken as below `root`; absolute ones stay."""
    base = Path(root).absolute()
    return _with_column(table, "uri", [(base / uri).as_posix() for uri in _column(table, "uri")])


def relative_uris(table: pa.Table, root: str | Path) -> pa.Table:
    """The table with uris below `root` made relative to it, so that both can move together.

    Raises:
        ValueError: a picture does not lie below `root`.
    """
    base = Path(root).absolute()
    uris = [Path(uri) for uri in _column(table, "uri")]
    outside = [uri for uri in uris if uri.is_absolute() and not uri.is_relative_to(base)]
    if outside:
        raise ValueError(
            f"every picture must lie below {base}, got {outside[0]}; choose a folder above both"
        )
    relative = [uri.relative_to(base) if uri.is_absolute() else uri for uri in uris]
    return _with_column(table, "uri", [uri.as_posix() for uri in relative])


def with_splits(table: pa.Table, splits: Sequence[Split]) -> pa.Table:
    """The table with one split a row set to `splits`."""
    return _with_column(table, "split", list(splits))


def save_table(table: pa.Table, path: str | Path) -> None:
    """Writes the table as Parquet, whole or not at all.

    Raises:
        ValueError: the table has other columns than `SCHEMA`.
        RuntimeError: the disk is full.
    """
    _check_schema(table.schema, Path(path))
    with atomic_path(path) as partial:
        pq.write_table(table.cast(SCHEMA), partial)


def load_table(path: str | Path) -> pa.Table:
    """The table that `save_table` wrote.

    Raises:
        ValueError: the file is damaged, no table of visionkit, or of a newer version.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} must be a table (Parquet), but there is none")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(
            f"{path} must be a Parquet file, but is damaged ({error}); make it again"
        ) from error
    _check_version(table.schema, path)
    _check_schema(table.schema, path)
    return table


def _object_row(entry: ObjectBox) -> dict[str, object]:
    return {
        "label": entry.label,
        "box": list(entry.box),
        "source": entry.source,
        "created": entry.created,
    }


def _check_ids(samples: Sequence[Sample]) -> None:
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise ValueError(f"ids must differ, got {sample.id!r} twice; rename one")
        seen.add(sample.id)


def _check_sample(sample: Sample) -> None:
    if sample.split not in get_args(Split):
        raise ValueError(f"split of {sample.id} must be train, val, test or empty: {sample.split}")
    for label in (*sample.labels, *(entry.label for entry in sample.objects)):
        reason = label_problem(label)
        if reason:
            raise ValueError(f"{reason} [sample {sample.id}]; rename it")
    for entry in sample.objects:
        if not all(math.isfinite(value) for value in entry.box):
            raise ValueError(f"a box must be 4 finite numbers, got {entry.box} [{sample.id}]")


def label_problem(label: str) -> str:
    """What is wrong with a label, in words, or "" where it is good.

    Blanks at the ends, line breaks and other control characters are what the formats can't
    carry.
    """
    if not label.strip():
        return "the label must not be empty"
    unfit = any(unicodedata.category(sign) in _UNFIT or sign in "\ufffe\uffff" for sign in label)
    if unfit or label != label.strip():
        return f"the label must have no control characters and no outer blanks, got {label!r}"
    return ""


def _check_version(schema: pa.Schema, path: Path) -> None:
    stated = b"" if schema.metadata is None else schema.metadata.get(_VERSION_KEY, b"")
    if not stated.isdigit():
        raise ValueError(f"{path} must be a table written by visionkit, but says no version")
    if int(stated) > SCHEMA_VERSION:
        raise ValueError(
            f"{path} must have version {SCHEMA_VERSION} or older, got {int(stated)}; "
            "update visionkit (pip install -U visionkit)"
        )


def _check_schema(schema: pa.Schema, path: Path) -> None:
    if not schema.equals(SCHEMA):
        unfit = [
            field.name
            for field in SCHEMA
            if field.name not in schema.names or not schema.field(field.name).equals(field)
        ]
        unknown = sorted(set(schema.names) - set(SCHEMA.names))
        raise ValueError(
            f"{path} must have the columns of visionkit's table; "
            f"missing or of another type: {unfit or 'none'}; unknown: {unknown or 'none'}"
        )


def _column(table: pa.Table, name: str) -> list[str]:
    values: list[str] = table.column(name).to_pylist()
    return values


def _with_column(table: pa.Table, name: str, values: Sequence[str]) -> pa.Table:
    index = SCHEMA.get_field_index(name)
    return table.set_column(index, SCHEMA.field(index), pa.array(values, pa.string()))
