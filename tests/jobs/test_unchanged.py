"""Pictures whose file has changed or gone since the catalog took them, where they are written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.jobs.conftest import Scenes, write_picture
from tests.worlds import photo
from visionkit.cli import main
from visionkit.data.formats import read
from visionkit.data.images import content_hash, read_image
from visionkit.data.table import load_table, to_samples
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.types import Sample


def run(*words: str) -> int:
    return main(list(words))


@pytest.fixture
def catalog(scenes: Scenes, tmp_path: Path) -> Catalog:
    """A version of four pictures, of which one was replaced since, one is gone, one damaged."""
    place = f"catalog={tmp_path / 'catalog'}"
    assert run("versions", "import", place, f"source={scenes.folder}") == 0
    assert run("merge", place) == 0
    height, width = read_image(scenes.folder / "0.png").shape[:2]
    write_picture(scenes.folder / "0.png", photo(5, height, width))
    (scenes.folder / "1.png").unlink()
    (scenes.folder / "nothing.png").write_bytes(b"\x89PNG\r\n")
    return open_catalog(tmp_path / "catalog")


def listed(path: Path) -> dict[str, str]:
    """Name of a picture -> what is said of it."""
    with path.open(encoding="utf-8", newline="") as file:
        return {Path(row["file"]).name: row["reason"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("form", ["coco", "voc", "yolo", "groundtruth", "csv"])
def test_only_pictures_that_are_as_the_catalog_took_them_are_exported(
    catalog: Catalog, scenes: Scenes, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    words = ("versions", "export", f"catalog={catalog.uri}", f"export_format={form}")
    assert run(*words, f"output={target}") == 0
    (found,) = to_samples(read(target, form).table)
    assert found.content_hash == content_hash(read_image(scenes.folder / "2.png"))
    assert [entry.label for entry in found.objects] == ["item 2"]
    reasons = listed(tmp_path / "out_problems.csv")
    assert reasons.keys() == {"0.png", "1.png", "nothing.png"}
    assert "the picture 0.png, as when the catalog took it, but shows another" in reasons["0.png"]
    assert "is gone; put it back, or import it from where it lies now" in reasons["1.png"]
    assert "damaged" in reasons["nothing.png"]
    said = capsys.readouterr().out
    assert "3 problems found: 3 left out" in said
    assert "v1: 1 picture, format" in said


@pytest.mark.parametrize("tool", ["label_studio", "cvat"])
def test_only_such_pictures_go_to_other_tools(catalog: Catalog, tmp_path: Path, tool: str) -> None:
    target = tmp_path / "out"
    words = ("versions", "export", f"catalog={catalog.uri}", f"export_format={tool}")
    assert run(*words, f"output={target}") == 0
    (written,) = (path for path in (target / "images").rglob("*") if path.is_file())
    assert written.name == "2.png.png"
    assert listed(tmp_path / "out_problems.csv").keys() == {"0.png", "1.png", "nothing.png"}


def test_only_such_pictures_are_asked_about(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path / "catalog", create=True)
    for number in range(3):
        path = write_picture(tmp_path / f"{number}.png", photo(number))
        height, width = photo(number).shape[:2]
        digest = content_hash(photo(number))
        catalog.add_samples([Sample(f"p{number}", path.as_posix(), width, height, digest)])
    write_picture(tmp_path / "0.png", photo(7))
    target = tmp_path / "out"
    assert run("versions", "ask", f"catalog={catalog.uri}", f"output={target}") == 0
    tasks = json.loads((target / "tasks.json").read_text("utf-8"))
    assert {task["data"]["visionkit_id"] for task in tasks} == {"p1", "p2"}
    assert listed(tmp_path / "out_problems.csv").keys() == {"0.png"}


def test_where_none_is_nothing_is_written(
    catalog: Catalog, scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scenes.folder / "2.png").unlink()
    target = tmp_path / "out"
    assert run("versions", "export", f"catalog={catalog.uri}", f"output={target}") == 2
    assert not target.exists()
    assert "nothing is left; 4 problems found" in capsys.readouterr().err
    assert len(listed(tmp_path / "out_problems.csv")) == 4


def test_a_picture_saved_again_with_the_same_pixels_is_the_same(
    scenes: Scenes, tmp_path: Path
) -> None:
    place = f"catalog={tmp_path / 'catalog'}"
    run("versions", "import", place, f"source={scenes.folder}")
    run("merge", place)
    path = scenes.folder / "0.png"
    before = path.read_bytes()
    path.write_bytes(before + b"more")  # behind the end of the PNG
    assert run("versions", "export", place, f"output={tmp_path / 'out'}") == 0
    assert len(to_samples(read(tmp_path / "out").table)) == 4
    assert not (tmp_path / "out_problems.csv").exists()


def test_the_table_alone_names_all_pictures(catalog: Catalog, tmp_path: Path) -> None:
    words = ("versions", "export", f"catalog={catalog.uri}", "export_format=parquet")
    assert run(*words, f"output={tmp_path / 'out'}") == 0
    assert to_samples(load_table(tmp_path / "out.parquet")) == catalog.at("v1")
