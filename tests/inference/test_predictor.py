from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import supervision as sv

from tests.inference.bundles import new_predictor
from tests.worlds import (
    PastedScenes,
    mark,
    new_finder,
    photo,
    same_finds,
    scene_with,
    three_items,
    whole_backbone,
)
from visionkit.inference.prediction import above_threshold
from visionkit.inference.predictor import Predictor
from visionkit.models.build_backbone import build_backbone
from visionkit.types import Image


def write_picture(path: Path, picture: Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    code = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    assert cv2.imwrite(str(path), cv2.cvtColor(picture, code))
    return path


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """Three items; not to be changed."""
    return Predictor(
        whole_backbone(), new_finder(three_items()), metadata={"metrics": {"ap50": 0.5}}
    )


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
