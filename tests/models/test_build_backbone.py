"""Building a backbone: every config can be, and what isn't there is refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone

CONFIGS = sorted((Path(__file__).parents[2] / "conf" / "backbone").glob("*.yaml"))
SMALL = "mobilenetv4_conv_small"


def _from_config(path: Path) -> Backbone:
    config: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    config.update(weights="random", file=None)
    return build_backbone(**config)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_gives_the_maps_it_names(path: Path) -> None:
    backbone = _from_config(path)
    height, width = 45, 70  # no multiple of any stride
    with torch.no_grad():
        features = backbone(torch.rand(1, 3, height, width))
    assert tuple(features.maps) == backbone.strides
    for stride, feature_map in features.maps.items():
        expected = (1, backbone.channels[stride], -(-height // stride), -(-width // stride))
        assert tuple(feature_map.shape) == expected
    assert tuple(features.pooled.shape) == (1, backbone.pooled_channels)
    assert all(torch.isfinite(value).all() for value in features.maps.values())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_built_again_from_its_spec(path: Path) -> None:
    backbone = _from_config(path)
    again = build_backbone(**backbone.spec, weights="random")
    assert again.weights_id != backbone.weights_id
    again.load_state_dict(backbone.state_dict())
    assert again.weights_id == backbone.weights_id
    assert again.spec == backbone.spec


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "resnet5"}, "did you mean resnet50"),
        ({"name": "hf-hub:someone/model"}, "must be a timm model"),
        ({"name": "local-dir:/etc"}, "must be a timm model"),
        ({"strides": [7]}, r"among \[2, 4, 8, 16, 32\], got \[7\]"),
        ({"strides": []}, r"got \[\]"),
        ({"pool_stride": 64}, r"got \[64\]"),
        ({"pooling": "mean"}, "map, head or both, got 'mean'"),
        ({"pooling": "head", "pool_stride": 16}, "deepest map, of stride 32, got pool_stride=16"),
        ({"name": "vit_small_patch16_dinov3", "strides": [8]}, r"among \[16\], got \[8\]"),
        ({"options": {"checkpoint_path": "/x"}}, "got checkpoint_path='/x'"),
        ({"mean": [0.5]}, "mean must be three numbers"),
        ({"std": [0.5, 0.5, 0]}, "std must be three numbers"),
        ({"image_size": [1, 2, 3]}, "image_size must be one number"),
        ({"weights": "imagenet"}, "starter, hub, file or random, got 'imagenet'"),
        ({"weights": "file"}, "file must be given"),
        ({"file": "x.safetensors"}, "file must be given"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(map(str, value)),
)
def test_wrong_requests_say_what_there_is(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_backbone(**{"name": SMALL, "weights": "random", **arguments})
