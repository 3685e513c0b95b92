"""Bundles: what is loaded is what was saved, and what was damaged or made up is refused."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from tests.inference.bundles import change, new_predictor, reseal
from tests.worlds import PastedScenes, new_finder, photo, same_finds, three_items, whole_backbone
from visionkit.inference import store as bundle_store
from visionkit.inference.predictor import Predictor
from visionkit.matching import store
from visionkit.models import bundle as bundle_module


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """Three items; not to be changed."""
    return Predictor(
        whole_backbone(), new_finder(three_items()), metadata={"metrics": {"ap50": 0.5}}
    )


@pytest.fixture(scope="module")
def saved(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of it; not to be changed."""
    folder = tmp_path_factory.mktemp("saved") / "bundle"
    predictor.save(folder)
    return folder


def test_loaded_as_saved(predictor: Predictor, saved: Path) -> None:
    loaded = Predictor.load(saved, device="cpu")
    assert loaded.items == predictor.items
    assert loaded.thresholds == predictor.thresholds
    assert loaded.metadata == {"metrics": {"ap50": 0.5}}
    assert loaded.finder.settings == predictor.finder.settings
    assert loaded.finder.backbone.weights_id == predictor.finder.backbone.weights_id
    for index in range(4):
        image = PastedScenes(4)[index].image
        same_finds(loaded.find(image, score_threshold=0), predictor.find(image, score_threshold=0))


def test_an_empty_gallery_saved_and_loaded(tmp_path: Path) -> None:
    new_predictor().save(tmp_path / "bundle")
    loaded = Predictor.load(tmp_path / "bundle", device="cpu")
    assert len(loaded.find(photo(1))) == 0
    loaded.add_item("soda", [photo(3)])
    assert loaded.items == ["soda"]


def test_items_come_and_go_in_a_loaded_bundle(saved: Path, tmp_path: Path) -> None:
    image = PastedScenes(1)[0].image
    first = Predictor.load(saved, device="cpu")
    before = first.find(image, score_threshold=0)
    first.add_item("soda", [photo(3)])
    first.save(tmp_path / "bundle")
    second = Predictor.load(tmp_path / "bundle", device="cpu")
    assert second.items == ["item 0", "item 1", "item 2", "soda"]
    same_finds(
        second.find(image, score_threshold=0),
        first.find(image, score_threshold=0),
    )
    second.remove_item("soda")
    same_finds(second.find(image, score_threshold=0), before)


def test_a_bundle_needs_no_other_file(predictor: Predictor, saved: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved bundle"
    shutil.copytree(saved, moved)
    image = PastedScenes(1)[0].image
    same_finds(Predictor.load(moved, device="cpu").find(image), predictor.find(image))


def test_nothing_of_a_bundle_is_pickled(saved: Path) -> None:
    suffixes = {path.suffix for path in saved.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".png", ".safetensors"}


@pytest.mark.parametrize("where", ["weights", "templates", "reference", "view", "manifest"])
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        ),
    ],
    ids=["from the system", "from safetensors"],
)
def test_disk_full_leaves_the_old_bundle_whole(
    predictor: Predictor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    error: Exception,
) -> None:
    folder = tmp_path / "bundle"
    new_predictor().save(folder)

    def full_at(module: Any, name: str, part: str) -> None:
        write = getattr(module, name)

        def fail(*arguments: Any, **options: Any) -> Any:
            if any(part in str(argument) for argument in arguments):
                raise error
            return write(*arguments, **options)

        monkeypatch.setattr(module, name, fail)

    for module in (store, bundle_store):
        full_at(module, "save_file", f"{where}.safetensors")
    full_at(store, "save_file", "pyramids" if where == "reference" else "nothing")
    if where == "view":
        full_at(Path, "write_bytes", ".png")
    if where == "manifest":
        full_at(bundle_module, "write_json", "bundle.json")
    with pytest.raises(RuntimeError, match=r"disk is full.*bundle.*free some space"):
        predictor.save(folder, overwrite=True)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["bundle"]
    assert Predictor.load(folder, device="cpu").items == []


def test_saving_does_not_overwrite_unasked(predictor: Predictor, saved: Path) -> None:
    with pytest.raises(FileExistsError, match="already there"):
        predictor.save(saved)


# Damaged and hostile bundles. `reseal` makes the hashes fit, as one who means harm would.


def _no_exemplar(folder: Path) -> None:
    change(folder, lambda content: content["heads"].pop("exemplar"))


def _exemplar_is_a_list(folder: Path) -> None:
    change(folder, lambda content: content["heads"].update(exemplar=[]))


def _no_backbone(folder: Path) -> None:
    change(folder, lambda content: content.pop("backbone"))


def _unknown_backbone(folder: Path) -> None:
    change(folder, lambda content: content["backbone"].update(name="resnet_none"))


def _backbone_from_elsewhere(folder: Path) -> None:
    change(folder, lambda content: content["backbone"].update(name="hf-hub:evil/model"))


def _backbone_with_more_options(folder: Path) -> None:
    change(folder, lambda content: content["backbone"].update(options={"act_layer": "os"}))


def _backbone_weights_from_a_file(folder: Path) -> None:
    change(folder, lambda content: content["backbone"].update(file="/etc/hostname"))


def _other_backbone(folder: Path) -> None:
    change(
        folder,
        lambda content: content["backbone"].update(name="mobilenetv4_conv_small_050"),
    )


def _other_head(folder: Path) -> None:
    change(folder, lambda content: content["heads"]["exemplar"]["head"].update(hidden=9))


def _unknown_setting(folder: Path) -> None:
    change(folder, lambda content: content["heads"]["exemplar"]["settings"].update(speed="high"))


def _thresholds_are_a_list(folder: Path) -> None:
    change(folder, lambda content: content["heads"]["exemplar"].update(thresholds=[0.5]))


def _threshold_missing(folder: Path) -> None:
    change(folder, lambda content: content["heads"]["exemplar"]["thresholds"].pop("item 1"))


def _threshold_is_a_word(folder: Path) -> None:
    change(
        folder,
        lambda content: content["heads"]["exemplar"]["thresholds"].update({"item 1": "high"}),
    )


def _weights_missing(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def _weights_are_text(folder: Path) -> None:
    (folder / "weights.safetensors").write_text("weights")


def _templates_cut(folder: Path) -> None:
    path = folder / "gallery" / "templates.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _gallery_missing(folder: Path) -> None:
    (folder / "gallery" / "gallery.json").unlink()


def _gallery_without_the_last_view(folder: Path) -> None:
    path = folder / "gallery" / "gallery.json"
    content = json.loads(path.read_text())
    content["views"].pop()
    path.write_text(json.dumps(content))


def _no_reference(folder: Path) -> None:
    shutil.copy(folder / "weights.safetensors", folder / "reference" / "pyramids.safetensors")


HOSTILE: list[Callable[[Path], None]] = [
    _no_exemplar,
    _exemplar_is_a_list,
    _no_backbone,
    _unknown_backbone,
    _backbone_from_elsewhere,
    _backbone_with_more_options,
    _backbone_weights_from_a_file,
    _other_backbone,
    _other_head,
    _unknown_setting,
    _thresholds_are_a_list,
    _threshold_missing,
    _threshold_is_a_word,
    _weights_missing,
    _weights_are_text,
    _templates_cut,
    _gallery_missing,
    _gallery_without_the_last_view,
    _no_reference,
]


@pytest.mark.parametrize("damage", HOSTILE)
def test_a_bundle_whose_parts_do_not_belong_together(
    saved: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "bad bundle"
    shutil.copytree(saved, folder)
    damage(folder)
    reseal(folder)
    with pytest.raises(ValueError, match="bad bundle"):
        Predictor.load(folder, device="cpu")


def test_a_newer_bundle(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(saved, folder)
    change(folder, lambda content: content.update(format_version=4))
    with pytest.raises(ValueError, match="update visionkit"):
        Predictor.load(folder)


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"bundle\.json"):
        Predictor.load(tmp_path)
