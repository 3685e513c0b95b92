from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from visionkit.data.table import (
    SCHEMA,
    absolute_uris,
    load_table,
    relative_uris,
    save_table,
    to_samples,
    to_table,
)
from visionkit.types import ObjectBox, Sample

EMPTY = Sample("a", "x/a.jpg", 3, 4, "h1")
FULL = Sample(
    "b",
    "x/ロゴ 1.jpg",
    300,
    200,
    "h2",
    "val",
    ("k", "l"),
    (
        ObjectBox("cola", (1.0, 2.5, 30.0, 40.0)),
        ObjectBox("=cmd()", (0.0, 0.0, 1.0, 1.0), "model-3", "2026-11-23T10:00:00Z"),
    ),
)


@pytest.mark.parametrize("samples", [[], [EMPTY], [FULL], [EMPTY, FULL]], ids=len)
def test_round_trip(tmp_path: Path, samples: list[Sample]) -> None:
    table = to_table(samples)
    assert table.schema.equals(SCHEMA)
    assert to_samples(table) == samples
    save_table(table, tmp_path / "table.parquet")
    assert to_samples(load_table(tmp_path / "table.parquet")) == samples
    assert [file.name for file in tmp_path.iterdir()] == ["table.parquet"]


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([EMPTY, EMPTY], "ids must differ, got 'a' twice"),
        ([replace(EMPTY, split="dev")], "split of a must be"),  # type: ignore[arg-type]
        ([replace(EMPTY, labels=("",))], "must not be empty"),
        ([replace(EMPTY, labels=(" cola",))], "no outer blanks"),
        ([replace(EMPTY, labels=("a\nb",))], "no control characters"),
        ([replace(EMPTY, objects=(ObjectBox("a", (0, 0, float("nan"), 1)),))], "finite"),
    ],
)
def test_bad_samples_are_refused(samples: list[Sample], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        to_table(samples)


def test_uris_move_with_their_root(tmp_path: Path) -> None:
    table = to_table([EMPTY, FULL])
    absolute = absolute_uris(table, tmp_path)
    assert to_samples(absolute)[0].uri == (tmp_path / "x/a.jpg").as_posix()
    assert absolute_uris(absolute, "/elsewhere").equals(absolute)
    assert relative_uris(absolute, tmp_path).equals(table)
    with pytest.raises(ValueError, match="must lie below"):
        relative_uris(absolute, tmp_path / "other")


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "table.parquet"
    with pytest.raises(FileNotFoundError, match=r"table\.parquet"):
        load_table(file)
    file.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ValueError, match="is damaged"):
        load_table(file)
    pq.write_table(pa.table({"a": [1]}), file)
    with pytest.raises(ValueError, match="says no version"):
        load_table(file)
    pq.write_table(to_table([]).replace_schema_metadata({"visionkit_schema": "2"}), file)
    with pytest.raises(ValueError, match="got 2; update visionkit"):
        load_table(file)
    pq.write_table(to_table([]).drop_columns(["split"]), file)
    with pytest.raises(ValueError, match=r"missing .*\['split'\]"):
        load_table(file)
