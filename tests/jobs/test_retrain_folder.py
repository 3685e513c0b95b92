"""Where a retraining writes: never over a model in use, nor over what is no retraining."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.jobs.turning import digits
from visionkit.cli.compose import compose
from visionkit.config.flywheel import RetrainConfig
from visionkit.files import write_text
from visionkit.flywheel.catalog import Model
from visionkit.jobs.catalogued import model_name
from visionkit.jobs.retrain_folder import empty_folder


def config(folder: Path, *words: str) -> RetrainConfig:
    given = ["task=classification", "catalog=c", f"output={folder}", *words]
    return compose("retrain", RetrainConfig, given).config


def retraining(folder: Path) -> Path:
    """A folder as a retraining leaves it."""
    write_text(folder / "config.yaml", "task: {}\nloop: {}\ncatalog: c\n")
    write_text(folder / "challenger" / "checkpoints" / "last.ckpt", "old")
    write_text(folder / "data" / "output-train.manifest", "{}\n")
    return folder


def test_a_new_or_empty_folder_is_taken(tmp_path: Path) -> None:
    for name in ("new", "empty"):
        folder = empty_folder(config(tmp_path / name), [])
        assert folder == tmp_path / name
        assert list(folder.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match=r"output must be a folder, but .*file is a file"):
        empty_folder(config(tmp_path / "file"), [])


def test_an_old_retraining_is_emptied_where_that_is_asked_for(tmp_path: Path) -> None:
    folder = retraining(tmp_path / "old")
    with pytest.raises(FileExistsError, match="or overwrite=true"):
        empty_folder(config(folder), [])
    assert (folder / "challenger" / "checkpoints" / "last.ckpt").is_file()
    retired = Model("r", str(folder / "challenger" / "bundle"), status="retired")
    elsewhere = Model("e", str(tmp_path / "old-champion"), status="champion")
    assert empty_folder(config(folder, "overwrite=true"), [retired, elsewhere]) == folder
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("status", ["champion", "challenger"])
def test_a_bundle_that_the_catalog_needs_is_not_deleted(tmp_path: Path, status: str) -> None:
    folder = retraining(tmp_path / "old")
    link = tmp_path / "link"
    link.symlink_to(folder)
    needed = Model("m1", str(link / "challenger" / "bundle"), status=status)  # type: ignore[arg-type]
    wanted = f"output={re.escape(str(folder))} .* bundle of the {status} m1 .*leave output away"
    with pytest.raises(FileExistsError, match=wanted):
        empty_folder(config(folder, "overwrite=true"), [needed])
    assert (folder / "challenger" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("name", ["notes.txt", "frozen_test.json", "samples.lance"])
def test_what_is_no_retraining_is_not_deleted(tmp_path: Path, name: str) -> None:
    folder = retraining(tmp_path / "old")
    write_text(folder / name, "")
    with pytest.raises(FileExistsError, match=f"nothing but a retraining .* got {name}; choose"):
        empty_folder(config(folder, "overwrite=true"), [])
    (folder / name).unlink()
    write_text(folder / "config.yaml", "task: {}\ndata: {}\n")  # of a training
    with pytest.raises(FileExistsError, match="nothing but a retraining"):
        empty_folder(config(folder, "overwrite=true"), [])
    assert (folder / "challenger" / "checkpoints" / "last.ckpt").is_file()


def test_what_the_retraining_itself_uses_is_not_deleted(tmp_path: Path) -> None:
    folder = retraining(tmp_path / "old")
    used = f"data.items={folder / 'challenger' / 'bundle' / 'gallery'}"
    with pytest.raises(FileExistsError, match=re.escape(f"but {used} lies in {folder}")):
        empty_folder(config(folder, used, "overwrite=true"), [])
    assert (folder / "challenger" / "checkpoints" / "last.ckpt").is_file()


def test_the_same_words_again_do_not_write_over_the_champion(tmp_path: Path) -> None:
    world = digits(tmp_path)
    world.turn("same", "overwrite=true")
    first = world.catalog.champion()
    assert first is not None
    world.answer(25)
    with pytest.raises(FileExistsError, match=f"bundle of the champion {first.name}"):
        world.turn("same", "overwrite=true")
    assert model_name(first.bundle) == first.name
    assert world.catalog.champion() == first
    # Once another is in use the folder is free, and nothing of the old run is left in it.
    shutil.copytree(first.bundle, tmp_path / "elsewhere")
    world.catalog.add_model(Model("other", str(tmp_path / "elsewhere")))
    world.catalog.promote("other")
    write_text(tmp_path / "same" / "challenger" / "checkpoints" / "last.ckpt", "old")
    folder = world.turn("same", "overwrite=true")
    second = world.catalog.models()[-1]
    assert second.parent == "other"
    assert model_name(folder / "challenger" / "bundle") == second.name
    assert not (folder / "challenger" / "checkpoints").exists()
