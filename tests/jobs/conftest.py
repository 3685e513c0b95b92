from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.worlds import (
    classification_part,
    localization_part,
    mark,
    new_finder,
    photo,
    scene_with,
    three_items,
    whole_backbone,
)
from visionkit.config import EvaluateConfig, GalleryConfig, PredictConfig
from visionkit.inference.predictor import Predictor
from visionkit.types import Image

TRUNCATED = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01"


def write_picture(path: Path, image: NDArray[np.uint8]) -> Path:
    """Writes (H, W, 3) RGB or (H, W, 4) RGBA as PNG or JPEG, by the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    assert cv2.imwrite(str(path), cv2.cvtColor(image, order))
    return path


def write_broken(path: Path) -> Path:
    """Writes a JPEG of which only the beginning is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(TRUNCATED)
    return path


def scene(number: int, seed: int) -> tuple[Image, tuple[float, float, float, float]]:
    """A photo with the mark of "item number" in it, and its box."""
    return scene_with(mark(number), (40 + 5 * seed, 30), 80, seed)


def write_coco(folder: Path, labels: dict[str, tuple[str, tuple[float, ...]] | None]) -> Path:
    """Writes annotations for pictures that lie in `folder`: file -> label and box, or none."""
    names = sorted({entry[0] for entry in labels.values() if entry})
    images, annotations = [], []
    for number, (file, entry) in enumerate(labels.items(), start=1):
        height, width = cv2.imread(str(folder / file)).shape[:2]
        images.append({"id": number, "file_name": file, "width": width, "height": height})
        if entry:
            label, (x_min, y_min, x_max, y_max) = entry
            box = [x_min, y_min, x_max - x_min, y_max - y_min]
            annotations.append(
                {
                    "id": number,
                    "image_id": number,
                    "category_id": names.index(label) + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    path = folder / "annotations.json"
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Scenes:
    """A folder of pictures with one item each, and what lies where."""

    folder: Path
    boxes: dict[str, tuple[float, float, float, float]]


@pytest.fixture(scope="session")
def finished_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of three drawn items with two views each; not to be changed."""
    bundle = tmp_path_factory.mktemp("run") / "bundle"
    Predictor(whole_backbone(), new_finder(three_items())).save(bundle)
    return bundle


@pytest.fixture(scope="session")
def trained_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with the two trained heads; not to be changed."""
    bundle = tmp_path_factory.mktemp("heads") / "bundle"
    Predictor(
        whole_backbone(),
        None,
        classification_part(threshold=0.0, size=(48, 64)),
        localization_part(threshold=0.05, size=(48, 64)),
    ).save(bundle)
    return bundle


@pytest.fixture
def bundle(finished_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may change."""
    return Path(shutil.copytree(finished_bundle, tmp_path / "run" / "bundle"))


@pytest.fixture
def scenes(tmp_path: Path) -> Scenes:
    """One picture of each of the three items, with COCO annotations, and one of none."""
    folder = tmp_path / "scenes"
    labels: dict[str, tuple[str, tuple[float, ...]] | None] = {}
    boxes = {}
    for number in range(3):
        image, box = scene(number, number)
        write_picture(folder / f"{number}.png", image)
        labels[f"{number}.png"] = (f"item {number}", box)
        boxes[f"{number}.png"] = box
    write_picture(folder / "nothing.png", photo(77))
    labels["nothing.png"] = None
    write_coco(folder, labels)
    return Scenes(folder, boxes)


def predict_config(bundle: Path, source: Path | str, **changes: object) -> PredictConfig:
    values: dict[str, object] = {"bundle": str(bundle), "source": str(source)}
    values |= {"tasks": None, "batch_size": 8}
    values |= {
        "score_threshold": None,
        "draw": True,
        "catalog": None,
        "engine": "auto",
        "accelerator": "cpu",
        "output": None,
    }
    values |= {"overwrite": False, "resume": None, "debug": False}
    return PredictConfig(**(values | changes))  # type: ignore[arg-type]


def evaluate_config(bundle: Path, data: Path, **changes: object) -> EvaluateConfig:
    values: dict[str, object] = {"bundle": str(bundle), "data": str(data), "format": "auto"}
    values |= {"image_root": None, "background": None, "split": "all", "accelerator": "cpu"}
    values |= {"seed": 0, "output": None, "overwrite": False, "debug": False, "task": None}
    values |= {"engine": "auto"}
    return EvaluateConfig(**(values | changes))  # type: ignore[arg-type]


def gallery_config(bundle: Path, action: str, **changes: object) -> GalleryConfig:
    values: dict[str, object] = {"action": action, "bundle": str(bundle), "item": None}
    values |= {"images": [], "format": "auto", "background": None, "debug": False}
    values |= {"finds": [], "reviewed": False, "least": 20, "output": None, "overwrite": False}
    return GalleryConfig(**(values | changes))  # type: ignore[arg-type]
