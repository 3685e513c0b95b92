"""A backbone by the name of its network, with the weights asked for and never with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import timm
from torch import nn

from visionkit.models import weights as weights_module
from visionkit.models.arguments import Pooling, check_name, check_options, pair, triple
from visionkit.models.backbone import Backbone

WeightsSource = Literal["starter", "hub", "file", "random"]


def build_backbone(
    name: str = "starter",
    *,
    weights: WeightsSource = "starter",
    file: str | Path | None = None,
    strides: Sequence[int] = (8, 16),
    pool_stride: int | None = None,
    pooling: Pooling = "map",
    image_size: Sequence[int] | int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Backbone:
    """A backbone with the weights asked for, in evaluation mode; never with others.

    Args:
        name: timm's name of the network ("resnet50", "vit_small_patch16_dinov3.lvd1689m"),
            or "starter" for the network of the weights that come with visionkit.
        weights: "starter" (shipped, needs no network), "hub" (timm's pretrained ones,
            downloaded), "file" (`file`), or "random" (to learn from nothing).
        file: safetensors file or PyTorch state dict with timm's key names; for "file" only.
        strides: strides of the maps wanted, in pixels. A ViT has one: its patch size.
        pool_stride: the map that is averaged to `pooled`; the deepest of the network if None.
            A smaller one leaves away all deeper layers and saves their time.
        pooling: what the pooled vector is: "map", the mean of that map; "head", what the
            network's own classifier stood on, such as the 1,280 channels behind MobileNetV2's
            last map; "both". The deepest map is needed for the latter two, and weights that
            have those layers, which the starter's have not.
        image_size: height and width, or one number, that the weights were learned at.
        mean: of RGB in 0..1 in the weights' training; timm's for this name, or the starter's
            own, if None.
        std: its standard deviation, likewise.
        options: timm model options, only `pad_type` and `img_size`.

    Raises:
        ValueError: a name, stride or option that does not exist (the nearest are named), or
            weights that don't fit the network (the keys are named).
        FileNotFoundError: `file` is not there.
        RuntimeError: the hub can't be reached; names the other ways.
    """
    if (file is None) == (weights == "file"):
        raise ValueError(
            f"file must be given with weights=file and only then, got weights={weights!r} "
            f"and file={str(file) if file is not None else None!r}"
        )
    card = weights_module.starter_card() if "starter" in (name, weights) else None
    if name == "starter" and card is not None:
        name = card.architecture
    check_name(name)
    chosen = check_options(options or {})
    network = _create(name, weights, chosen)
    learned = cast(Mapping[str, Any], network.pretrained_cfg)
    if weights == "file" and file is not None:
        weights_module.load_into(network, weights_module.read_weights(file), origin=str(file))
    elif weights == "starter" and card is not None:
        card.check_architecture(name)
        weights_module.load_into(network, weights_module.starter_weights(), origin="starter")
        learned = {"mean": card.mean, "std": card.std, "input_size": (3, *card.image_size)}
    backbone = Backbone(
        network,
        name=name,
        strides=strides,
        pool_stride=pool_stride,
        pooling=pooling,
        image_size=pair(image_size if image_size is not None else learned["input_size"][1:]),
        mean=triple("mean", mean if mean is not None else learned["mean"]),
        std=triple("std", std if std is not None else learned["std"]),
        options=chosen,
    )
    return backbone.eval()


def _create(name: str, weights: WeightsSource, options: Mapping[str, str | int]) -> nn.Module:
    if weights not in ("starter", "hub", "file", "random"):
        raise ValueError(f"weights must be starter, hub, file or random, got {weights!r}")
    arguments: dict[str, Any] = dict(options)
    if _takes_dynamic_size(name):
        arguments["dynamic_img_size"] = True
    if weights == "hub":
        return weights_module.from_hub(name, arguments)
    return timm.create_model(name, pretrained=False, **arguments)


def _takes_dynamic_size(name: str) -> bool:
    """Whether timm builds this network for one picture size unless told otherwise."""
    module = timm.model_entrypoint(name.split(".")[0]).__module__.rsplit(".", 1)[-1]
    return module in ("vision_transformer", "eva", "deit")
