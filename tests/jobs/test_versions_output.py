"""Where versions are written, and what is not lost by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.conftest import Scenes, write_picture
from tests.worlds import photo
from visionkit.cli import main


def run(*words: str) -> int:
    return main(list(words))


@pytest.fixture
def place(scenes: Scenes, tmp_path: Path) -> str:
    """A catalog with a version of four pictures."""
    place = f"catalog={tmp_path / 'home' / 'catalog'}"
    assert run("versions", "import", place, f"source={scenes.folder}") == 0
    assert run("merge", place) == 0
    return place


@pytest.mark.parametrize("form", ["coco", "cvat"])
@pytest.mark.parametrize("output", ["scenes", "home", "home/catalog"])
def test_an_output_that_holds_the_catalog_or_its_pictures_is_not_replaced(
    place: str, tmp_path: Path, output: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    words = ("versions", "export", place, f"export_format={form}", "overwrite=true")
    assert run(*words, f"output={tmp_path / output}") == 2
    said = capsys.readouterr().err
    assert "output must hold nothing that the catalog needs" in said
    assert "choose another" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_pictures_of_which_a_format_can_t_say_what_is_known_are_counted(
    place: str, scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "classes" / "shelf" / "9.png", photo(9))
    run("versions", "import", place, f"source={tmp_path / 'classes'}", "source_format=folders")
    run("merge", place)
    for form, unsaid in (("coco", True), ("csv", False), ("cvat", False)):
        capsys.readouterr()
        words = (f"export_format={form}", f"output={tmp_path / form}")
        assert run("versions", "export", place, *words) == 0
        said = capsys.readouterr().out
        assert ("1 picture with a label and no box: coco can't say so" in said) is unsaid


def test_what_belongs_to_a_catalog_of_object_storage_is_written_here(
    scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (scenes.folder / "1.png").write_bytes(b"\x89PNG")
    words = ("catalog=memory://bucket/shop/", f"source={scenes.folder}")
    assert run("versions", "import", *words) == 0
    assert (tmp_path / "shop_problems.csv").is_file()
    assert not (tmp_path / "memory:").exists()


def test_a_catalog_at_home_is_written_beside_it(
    scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("versions", "import", "catalog=~/shop", f"source={scenes.folder}") == 0
    assert run("merge", "catalog=~/shop") == 0
    assert run("versions", "export", "catalog=~/shop") == 0
    assert (tmp_path / "home" / "shop_v1_coco" / "annotations.json").is_file()
    assert run("retrain", "catalog=~/shop", "task=localization", "loop.enabled=false") == 0
    assert list((tmp_path / "elsewhere").iterdir()) == []
