"""The backbone: what it gives for any size, what stays frozen, and what views of it give."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from torch import nn

from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone

CONFIGS = sorted((Path(__file__).parents[2] / "conf" / "backbone").glob("*.yaml"))
SMALL = "mobilenetv4_conv_small"


@pytest.fixture(scope="module")
def small() -> Backbone:
    torch.manual_seed(0)
    return build_backbone(SMALL, weights="random")


def test_no_pictures_give_empty_maps(small: Backbone) -> None:
    features = small(torch.zeros(0, 3, 32, 64))
    assert {s: tuple(m.shape) for s, m in features.maps.items()} == {
        8: (0, 64, 4, 8),
        16: (0, 96, 2, 4),
    }
    assert tuple(features.pooled.shape) == (0, 960)


@pytest.mark.parametrize(
    "size",
    [(1, 1), (3, 5), (8, 200), (31, 33), (64, 64)],
    ids=["one pixel", "below the stride", "a strip", "odd", "a multiple"],
)
def test_any_size_works(small: Backbone, size: tuple[int, int]) -> None:
    with torch.no_grad():
        features = small(torch.rand(2, 3, *size))
    for stride, feature_map in features.maps.items():
        assert feature_map.shape[-2:] == tuple(math.ceil(side / stride) for side in size)
    assert torch.isfinite(features.pooled).all()


def test_batched_equals_one_by_one(small: Backbone) -> None:
    images = torch.rand(3, 3, 40, 56)
    with torch.no_grad():
        together = small(images)
        alone = [small(image[None]) for image in images]
    for stride in small.strides:
        single = torch.cat([features.maps[stride] for features in alone])
        torch.testing.assert_close(together.maps[stride], single, rtol=1e-4, atol=1e-5)


def test_padding_is_the_mean_colour(small: Backbone) -> None:
    mean = torch.tensor(small.mean).view(1, 3, 1, 1)
    padded = mean.expand(1, 3, 64, 64).clone()
    padded[..., :40, :50] = torch.rand(1, 3, 40, 50)
    with torch.no_grad():
        cut, whole = small(padded[..., :40, :50]), small(padded)
    for stride in small.strides:
        rows, columns = cut.maps[stride].shape[-2:]
        torch.testing.assert_close(cut.maps[stride], whole.maps[stride][..., :rows, :columns])


def test_normalisation_is_the_backbones_own() -> None:
    torch.manual_seed(0)
    plain = build_backbone(SMALL, weights="random", mean=(0, 0, 0), std=(1, 1, 1))
    other = build_backbone(SMALL, weights="random", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    other.load_state_dict(plain.state_dict())
    images = torch.rand(1, 3, 32, 32)
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.4])
    by_hand = (images - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(other(images).pooled, plain(by_hand).pooled)


def test_pool_stride_leaves_deeper_layers_away(small: Backbone) -> None:
    cut = build_backbone(SMALL, weights="random", pool_stride=16)
    cut.load_state_dict(small.state_dict(), strict=False)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        short, whole = cut(images), small(images)
    assert sum(p.numel() for p in cut.parameters()) < sum(p.numel() for p in small.parameters())
    torch.testing.assert_close(short.pooled, short.maps[16].mean(dim=(2, 3)))
    torch.testing.assert_close(short.maps[16], whole.maps[16])


@pytest.mark.parametrize("name", ["mobilenetv2_100", SMALL, "resnet18", "vit_tiny_patch16_224"])
def test_pooling_takes_what_the_networks_own_classifier_stood_on(name: str) -> None:
    torch.manual_seed(0)
    options = {"dynamic_img_size": True} if name.startswith("vit") else {}
    network = timm.create_model(name, **options).eval()
    backbones = {
        pooling: build_backbone(name, weights="random", strides=(16,), pooling=pooling)  # type: ignore[arg-type]
        for pooling in ("map", "head", "both")
    }
    for backbone in backbones.values():
        backbone.network.load_state_dict(network.state_dict(), strict=False)
    images = torch.rand(2, 3, 64, 96)
    plain = (images - backbones["map"]._mean) / backbones["map"]._std
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(plain), pre_logits=True)
        pooled = {pooling: backbone(images).pooled for pooling, backbone in backbones.items()}
        one = backbones["both"](images[:1]).pooled
    torch.testing.assert_close(pooled["head"], expected)
    torch.testing.assert_close(pooled["both"], torch.cat([pooled["map"], expected], 1))
    torch.testing.assert_close(one, pooled["both"][:1], rtol=1e-4, atol=1e-4)


def test_frozen_stays_as_it_was_in_training() -> None:
    backbone = build_backbone(SMALL, weights="random").freeze()
    before = backbone.weights_id
    backbone.train()
    assert backbone.frozen
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not any(
        module.training for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)
    )
    backbone(torch.rand(2, 3, 32, 32))
    assert backbone.weights_id == before


def test_partly_frozen_trains_only_what_is_deeper() -> None:
    backbone = build_backbone(SMALL, weights="random").freeze(until_stride=8)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    backbone.train()
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1)
    features = backbone(torch.rand(2, 3, 64, 64))
    (features.maps[16].square().mean() + features.pooled.square().mean()).backward()
    optimizer.step()
    after = backbone.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not backbone.frozen
    assert any(name.startswith("network.blocks.2.") for name in changed)
    assert not any(
        name.startswith(
            ("network.conv_stem", "network.bn1", "network.blocks.0", "network.blocks.1")
        )
        for name in changed
    )


def test_free_backbone_updates_its_batch_norms() -> None:
    backbone = build_backbone(SMALL, weights="random")
    before = backbone.weights_id
    backbone.train()(torch.rand(2, 3, 32, 32))
    assert backbone.weights_id != before


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError, "divide by 255"),
        (torch.zeros(3, 8, 8), ValueError, r"\(B, 3, H, W\), got \(3, 8, 8\)"),
        (torch.zeros(1, 1, 8, 8), ValueError, r"got \(1, 1, 8, 8\)"),
        (torch.zeros(1, 3, 0, 8), ValueError, r"got \(1, 3, 0, 8\)"),
    ],
    ids=["integers", "no batch", "gray", "no rows"],
)
def test_wrong_pictures_are_refused(
    small: Backbone, images: torch.Tensor, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        small(images)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_view_answers_as_a_network_built_for_it_does(path: Path) -> None:
    config: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    config.update(weights="random", file=None)
    stride = min(config["strides"][-1:] + [16])
    torch.manual_seed(0)
    whole = build_backbone(**config).freeze()
    torch.manual_seed(0)
    asked = {"strides": [stride], "pool_stride": stride, "pooling": "map"}
    alone = build_backbone(**config | asked)
    seen = whole.view([stride], pool_stride=stride)
    images = torch.rand(1, 3, 45, 70)
    with torch.no_grad():
        assert torch.equal(seen(images).maps[stride], alone(images).maps[stride])
        assert torch.equal(seen(images).pooled, alone(images).pooled)
    assert seen.weights_id == alone.weights_id
    assert seen.spec == alone.spec
    assert seen.frozen
    assert not seen.training


def test_views_share_their_tensors_and_leave_the_whole_as_it_was(small: Backbone) -> None:
    before, names = small.weights_id, [name for name, _ in small.named_parameters()]
    seen = small.view([16], pool_stride=16)
    whole = {id(tensor) for tensor in [*small.network.parameters(), *small.network.buffers()]}
    part = [*seen.network.parameters(), *seen.network.buffers()]
    assert len(part) < len(whole)
    assert all(id(tensor) in whole for tensor in part)
    assert (small.weights_id, [name for name, _ in small.named_parameters()]) == (before, names)
    with torch.no_grad():
        assert small(torch.rand(1, 3, 32, 32)).pooled.shape == (1, 960)


def test_a_view_is_as_frozen_as_what_it_was_taken_of() -> None:
    partly = build_backbone(SMALL, weights="random").freeze(until_stride=8)
    assert partly.view([8], pool_stride=8).frozen
    assert not partly.view([16], pool_stride=16).frozen
    assert not build_backbone(SMALL, weights="random").view([8]).frozen


def test_a_full_view_has_every_map_a_head_may_want(small: Backbone) -> None:
    assert small.full().strides == (8, 16, 32)
    assert small.full().pooled_channels == small.pooled_channels
    cut = build_backbone(SMALL, weights="random", pool_stride=16)
    assert cut.known_strides == (2, 4, 8, 16)
    assert (cut.full().strides, cut.full().pool_stride) == ((8, 16), 16)


def test_layers_that_were_left_away_can_not_be_seen() -> None:
    cut = build_backbone(SMALL, weights="random", pool_stride=16)
    with pytest.raises(ValueError, match=r"layers of stride 32.*2, 4, 8, 16.*pool_stride=None"):
        cut.view([16, 32])
    with pytest.raises(ValueError, match="layers of stride 7"):
        cut.view([7])


def test_a_backbone_holds_the_weights_of_its_views_and_copies_only(small: Backbone) -> None:
    seen = small.view([8], pool_stride=8)
    assert small.holds(seen)
    assert not seen.holds(small)
    assert not small.holds(build_backbone(SMALL, weights="random"))
    copied = build_backbone(**small.spec, weights="random")
    copied.load_state_dict(small.state_dict())
    assert small.holds(copied)
