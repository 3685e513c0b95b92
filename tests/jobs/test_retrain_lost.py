"""Retraining where files of the catalog are gone, or show other pictures by now."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from visionkit.cli.compose import compose
from visionkit.config.flywheel import RetrainConfig
from visionkit.data.demo_digits import make_demo_digits
from visionkit.data.formats import read
from visionkit.data.table import to_samples
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.jobs.retrain import retrain
from visionkit.types import Sample


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """60 labelled digits, of which every third is a test picture."""
    found = to_samples(read(make_demo_digits(tmp_path / "digits", count=60), "folders").table)
    catalog = open_catalog(tmp_path / "catalog", create=True)
    catalog.add_samples(
        [
            replace(sample, split="train" if number % 3 else "test")
            for number, sample in enumerate(found)
        ],
        reviewed=True,
    )
    return catalog


def of_split(catalog: Catalog, split: str) -> list[Sample]:
    return [sample for sample in catalog.samples() if sample.split == split]


def add_answered(catalog: Catalog) -> None:
    """Adds a labelled copy, so that there is something to do."""
    catalog.add_samples([replace(of_split(catalog, "train")[-1], id="copy")], reviewed=True)


def run(catalog: Catalog, folder: Path, *words: str) -> Path:
    given = [
        "task=classification",
        f"catalog={catalog.uri}",
        "task.image_size=64",
        "task.views=1",
        "trainer.accelerator=cpu",
        "loop.least_corrections=1",
        f"output={folder}",
        *words,
    ]
    retrain(compose("retrain", RetrainConfig, given).config, folder)
    return folder


def test_a_file_that_shows_another_picture_by_now_is_not_learned_from(
    catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replaced, gone, other = of_split(catalog, "train")[:3]
    shutil.copyfile(other.uri, replaced.uri)  # a digit of the same size, with the old one's label
    Path(gone.uri).unlink()
    folder = run(catalog, tmp_path / "run", "loop.promote=false")
    manifest = (folder / "data" / "output-train.manifest").read_text("utf-8")
    assert [sample.uri in manifest for sample in (replaced, gone, other)] == [False, False, True]
    with (folder / "problems.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["file"]: row["reason"] for row in csv.DictReader(file)}
    assert set(rows) == {replaced.uri, gone.uri}
    assert "shows another one now; put it back" in rows[replaced.uri]
    assert "is gone; put it back" in rows[gone.uri]
    assert "2 problems found" in capsys.readouterr().out
    add_answered(catalog)
    before = (folder / "problems.csv").stat().st_mtime_ns
    run(catalog, folder, "overwrite=true")
    assert (folder / "problems.csv").stat().st_mtime_ns > before


def test_a_frozen_picture_that_is_gone_ends_it_before_the_training(
    catalog: Catalog, tmp_path: Path
) -> None:
    run(catalog, tmp_path / "first")
    gone = of_split(catalog, "test")[0]
    Path(gone.uri).unlink()
    add_answered(catalog)
    lost = rf"1 gone .{gone.id}.*put files back.*loop.refreeze=true"
    with pytest.raises(ValueError, match=lost):
        run(catalog, tmp_path / "second")
    assert not (tmp_path / "second").exists()
    folder = run(catalog, tmp_path / "third", "loop.refreeze=true")
    tested = (folder / "data" / "output-test.manifest").read_text("utf-8")
    assert gone.uri not in tested
    assert len(tested.splitlines()) == 19


def test_what_is_gone_is_not_frozen(catalog: Catalog, tmp_path: Path) -> None:
    gone = of_split(catalog, "test")[0]
    Path(gone.uri).unlink()
    folder = run(catalog, tmp_path / "run")
    assert gone.uri not in (folder / "data" / "output-test.manifest").read_text("utf-8")
    assert open_catalog(catalog.uri).champion() is not None
