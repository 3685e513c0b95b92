from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torchvision.ops import box_iou

from tests.worlds import mark, photo
from visionkit.data.compose import ComposeSettings, compose_scene
from visionkit.data.cutouts import rgba_cutout
from visionkit.heads.dense import boxes_of, cells_of
from visionkit.heads.localization import BoxTargets, DenseOutputs, LocalizationHead
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.types import Features

CHANNELS = {8: 6, 16: 10}


def new_head(class_count: int, seed: int = 0, **options: float) -> LocalizationHead:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LocalizationHead(CHANNELS, class_count, width=16, depth=1, **options)  # type: ignore[arg-type]


def features_of(batch: int, height: int = 72, width: int = 56, seed: int = 0) -> Features:
    generator = torch.Generator().manual_seed(seed)
    maps = {
        stride: torch.randn(
            batch, count, -(-height // stride), -(-width // stride), generator=generator
        )
        for stride, count in CHANNELS.items()
    }
    return Features(maps, torch.zeros(batch, 1))


def outputs_of(pictures: int, classes: int) -> DenseOutputs:
    """8x8 cells of 8 pixels that see nothing; every box is its cell."""
    cells = cells_of({8: torch.zeros(1, 1, 8, 8)})
    return DenseOutputs(
        quality=torch.full((pictures, 64), -20.0),
        boxes=boxes_of(cells.centres, torch.full((pictures, 64, 4), 4.0)),
        classes=torch.full((pictures, 64, classes), -20.0),
        cells=cells,
    )


def logit(score: float) -> float:
    return math.log(score / (1 - score))


# Shapes, and nothing at all.


@pytest.mark.parametrize("classes", [0, 1, 3])
@pytest.mark.parametrize("batch", [0, 1, 2])
def test_outputs_and_losses_of_any_number_of_pictures(classes: int, batch: int) -> None:
    head = new_head(classes)
    outputs = head(features_of(batch))
    # 72 x 56 pixels: 9 * 7 + 5 * 4 + 3 * 2 + 2 * 1 cells of 8, 16, 32 and 64
    assert outputs.quality.shape == (batch, 91)
    assert outputs.boxes.shape == (batch, 91, 4)
    assert outputs.classes.shape == (batch, 91, classes)
    nothing = [torch.zeros(0, 4)] * batch
    labels = [torch.zeros(0, dtype=torch.int64)] * batch
    losses = head.loss(outputs, BoxTargets(nothing, labels))
    assert set(losses) == {"quality", "boxes"} | ({"classes"} if classes else set())
    assert all(torch.isfinite(loss) and loss.ndim == 0 for loss in losses.values())
    assert losses["boxes"] == 0
    sum(losses.values(), torch.zeros(())).backward()
    assert len(head.decode(outputs, [(72, 56)] * batch)) == batch


def test_before_learning_nothing_is_likely_and_boxes_are_four_cells_wide() -> None:
    with torch.no_grad():
        outputs = new_head(3)(features_of(2))
    assert float(outputs.quality.sigmoid().max()) < 0.05
    assert float(outputs.classes.sigmoid().max()) < 0.05
    sides = (outputs.boxes[..., 2:] - outputs.boxes[..., :2]) / outputs.cells.strides[:, None]
    assert float(sides.min()) > 3
    assert float(sides.max()) < 5


def test_a_head_is_made_again_from_its_sizes() -> None:
    head = new_head(3)
    again = LocalizationHead(**head.sizes)
    again.load_state_dict(head.state_dict())
    features = features_of(1)
    torch.testing.assert_close(again(features).boxes, head(features).boxes)


@pytest.mark.parametrize("classes", [0, 2])
def test_batched_equals_one_by_one(classes: int) -> None:
    head = new_head(classes, score_threshold=0.0).train()
    features = features_of(3)
    outputs = head(features)
    together = head.decode(outputs, [(72, 56)] * 3)
    targets = [torch.tensor([[8.0, 8, 40, 60]]), torch.zeros(0, 4), torch.tensor([[0.0, 0, 20, 9]])]
    labels = [torch.zeros(len(boxes), dtype=torch.int64) for boxes in targets]
    for index in range(3):
        one = {stride: level[index : index + 1] for stride, level in features.maps.items()}
        single = head(Features(one, features.pooled[:1]))
        torch.testing.assert_close(single.boxes, outputs.boxes[index : index + 1])
        alone = head.decode(single, [(72, 56)])[0]
        np.testing.assert_allclose(alone.xyxy, together[index].xyxy, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(alone.confidence, together[index].confidence, rtol=1e-4)
        loss = head.loss(single, BoxTargets([targets[index]], [labels[index]]))["boxes"]
        if index == 1:
            assert loss == 0


def test_half_precision_within_gives_float32_outside() -> None:
    head = new_head(2)
    targets = BoxTargets([torch.tensor([[8.0, 8, 40, 60]])], [torch.tensor([1])])
    whole = head(features_of(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = head(features_of(1))
        losses = head.loss(half, targets)
    for name in ("quality", "boxes", "classes"):
        assert getattr(half, name).dtype == torch.float32
        torch.testing.assert_close(getattr(half, name), getattr(whole, name), rtol=0.05, atol=0.1)
    for name, loss in head.loss(whole, targets).items():
        torch.testing.assert_close(losses[name], loss, rtol=0.05, atol=0.01)


# The loss.


def perfect(label: int) -> tuple[DenseOutputs, BoxTargets]:
    """Cells 18, 19, 26 and 27 see a box of 16 pixels, exactly, in the first of two pictures."""
    outputs = outputs_of(2, 3)
    cells = [18, 19, 26, 27]
    outputs.quality[0, cells] = 20
    outputs.classes[0, cells, label] = 20
    outputs.boxes[0, cells] = torch.tensor([16.0, 16, 32, 32])
    boxes = [torch.tensor([[16.0, 16, 32, 32]]), torch.zeros(0, 4)]
    return outputs, BoxTargets(boxes, [torch.tensor([1]), torch.zeros(0, dtype=torch.int64)])


def test_no_loss_where_all_is_right() -> None:
    losses = new_head(3).loss(*perfect(1))
    assert {name: round(float(loss), 5) for name, loss in losses.items()} == {
        "quality": 0,
        "boxes": 0,
        "classes": 0,
    }


def test_a_wrong_class_is_a_loss_of_classes_alone() -> None:
    losses = new_head(3).loss(*perfect(2))
    assert float(losses["quality"]) == pytest.approx(0, abs=1e-5)
    # Each of four cells is wrong about two classes by a cross entropy of 20, over 4 good cells.
    assert float(losses["classes"]) == pytest.approx(40, rel=1e-3)


def test_a_claim_in_a_picture_without_boxes_is_a_loss() -> None:
    outputs, targets = perfect(1)
    outputs.quality[1, 7] = 20
    # One cell is wrong by a cross entropy of 20, over 4 good cells.
    assert float(new_head(3).loss(outputs, targets)["quality"]) == pytest.approx(5, rel=1e-3)


def test_where_something_may_be_nothing_is_judged() -> None:
    """Cells 18 and 19 answer for a box; 20 and 54 claim one. A doubtful box lies on 19 and 20."""
    outputs, targets = perfect(1)
    outputs.quality[0, [20, 54]] = 20
    outputs.classes[0, [20, 54], 2] = 20
    doubtful = [torch.tensor([[24.0, 16, 40, 24]]), torch.zeros(0, 4)]
    losses = new_head(3).loss(outputs, replace(targets, doubtful=doubtful))
    # Cell 54 alone is wrong by a cross entropy of 20, over 4 good cells.
    assert float(losses["quality"]) == pytest.approx(5, rel=1e-3)
    assert float(losses["classes"]) == pytest.approx(5, rel=1e-3)
    outputs.quality[0, [18, 19, 26, 27]] = -20  # of these the 19th lies in the doubtful box, too
    losses = new_head(3).loss(outputs, replace(targets, doubtful=doubtful))
    assert float(losses["quality"]) == pytest.approx(25, rel=1e-3)


def test_where_a_box_lies_is_not_judged_in_a_loose_picture() -> None:
    """The cells say 16 to 32; the box is 4 pixels wider than that."""
    outputs, targets = perfect(1)
    wider = replace(targets, boxes=[torch.tensor([[16.0, 16, 36, 32]]), targets.boxes[1]])
    plain = new_head(3).loss(outputs, wider)
    # IoU 0.8, middles 2 apart in a box of a diagonal of 656 ** 0.5; the aspect adds 0.0001.
    assert float(plain["boxes"]) == pytest.approx(2 * (0.2 + 4 / 656 + 0.0001), rel=1e-3)
    other = new_head(3).loss(outputs, replace(wider, loose=torch.tensor([False, True])))
    assert other["boxes"] == plain["boxes"]
    loose = new_head(3).loss(outputs, replace(wider, loose=torch.tensor([True, False])))
    assert loose["boxes"] == 0
    assert (loose["quality"], loose["classes"]) == (plain["quality"], plain["classes"])


def test_every_weight_learns() -> None:
    head = new_head(3)
    targets = BoxTargets([torch.tensor([[8.0, 8, 40, 60]])], [torch.tensor([2])])
    losses = head.loss(head(features_of(1)), targets)
    torch.stack(list(losses.values())).sum().backward()
    assert [name for name, weight in head.named_parameters() if weight.grad is None] == []
    assert all(
        torch.isfinite(weight.grad).all() for weight in head.parameters() if weight.grad is not None
    )


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (BoxTargets([torch.zeros(0, 4)], [torch.zeros(0)]), "2 pictures, got 1 and 1"),
        (BoxTargets([torch.zeros(0, 4)] * 2, [torch.zeros(0)]), "2 pictures, got 2 and 1"),
        (BoxTargets([torch.zeros(0, 4)] * 2), "must be given labels"),
        (
            BoxTargets([torch.ones(1, 4)] * 2, [torch.tensor([0]), torch.tensor([3])]),
            r"labels must be in 0..2, got \[3\]",
        ),
    ],
)
def test_targets_that_do_not_fit_are_named(targets: BoxTargets, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        new_head(3).loss(outputs_of(2, 3), targets)


# Decoding.


def test_scores_are_the_mean_of_quality_and_class() -> None:
    outputs = outputs_of(1, 3)
    outputs.quality[0, 9] = logit(0.9)
    outputs.classes[0, 9, 2] = logit(0.4)
    found = new_head(3).decode(outputs, [(64, 64)])[0]
    assert found.class_id is not None
    assert found.class_id.tolist() == [2]
    np.testing.assert_allclose(found.confidence, [0.6], atol=1e-5)  # sqrt(0.9 * 0.4)
    np.testing.assert_allclose(found.xyxy, [[8, 8, 16, 16]])  # cell 9: second row, second column


def test_without_classes_the_quality_is_the_score() -> None:
    outputs = outputs_of(1, 0)
    outputs.quality[0, 9] = logit(0.3)
    found = new_head(0).decode(outputs, [(64, 64)])[0]
    np.testing.assert_allclose(found.confidence, [0.3], atol=1e-5)
    assert found.class_id is not None
    assert found.class_id.tolist() == [0]


def test_doubles_of_a_class_go_and_others_stay() -> None:
    outputs = outputs_of(1, 2)
    box = torch.tensor([8.0, 8, 28, 28])
    for cell, label, score in [(9, 0, 0.9), (10, 0, 0.8), (17, 1, 0.7), (54, 0, 0.6)]:
        outputs.quality[0, cell] = outputs.classes[0, cell, label] = logit(score)
        if cell != 54:
            outputs.boxes[0, cell] = box
    head = new_head(2)
    found = head.decode(outputs, [(64, 64)])[0]
    np.testing.assert_allclose(found.confidence, [0.9, 0.7, 0.6], atol=1e-5)
    head.max_detections = 2
    assert len(head.decode(outputs, [(64, 64)])[0]) == 2
    head.score_threshold = 0.95
    assert len(head.decode(outputs, [(64, 64)])[0]) == 0


@pytest.mark.parametrize("least", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("class_count", [0, 2])
def test_leaving_out_weak_boxes_changes_no_other(class_count: int, least: float) -> None:
    outputs = outputs_of(3, class_count)
    torch.manual_seed(0)
    outputs.quality[:2] = torch.randn_like(outputs.quality[:2])  # the third shows nothing
    outputs.classes[:2] = torch.randn_like(outputs.classes[:2])
    outputs.boxes[..., 2:] += 10  # so that they overlap
    head = new_head(class_count)
    every = head.decode(outputs, [(64, 64)] * 3)
    for whole, some in zip(every, head.decode(outputs, [(64, 64)] * 3, least=least), strict=True):
        assert whole.confidence is not None
        assert whole.class_id is not None
        kept = whole.confidence >= np.float32(least)
        np.testing.assert_array_equal(some.confidence, whole.confidence[kept])
        np.testing.assert_array_equal(some.class_id, whole.class_id[kept])
        np.testing.assert_array_equal(some.xyxy, whole.xyxy[kept])
    assert [len(each) > 0 for each in every] == [True, True, False]


def test_of_very_many_boxes_the_best_are_looked_at() -> None:
    outputs = outputs_of(1, 0)
    outputs.quality[0] = torch.linspace(-1, 1, len(outputs.cells.strides))
    head = new_head(0)
    head.max_detections = 2  # of the best 20 that are compared with one another
    outputs.boxes[0] = torch.tensor([0.0, 0, 8, 8])
    outputs.boxes[0, -20] = torch.tensor([8.0, 8, 16, 16])
    outputs.boxes[0, -21] = torch.tensor([16.0, 16, 24, 24])
    found = head.decode(outputs, [(64, 64)])[0]
    np.testing.assert_allclose(found.xyxy, [[0, 0, 8, 8], [8, 8, 16, 16]])
    outputs.boxes[0, -20] = outputs.boxes[0, -1]
    assert len(head.decode(outputs, [(64, 64)])[0]) == 1, "the 21st is not looked at"


def test_boxes_are_cut_at_each_pictures_own_rim() -> None:
    outputs = outputs_of(2, 0)
    outputs.quality[:, 9] = 5.0  # 8..16
    outputs.quality[:, 63] = 4.0  # 56..64: beyond the second picture
    outputs.boxes[:, 9] = torch.tensor([-3.0, 4, 90, 50])
    first, second = new_head(0).decode(outputs, [(64, 60), (40, 30)])
    np.testing.assert_allclose(first.xyxy, [[0, 4, 60, 50], [56, 56, 60, 64]])
    np.testing.assert_allclose(second.xyxy, [[0, 4, 30, 40]])


def test_image_sizes_must_be_as_many_as_pictures() -> None:
    with pytest.raises(ValueError, match="2, got 1"):
        new_head(0).decode(outputs_of(2, 0), [(64, 64)])


# What is learned without classes.


def test_boxes_learned_without_classes_go_into_a_head_with_three(tmp_path: Path) -> None:
    learned, head = new_head(0, seed=1), new_head(3, seed=2)
    fresh = head.class_branch.state_dict() if head.class_branch is not None else {}
    before = {name: value.clone() for name, value in fresh.items()}
    path = tmp_path / "boxes.safetensors"
    safetensors.torch.save_file(learned.class_agnostic_state(), path)
    state = safetensors.torch.load_file(path)
    assert {name.split(".")[0] for name in state} == {"pyramid", "box_branch"}
    head.load_class_agnostic(state)
    features = features_of(1)
    torch.testing.assert_close(head(features).quality, learned(features).quality)
    torch.testing.assert_close(head(features).boxes, learned(features).boxes)
    for name, value in fresh.items():
        torch.testing.assert_close(value, before[name])


def test_weights_of_another_class_branch_are_passed_over() -> None:
    learned, head = new_head(5, seed=1), new_head(3, seed=2)
    head.load_class_agnostic(learned.state_dict())
    features = features_of(1)
    torch.testing.assert_close(head(features).quality, learned(features).quality)


def test_classes_that_agree_go_on_and_others_begin_anew() -> None:
    learned, head = new_head(2, seed=1), new_head(3, seed=2)
    features = features_of(2)
    before = head(features)
    head.go_on_from(learned, {2: 0, 0: 1})  # class 1 is new
    after, known = head(features), learned(features)
    torch.testing.assert_close(after.boxes, known.boxes)
    torch.testing.assert_close(after.quality, known.quality)
    torch.testing.assert_close(after.classes[..., [2, 0]], known.classes)
    assert not torch.equal(after.classes[..., 1], before.classes[..., 1])  # by another tower
    fresh = new_head(3, seed=2).class_branch
    assert head.class_branch is not None
    assert fresh is not None
    torch.testing.assert_close(head.class_branch.logits.weight[1], fresh.logits.weight[1])
    assert head.class_branch.logits.weight.requires_grad


def test_no_class_may_agree_or_be_there() -> None:
    features = features_of(1)
    for ours, theirs in ((3, 2), (0, 2), (3, 0), (0, 0)):
        learned, head = new_head(theirs, seed=1), new_head(ours, seed=2)
        head.go_on_from(learned, {})
        torch.testing.assert_close(head(features).boxes, learned(features).boxes)


def test_weights_that_do_not_fit_are_named() -> None:
    head = new_head(3)
    other = LocalizationHead({8: 7, 16: 10}, 0, width=16, depth=1)
    with pytest.raises(ValueError, match=r"laterals.8.0.weight of shape \(16, 6, 1, 1\)"):
        head.load_class_agnostic(other.class_agnostic_state())
    with pytest.raises(ValueError, match="got none"):
        head.load_class_agnostic({})


def test_class_count_can_not_be_negative() -> None:
    with pytest.raises(ValueError, match="class_count must be 0 or more, got -1"):
        new_head(-1)


def test_with_the_starter_backbone_boxes_take_less_than_a_megabyte() -> None:
    backbone = build_backbone(weights="random", strides=(8, 16, 32))
    state = LocalizationHead(backbone.channels, 0).class_agnostic_state()
    assert 2 * sum(value.numel() for value in state.values()) < 1e6  # bytes in half precision


# Learning.


@cache
def random_backbone() -> Backbone:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        name = "mobilenetv4_conv_small_035"
        return build_backbone(name, weights="random", strides=(8, 16, 32)).freeze()


@pytest.mark.parametrize("classes", [0, 3])
def test_one_composed_picture_is_learned_by_heart(classes: int) -> None:
    cutouts = [rgba_cutout(mark(seed), seed) for seed in range(3)]
    settings = ComposeSettings((151, 197), items=(3, 3), empty=0.0, item_side=(20.0, 0.5))
    scene = compose_scene(np.random.default_rng(3), photo(1), cutouts, (), settings)
    assert len(scene.boxes) >= 2
    boxes = torch.from_numpy(scene.boxes)
    labels = torch.tensor([int(label) for label in scene.labels])
    backbone = random_backbone()
    with torch.no_grad():
        features = backbone(torch.from_numpy(scene.image).permute(2, 0, 1)[None].float() / 255)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = LocalizationHead(backbone.channels, classes, width=32, depth=1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=5e-3)
    for _ in range(60):
        losses = head.loss(head(features), BoxTargets([boxes], [labels]))
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    found = head.decode(head(features), [(151, 197)])[0][: len(boxes)]
    iou, match = box_iou(boxes, torch.from_numpy(found.xyxy)).max(1)
    assert float(iou.min()) > 0.8
    if classes:
        assert found.class_id is not None
        assert found.class_id[match.numpy()].tolist() == labels.tolist()
