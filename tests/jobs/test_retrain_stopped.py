"""A retraining that is stopped while it settles its model leaves none undecided."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.jobs.turning import digits
from visionkit.flywheel.catalog import open_catalog
from visionkit.flywheel.catalog.store import Table


def test_a_winner_is_in_use_whenever_the_retraining_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = digits(tmp_path)

    def full(*_: object) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("visionkit.jobs.retrain.write_json", full)
        with pytest.raises(RuntimeError, match="the disk is full"):
            world.turn("full")
    assert world.catalog.models() == []
    append = Table.append

    def killed(table: Table, rows: pa.Table) -> pa.Table:
        """What happens to a process that is killed after a row of a model was written."""
        found = append(table, rows)
        if "bundle" in rows.column_names:
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Table, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            world.turn("killed")
    catalog = open_catalog(world.catalog.uri)
    champion = catalog.champion()
    assert champion is not None
    assert champion.metrics["promoted"] is True
    assert Path(champion.bundle) == tmp_path / "killed" / "challenger" / "bundle"
    assert (tmp_path / "killed" / "verdict.json").is_file()
    capsys.readouterr()
    world.turn("next")
    assert "0 pictures are new or corrected" in capsys.readouterr().out
