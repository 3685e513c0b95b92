"""Boxes learned without classes, in miniature: by the clock, better than before, going on."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch

from tests.worlds import photo
from visionkit.heads.localization import LocalizationHead
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.training.pretrain.box_scenes import BoxBatch, composed_boxes
from visionkit.training.pretrain.boxes import BoxSettings, box_recall, new_head, pretrain_boxes

SIZE = 96
TINY = BoxSettings(minutes=0.05, width=32, depth=1, average=0.9, learning_rate=5e-3)


def scenes(seed: int, count: int) -> list[BoxBatch]:
    photos = [photo(number) for number in range(3)]
    stream = composed_boxes(photos, size=SIZE, batch_size=4, seed=seed, marks=3)
    return list(islice(stream, count))


def tiny_backbone(seed: int = 0) -> Backbone:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        name = "mobilenetv4_conv_small_035"
        return build_backbone(name, weights="random", strides=(8, 16, 32))


# Scenes.


def test_composed_scenes_are_bytes_with_boxes_inside_them() -> None:
    batches = scenes(0, 3)
    assert sum(len(boxes) for _, each in batches for boxes in each) > 12
    for images, each in batches:
        assert images.shape == (4, 3, SIZE, SIZE)
        assert images.dtype == torch.uint8
        for boxes in each:
            assert boxes.dtype == torch.float32
            assert boxes.shape[1:] == (4,)
            assert ((boxes >= 0) & (boxes <= SIZE)).all()
            assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_the_same_seed_gives_the_same_scenes() -> None:
    first, again, other = scenes(0, 1)[0], scenes(0, 1)[0], scenes(1, 1)[0]
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])


def test_scenes_must_have_photos() -> None:
    with pytest.raises(ValueError, match="at least one photo"):
        next(composed_boxes([], size=SIZE, batch_size=1, seed=0))


# Recall.


class Sees(LocalizationHead):
    """Says of every picture the same boxes, from the best to the worst."""

    said = torch.tensor([[0.0, 0, 20, 20], [40, 40, 60, 60]])

    def forward(self, inputs: object) -> object:  # type: ignore[override]
        return None

    def decode(self, outputs: object, context: object) -> object:  # type: ignore[override]
        import supervision as sv

        shown = self.said[: self.max_detections].numpy()
        return [sv.Detections(xyxy=shown) for _ in context]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        # Met: itself (IoU 1), and with 12 of 20 pixels (0.6); missed: 9 of 20 (0.45) and none.
        (50, {"recall_50": 0.5, "recall_75": 0.25}),
        # Only the first box counts: one of four is met.
        (1, {"recall_50": 0.25, "recall_75": 0.25}),
    ],
)
def test_recall_of_known_boxes(limit: int, expected: dict[str, float]) -> None:
    true = [
        torch.tensor([[0.0, 0, 20, 20], [40, 40, 60, 52]]),
        torch.tensor([[0.0, 0, 9, 20], [70, 70, 80, 80]]),
        torch.zeros(0, 4),
    ]
    backbone = tiny_backbone()
    head = Sees(backbone.channels, 0, width=8, depth=1)
    batch = (torch.zeros(3, 3, SIZE, SIZE, dtype=torch.uint8), true)
    assert box_recall(backbone, head, [batch], limit=limit) == expected
    assert head.max_detections == 100  # as before


def test_recall_needs_a_box() -> None:
    backbone = tiny_backbone()
    batch = (torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8), [torch.zeros(0, 4)])
    for nothing in ([batch], []):
        with pytest.raises(ValueError, match="at least one box"):
            box_recall(backbone, new_head(backbone, TINY), nothing)


# A whole run.


@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec:UserWarning")
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists:UserWarning")
def test_a_run_ends_by_the_clock_finds_more_and_goes_on(tmp_path: Path) -> None:
    backbone, known = tiny_backbone(), scenes(0, 2)
    path = pretrain_boxes(backbone, known, known, tmp_path, settings=TINY)
    measured = json.loads((tmp_path / "boxes.json").read_text())
    assert 0.05 <= measured["minutes"] < 0.3
    # By how much depends on the machine: the clock ends it.
    assert measured["trained"]["recall_50"] > measured["untrained"]["recall_50"]
    assert backbone.frozen

    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["backbone"] == backbone.weights_id
    sizes = json.loads(metadata["sizes"])
    channels = {int(stride): count for stride, count in sizes["channels"].items()}
    head = LocalizationHead(channels, 3, width=sizes["width"], depth=sizes["depth"])
    state = safetensors.torch.load_file(path)
    assert {value.dtype for value in state.values()} == {torch.float16}
    head.load_class_agnostic(state)

    longer = BoxSettings(**{**vars(TINY), "minutes": 0.08})
    pretrain_boxes(backbone, known, known, tmp_path, settings=longer, resume=True)
    again = json.loads((tmp_path / "boxes.json").read_text())
    assert again["steps"] > measured["steps"]
    assert again["minutes"] >= 0.08

    with pytest.raises(ValueError, match="must go on until the time is over"):
        pretrain_boxes(backbone, iter(known), known, tmp_path / "spent", settings=TINY)

    with pytest.raises(ValueError, match="must be of the backbone given"):
        pretrain_boxes(tiny_backbone(1), known, known, tmp_path, settings=longer, resume=True)
