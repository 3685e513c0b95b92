"""Where weights come from, and what is said when they can't be had."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch

from visionkit.heads.localization import LocalizationHead
from visionkit.models.build_backbone import build_backbone
from visionkit.models.weights import (
    load_into,
    read_weights,
    starter_boxes,
    starter_card,
    starter_weights,
)

SMALL = "mobilenetv4_conv_small"
SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = timm.create_model(SMALL, pretrained=False)
    return {key: value for key, value in network.state_dict().items() if "num_batches" not in key}


def test_starter_is_shipped_and_loads_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    card = starter_card()
    backbone = build_backbone()
    assert backbone.name == card.architecture
    assert backbone.mean == card.mean
    assert sum(value.numel() * 2 for value in starter_weights().values()) <= 8 * 2**20
    with torch.no_grad():
        features = backbone(torch.rand(1, 3, 64, 64))
    assert features.maps[8].std() > 0


def test_starter_for_another_network_says_so() -> None:
    with pytest.raises(ValueError, match=r"starter weights are for .* not for resnet18"):
        build_backbone("resnet18", weights="starter")


@pytest.mark.parametrize("kind", ["safetensors", "state dict", "checkpoint", "float16"])
def test_file_gives_the_weights_it_holds(
    kind: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "weights"
    if kind == "safetensors":
        safetensors.torch.save_file(state, path)
    elif kind == "float16":
        safetensors.torch.save_file({k: v.half() for k, v in state.items()}, path)
    elif kind == "state dict":
        torch.save(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3}, path)
    backbone = build_backbone(SMALL, weights="file", file=path)
    got = backbone.network.state_dict()["blocks.2.0.pw_exp.conv.weight"]
    wanted = state["blocks.2.0.pw_exp.conv.weight"]
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3 if kind == "float16" else 0)


def test_missing_file_names_the_other_ways(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"weights=starter.*weights=hub"):
        build_backbone(SMALL, weights="file", file=tmp_path / "none.safetensors")


def test_weights_of_another_network_name_their_keys(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(state, path)
    with pytest.raises(ValueError, match=r"missing: conv1.weight.*unknown: .*backbone.name"):
        build_backbone("resnet18", weights="file", file=path)


@pytest.mark.parametrize(
    ("change", "words"),
    [("drop", "missing: conv_stem.weight"), ("add", "unknown: extra"), ("reshape", "instead of")],
)
def test_a_wrong_key_or_shape_is_named(
    change: str, words: str, state: dict[str, torch.Tensor]
) -> None:
    state = dict(state)
    if change == "drop":
        del state["conv_stem.weight"]
    elif change == "add":
        state["extra"] = torch.zeros(1)
    else:
        state["conv_stem.weight"] = torch.zeros(4, 3, 3, 3)
    network = timm.create_model(SMALL, pretrained=False)
    with pytest.raises(ValueError, match=words):
        load_into(network, state, origin="here")


def test_a_classifier_of_other_size_does_not_matter(state: dict[str, torch.Tensor]) -> None:
    network = timm.create_model(SMALL, pretrained=False, num_classes=7)
    load_into(network, state, origin="here")
    torch.testing.assert_close(network.state_dict()["bn1.weight"], state["bn1.weight"])


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_file_that_would_run_code_is_refused_unrun(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"weight": _Evil(tmp_path / "made")}, path)
    with pytest.raises(ValueError, match="tensors only"):
        read_weights(path)
    path.write_bytes(pickle.dumps(_Evil(tmp_path / "made"), protocol=2))
    with pytest.raises(ValueError, match="tensors only"):
        read_weights(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "no tensors", "list"])
def test_damaged_files_are_refused(
    kind: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(state, path)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif kind == "no tensors":
        torch.save({"epoch": 1}, path)
    elif kind == "list":
        torch.save([torch.zeros(1)], path)
    else:
        path.write_bytes(b"" if kind == "empty" else b"<html>not found</html>")
    with pytest.raises(ValueError, match=r"weights\.safetensors"):
        read_weights(path)


def test_hub_without_a_network_names_the_other_ways(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("visionkit.models.weights.timm.create_model", no_network)
    with pytest.raises(RuntimeError, match=r"not known.*weights=starter.*weights=file"):
        build_backbone("resnet18", weights="hub")


def test_hub_without_weights_for_a_name_says_so() -> None:
    with pytest.raises(ValueError, match=r"no pretrained weights for resnet18\.nonsense"):
        build_backbone("resnet18.nonsense", weights="hub")


def test_mobilenetv2_file_sees_what_it_was_trained_to_see() -> None:
    path = SHARED / "weights" / "mobilenetv2_100.tf_in1k_same.safetensors"
    photos = SHARED / "pretrain" / "photos_imagenet_sample"
    if not path.is_file() or not photos.is_dir():
        pytest.skip("the shared MobileNetV2 weights and photos are not here")
    from PIL import Image

    backbone = build_backbone(
        "mobilenetv2_100",
        weights="file",
        file=path,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        options={"pad_type": "same"},
    )
    names = ["n01440764_tench", "n01443537_goldfish"]
    pooled = []
    for name in names:
        with Image.open(photos / f"{name}.jpg") as picture:
            small = picture.convert("RGB").resize((224, 224))
            turned = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for image in (small, turned):
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
            with torch.no_grad():
                pooled.append(backbone(pixels[None]).pooled[0])
    vectors = torch.nn.functional.normalize(torch.stack(pooled), dim=1)
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > similarity[0, 2]
    assert similarity[2, 3] > similarity[1, 3]


def test_the_boxes_are_for_the_starter_weights_and_a_head_of_the_usual_size() -> None:
    state, made_for = starter_boxes()
    backbone = build_backbone(strides=(8, 16, 32))
    assert made_for == backbone.weights_id
    head = LocalizationHead(backbone.channels, 3)
    head.load_class_agnostic(state)
    for name, value in head.class_agnostic_state().items():
        torch.testing.assert_close(value, state[name])
