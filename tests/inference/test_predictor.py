from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import supervision as sv
from safetensors import SafetensorError

from tests.worlds import (
    SETTINGS,
    PastedScenes,
    mark,
    new_finder,
    photo,
    same_finds,
    scene_with,
    three_items,
    whole_backbone,
)
from visionkit.inference import predictor as predictor_module
from visionkit.inference import store as bundle_store
from visionkit.inference.prediction import above_threshold
from visionkit.inference.predictor import Predictor
from visionkit.matching import store
from visionkit.models import bundle as bundle_module
from visionkit.models.build_backbone import build_backbone
from visionkit.types import Image


def write_picture(path: Path, picture: Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    code = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    assert cv2.imwrite(str(path), cv2.cvtColor(picture, code))
    return path


def new_predictor() -> Predictor:
    return Predictor.create(
        whole_backbone(),
        background=[photo(seed) for seed in range(900, 904)],
        settings=SETTINGS,
        device="cpu",
    )


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


# Finding.


def test_an_empty_gallery_finds_nothing() -> None:
    empty = new_predictor()
    assert empty.items == []
    assert len(empty.find(photo(1))) == 0
    assert empty.predict([]) == []


def test_a_new_item_is_found_without_training(tmp_path: Path) -> None:
    predictor = new_predictor()
    predictor.add_item("soda", [write_picture(tmp_path / "soda.png", mark(1))])
    image, box = scene_with(mark(1), (60, 30), 70, 50)
    found = predictor.find(write_picture(tmp_path / "shelf.png", image))
    assert found.data["class_name"][0] == "soda"
    assert sv.box_iou_batch(np.array([box]), found.xyxy[:1])[0, 0] > 0.7
    assert (found.confidence >= predictor.thresholds["soda"]).all()
    predictor.remove_item("soda")
    assert len(predictor.find(image)) == 0


def test_many_as_one_by_one(predictor: Predictor) -> None:
    images = [PastedScenes(4)[index].image for index in range(4)]
    for together, image in zip(predictor.predict(images), images, strict=True):
        assert together.exemplar is not None
        same_finds(together.exemplar, predictor.find(image))


@pytest.mark.parametrize(("threshold", "kept"), [(0.0, 4), (0.5, 2), (0.9, 1), (1.0, 0), (None, 2)])
def test_thresholds(threshold: float | None, kept: int) -> None:
    found = sv.Detections(
        xyxy=np.zeros((4, 4)),
        confidence=np.array([0.9, 0.6, 0.3, 0.1]),
        class_id=np.array([0, 1, 1, 0]),
    )
    limits = {"a": 0.05, "b": 0.7}  # its own threshold lets a pass twice, b never
    assert len(above_threshold(found, ["a", "b"], limits, threshold)) == kept


def test_a_path_an_array_and_a_text_are_the_same_picture(
    predictor: Predictor, tmp_path: Path
) -> None:
    image = PastedScenes(1)[0].image
    path = write_picture(tmp_path / "scene [1].png", image)
    for picture in (path, str(path)):
        same_finds(predictor.find(picture), predictor.find(image))


NO_PICTURES: list[tuple[str, Any]] = [
    ("gray", np.zeros((20, 20), np.uint8)),
    ("with alpha", np.zeros((20, 20, 4), np.uint8)),
    ("0..1", np.zeros((20, 20, 3), np.float32)),
    ("channels first", np.zeros((3, 20, 20), np.uint8)),
    ("no rows", np.zeros((0, 20, 3), np.uint8)),
    ("no columns", np.zeros((20, 0, 3), np.uint8)),
    ("a batch", np.zeros((2, 20, 20, 3), np.uint8)),
]


@pytest.mark.parametrize(
    "picture", [picture for _, picture in NO_PICTURES], ids=[name for name, _ in NO_PICTURES]
)
def test_arrays_that_are_no_picture(predictor: Predictor, picture: Any) -> None:
    with pytest.raises(ValueError, match=r"must be \(H, W, 3\) uint8 RGB"):
        predictor.find(picture)
    with pytest.raises(ValueError, match=r"must be \(H, W, 3\) uint8 RGB"):
        predictor.add_item("soda", [picture])
    assert predictor.items == ["item 0", "item 1", "item 2"]


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 4000), (4000, 1)])
def test_tiny_pictures(predictor: Predictor, size: tuple[int, int]) -> None:
    found = predictor.find(np.full((*size, 3), 90, np.uint8), score_threshold=0.0)
    assert (found.xyxy <= [size[1], size[0]] * 2).all()


# Adding.


def test_every_picture_of_a_folder_or_glob_is_a_view(tmp_path: Path) -> None:
    for number in range(3):
        write_picture(tmp_path / "soda" / f"{number}.png", mark(number))
    predictor = new_predictor()
    predictor.add_item("folder", tmp_path / "soda")
    predictor.add_item("glob", [str(tmp_path / "soda" / "[01].png")])
    predictor.add_item("one", str(tmp_path / "soda" / "2.png"))
    count = [
        sum(view.item == item for view in predictor.finder.gallery.views)
        for item in ("folder", "glob", "one")
    ]
    assert count == [3, 2, 1]
    assert predictor.finder.gallery.views[0].source.endswith("soda/0.png")


def test_a_single_array_is_one_picture() -> None:
    predictor = new_predictor()
    predictor.add_item("soda", photo(3))
    assert len(predictor.finder.gallery.views) == 1


def test_a_box_says_where_the_item_is() -> None:
    image, box = scene_with(mark(1), (60, 30), 70, 50)
    predictor = new_predictor()
    predictor.add_item("soda", [image], boxes=[box])
    assert predictor.find(image).xyxy[0] == pytest.approx(box, abs=3)


@pytest.mark.parametrize(
    ("images", "boxes", "message"),
    [
        ([], None, "at least one picture, got none for soda"),
        ([photo(1)], [], "one a picture, got 0 for 1"),
        ([photo(1)], [(0, 0, 5, 5)] * 2, "one a picture, got 2 for 1"),
        ([photo(1)], [(500, 500, 600, 600)], "at least one pixel"),
        ([photo(1), photo(2)], [(0, 0, 9, 9), (5, 5, 5, 5)], "at least one pixel"),
    ],
    ids=["no picture", "no box", "too many boxes", "box outside", "second box empty"],
)
def test_what_can_not_be_added(images: list[Image], boxes: Any, message: str) -> None:
    predictor = new_predictor()
    with pytest.raises(ValueError, match=message):
        predictor.add_item("soda", images, boxes=boxes)
    assert predictor.items == []


def test_a_missing_or_damaged_picture_is_named(tmp_path: Path) -> None:
    predictor = new_predictor()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        predictor.add_item("soda", [tmp_path / "nowhere.png"])
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"text\.png"):
        predictor.add_item("soda", [tmp_path / "text.png"])
    with pytest.raises((FileNotFoundError, ValueError), match="nowhere"):
        predictor.find(tmp_path / "nowhere.png")
    assert predictor.items == []


def test_an_unknown_item_can_not_be_removed(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match=r"item 0, item 1, item 2.*got 'tea'"):
        predictor.remove_item("tea")


# Saving and loading.


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


def reseal(folder: Path) -> None:
    path = folder / "bundle.json"
    content = json.loads(path.read_text())
    content["files"] = {
        file.relative_to(folder).as_posix(): bundle_module._sha256(file)
        for file in folder.rglob("*")
        if file.is_file() and file != path
    }
    path.write_text(json.dumps(content))


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "bundle.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


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


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_device(device: str) -> None:
    assert predictor_module.pick_device(device).type in ("cpu", "cuda")


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(ValueError, match="abacus"):
        predictor_module.pick_device("abacus")


# Real pictures.


@pytest.fixture(scope="module")
def opencv_box(shared_data: Path) -> Path:
    folder = shared_data / "exemplar" / "opencv_box"
    if not folder.is_dir():
        pytest.skip("needs the picture pair of OpenCV, which is not among the shared test data")
    return folder


@pytest.fixture(scope="module")
def mobilenet_file(shared_data: Path) -> Path:
    path = shared_data.parent / "weights" / "mobilenetv2_100.tf_in1k_same.safetensors"
    if not path.is_file():
        pytest.skip("needs the MobileNetV2 weights file, which is not among the shared files")
    return path


def test_one_exemplar_without_training_finds_the_box(
    opencv_box: Path, mobilenet_file: Path, tmp_path: Path
) -> None:
    truth = json.loads((opencv_box / "truth.json").read_text())
    backbone = build_backbone(
        "mobilenetv2_100",
        weights="file",
        file=mobilenet_file,
        strides=(16,),
        pool_stride=16,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        options={"pad_type": "same"},
    )
    predictor = Predictor.create(backbone, device="cpu")
    predictor.add_item("box", [opencv_box / "box.png"])
    found = predictor.find(opencv_box / "box_in_scene.png")
    box = np.array([truth["bbox_xyxy"]])
    assert found.data["class_name"][0] == "box"
    assert sv.box_iou_batch(box, found.xyxy[:1])[0, 0] >= 0.8
