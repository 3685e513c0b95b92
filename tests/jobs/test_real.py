"""The jobs on real pictures; skipped where the shared data is not there."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import supervision as sv

from tests.jobs.conftest import gallery_config, predict_config
from tests.worlds import SETTINGS, new_finder, three_items
from visionkit.inference.predictor import Predictor
from visionkit.jobs.gallery import gallery
from visionkit.jobs.predict import predict
from visionkit.jobs.sources import read_backgrounds, read_item_views, read_scenes, read_views

FRIDGE = {"eggBox", "joghurt", "ketchup", "mushroom", "mustard", "orange", "squash", "water"}


@pytest.fixture
def fridge(shared_data: Path) -> Path:
    return shared_data / "exemplar" / "fridge"


def test_a_box_is_added_and_found_where_it_lies(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "exemplar" / "opencv_box"
    geometry = replace(SETTINGS.geometry, keypoints=2000, scene_side=700)
    finder = new_finder(three_items(), replace(SETTINGS, geometry=geometry))
    bundle, run = tmp_path / "bundle", tmp_path / "run"
    Predictor(finder.backbone, finder).save(bundle)
    images = [str(folder / "box.png")]
    gallery(gallery_config(bundle, "add", item="box", images=images), bundle)
    predict(predict_config(bundle, folder / "box_in_scene.png"), run)
    (line,) = (run / "predictions.jsonl").read_text().splitlines()
    best = json.loads(line)["finds"][0]
    truth = json.loads((folder / "truth.json").read_text())
    assert best["item"] == "box"
    overlap = sv.box_iou_batch(np.array([best["box"]]), np.array([truth["bbox_xyxy"]]))
    assert overlap[0, 0] > 0.85
    assert best["inliers"] > 20


def test_items_scenes_and_backgrounds_of_a_fridge(fridge: Path) -> None:
    views, problems = read_views(fridge / "positive")
    assert problems == []
    assert {view.item for view in views} == FRIDGE
    assert len(views) == 180
    scenes, _ = read_scenes(fridge / "testImages")
    assert sum(scenes.item_counts.values()) == 45
    assert scenes.item_counts["squash"] == 10
    assert scenes[0].image.shape == (1333, 1000, 3)
    pictures, _ = read_backgrounds(fridge / "negative")
    assert len(pictures) == 5


def test_one_item_of_a_folder_with_boxes_of_many(fridge: Path) -> None:
    views, _ = read_item_views("orange", [fridge / "testImages"])
    assert Counter(view.item for view in views) == {"orange": 5}
    assert all(40 < view.box[2] - view.box[0] < 160 for view in views)


def test_logos_keep_their_transparency(shared_data: Path) -> None:
    views, _ = read_item_views("aws", [shared_data / "exemplar" / "aws_logos"])
    # Five of the files have an alpha channel; that of aws-1.png is opaque all over.
    assert sum(view.alpha is not None for view in views) == 4
