"""A whole pretraining in miniature: it ends by the clock, writes weights, and goes on."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import timm
import torch
from PIL import Image

from visionkit.models.build_backbone import build_backbone
from visionkit.training.pretrain.card import Provenance, card_text, read_figures
from visionkit.training.pretrain.settings import (
    BoxConfig,
    ComparisonConfig,
    PretrainConfig,
    TeacherConfig,
    WishConfig,
)
from visionkit.training.pretrain.stages import pretrain

SMALL = "mobilenetv4_conv_small"


def _write_labelled(path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    data = []
    for index in range(count):
        buffer = io.BytesIO()
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert("L" if index == 0 else "RGB").save(buffer, "JPEG")
        data.append(buffer.getvalue())
    table = pa.table({"image": data, "label": pa.array(np.arange(count) % 2, pa.int16())})
    names = json.dumps(["n1", "n2"]).encode()
    pq.write_table(table.replace_schema_metadata({b"visionkit.class_wnids": names}), path)


@pytest.fixture
def config(tmp_path: Path) -> PretrainConfig:
    torch.manual_seed(0)
    _write_labelled(tmp_path / "labelled.parquet", 8)
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(4):
        pixels = np.random.default_rng(index).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        photo = cv2.resize(pixels, (260, 250), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(photos / f"n{index % 3 + 1}_x{index}.jpg"), photo)
    teacher = timm.create_model(SMALL, pretrained=False, num_classes=1000)
    safetensors.torch.save_file(teacher.state_dict(), tmp_path / "teacher.safetensors")
    return PretrainConfig(
        labelled=str(tmp_path / "labelled.parquet"),
        labelled_val=str(tmp_path / "labelled.parquet"),
        held_out=str(photos),
        held_out_every=2,
        photos=[],
        left_out=[],
        teacher=TeacherConfig(
            SMALL, str(tmp_path / "teacher.safetensors"), [0.5] * 3, [0.5] * 3, ""
        ),
        student=SMALL,
        start=None,
        mean=[0.5] * 3,
        std=[0.5] * 3,
        wishes=WishConfig(1.0, 0.25, 1.0, 1.0, 1.0, 0.3, 0.3),
        stage="all",
        comparison=ComparisonConfig(0.0, 2, 1, 16, 0.001, 0.01, 1),
        boxes=BoxConfig(minutes=0.02, size=64, batch_size=2, learning_rate=0.001, held_out=1),
        minutes=0.02,
        batch_size=2,
        pairs=2,
        shown=2,
        labelled_sizes=[32, 64],
        teacher_size=64,
        view_size=64,
        shown_size=64,
        item_part=0.5,
        mixed_part=0.5,
        cutout_part=0.5,
        alone_part=0.5,
        bent_part=0.5,
        covered_part=0.5,
        photo_side=64,
        mark_side=32,
        marks=2,
        learning_rate=0.001,
        weight_decay=0.01,
        average=0.9,
        temperature=0.1,
        shrinkage=0.1,
        compiled=False,
        measure_minutes=1.0,
        searches=1,
        threads=1,
        seed=0,
        output=str(tmp_path / "out"),
        resume=False,
        ship=str(tmp_path / "starter"),
        version="0.0.1",
        commit="abc",
        note="A note.",
        hardware="two cores",
        figures=None,
    )


@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec:UserWarning")
@pytest.mark.filterwarnings("ignore:.*module.s. in eval mode:UserWarning")
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists:UserWarning")
def test_a_run_ends_by_the_clock_and_goes_on(config: PretrainConfig, tmp_path: Path) -> None:
    folder = pretrain(config)
    path = folder / "starter.safetensors"
    backbone = build_backbone(SMALL, weights="file", file=path)
    before = backbone.weights_id
    assert all(torch.isfinite(value).all() for value in backbone.state_dict().values())
    metrics = json.loads((path.parent / "metrics.json").read_text())
    assert metrics["step"] >= 1
    assert metrics["minutes"] <= 1
    assert 0 <= metrics["probe"] <= 1
    assert not any(key.startswith("classifier") for key in safetensors.torch.load_file(path))
    card = json.loads((tmp_path / "starter" / "card.json").read_text())
    assert card["architecture"] == SMALL
    assert set(card["measured"]) == {"these", "teacher", "untrained"}
    assert -1 <= card["measured"]["these"]["cosine_16"] <= 1
    assert str(tmp_path) not in json.dumps(card)
    assert (tmp_path / "starter" / "boxes.safetensors").is_file()
    assert (tmp_path / "starter" / "comparison.safetensors").is_file()
    assert card["comparison"]["pairs"] > 0
    boxes = json.loads((folder / "boxes.json").read_text())
    assert 0 <= boxes["trained"]["recall_50"] <= 1
    assert card["boxes"] == boxes
    config.resume, config.minutes = True, 0.06
    config.stage = "backbone"
    assert pretrain(config) == folder
    again = json.loads((path.parent / "metrics.json").read_text())
    assert again["step"] > metrics["step"]
    assert build_backbone(SMALL, weights="file", file=path).weights_id != before


def test_a_stage_that_stands_on_nothing_says_what_to_do(config: PretrainConfig) -> None:
    config.stage = "boxes"
    with pytest.raises(FileNotFoundError, match="run stage=backbone or stage=all first"):
        pretrain(config)
    config.stage = "bones"
    stages = "all, backbone, comparison, boxes, ship"
    with pytest.raises(ValueError, match=f"one of {stages}, got 'bones'"):
        pretrain(config)


def test_old_pairs_are_told_of_before_anything_is_learned(config: PretrainConfig) -> None:
    folder = Path(config.output) / "comparison"
    folder.mkdir(parents=True)
    (folder / "00000.safetensors").touch()
    with pytest.raises(FileExistsError, match="resume=true"):
        pretrain(config)
    assert [path.name for path in Path(config.output).iterdir()] == ["comparison"]


def test_classes_the_teacher_lacks_are_named(config: PretrainConfig) -> None:
    for photo in Path(config.held_out).glob("n2_*"):
        photo.unlink()
    with pytest.raises(ValueError, match=r"n2 is none of the 2 WordNet ids"):
        pretrain(config)


def test_the_card_says_what_was_measured(tmp_path: Path) -> None:
    recipe = {"student": SMALL, "mean": [0.5], "std": [0.5]}
    measured = {"these": {"photo_8": 0.5}, "untrained": {"photo_8": 0.25, "mark_8": 0.125}}
    rows = ["name,figure,bar,verdict", "old,0.1,,reported"]
    rows += ["top-1,0.2,>= 0.35,short", "top-1,0.4,>= 0.35,ok"]
    (tmp_path / "figures.csv").write_text("\n".join(rows))
    figures = read_figures(tmp_path / "figures.csv")
    comparison = {
        "pairs": 44160,
        "losses_before": {"match": 0.36, "box": 0.32},
        "losses_after": {"match": 0.21, "box": 0.24},
        "ap50_before": 0.61,
        "ap50_after": 0.68,
    }
    text = card_text(
        Provenance(
            *("1", "abc", 1200, 45.2, recipe, measured, "A note.", "two cores", figures),
            comparison=comparison,
            boxes={
                "minutes": 14.6,
                "trained": {"recall_50": 0.81, "recall_75": 0.52},
                "untrained": {"recall_50": 0.12, "recall_75": 0.03},
            },
        )
    )
    assert "| piece of an unseen photo found again, stride 8 | 0.500 | 0.250 |" in text
    assert "| unseen drawn mark found on another photo, stride 8 | - | 0.125 |" in text
    assert "45 minutes (1,200 steps) on two cores" in text
    assert "| old | 0.100 | - | reported |" in text
    assert "| top-1 | 0.400 | >= 0.35 | ok |" in text
    assert "0.200" not in text
    assert "44,160 pairs" in text
    assert "AP50 0.610 and 0.680" in text
    assert "15 minutes on the frozen network" in text
    assert "0.810 with an IoU of at least 0.5 and 0.520 with 0.75; untrained 0.120" in text
