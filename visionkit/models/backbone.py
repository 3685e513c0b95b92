"""One network behind one interface: pictures in, `Features` out.

Any timm model that has `forward_intermediates` (nearly all do) can be the backbone. What it
needs to see pictures as in its training (mean, standard deviation, size, padding) travels
with it, so a caller hands over RGB in 0..1 and nothing else.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.models import weights as weights_module
from visionkit.types import Features

WeightsSource = Literal["starter", "hub", "file", "random"]
OPTIONS = ("pad_type", "img_size")
"""What of timm's own model options may be set; a config never names a file, an address or code."""


class Backbone(nn.Module):
    """A timm network that gives `Features`; build it with `build_backbone`.

    Pictures of any size of at least one pixel go in. The right and lower side are padded with
    the mean colour to the next multiple of the network's largest stride, and the maps are cut
    back to the cells that begin inside the picture: (ceil(H / stride), ceil(W / stride)).

    Attributes:
        name: timm's name of the architecture.
        strides: strides of the maps in pixels, ascending.
        channels: stride -> number of channels of its map.
        pool_stride: stride of the map whose mean is `Features.pooled`.
        pooled_channels: length of `Features.pooled`.
        image_size: (height, width) that the weights were learned at; a hint, not a limit.
        mean, std: per channel, of RGB in 0..1; applied inside `forward`.
        frozen: whether every parameter is frozen.
    """

    _mean: Tensor
    _std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        strides: Sequence[int],
        pool_stride: int | None,
        image_size: tuple[int, int],
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        options: Mapping[str, str | int],
    ) -> None:
        super().__init__()
        positions = _positions_of_strides(network, name)
        self.name = name
        self.strides = _check_strides(strides, positions, name)
        self.pool_stride = max(positions) if pool_stride is None else pool_stride
        _check_strides([self.pool_stride], positions, name)
        self.image_size, self.mean, self.std = image_size, mean, std
        self._options = dict(options)
        taken = sorted({*self.strides, self.pool_stride}, key=lambda stride: positions[stride])
        self._taken = taken
        info = cast(Sequence[Mapping[str, Any]], network.feature_info)
        sizes = {stride: int(info[positions[stride]]["num_chs"]) for stride in taken}
        self.channels = {stride: sizes[stride] for stride in self.strides}
        self.pooled_channels = sizes[self.pool_stride]
        self._indices = [positions[stride] for stride in taken]
        cast(Any, network).prune_intermediate_layers(  # what no map needs is taken out
            self._indices, prune_norm=not _is_plain_transformer(network), prune_head=True
        )
        self.network = network
        self._multiple = max(taken)
        self._fixed: frozenset[str] = frozenset()  # names of frozen parameters
        self.register_buffer("_mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Features:
        """The feature maps and the pooled vector of a batch of pictures.

        Args:
            images: (B, 3, H, W) floating point, RGB in 0..1; B may be 0, H and W any.

        Returns:
            maps: stride -> (B, C, ceil(H / stride), ceil(W / stride)). pooled: (B, C).

        Raises:
            TypeError: the pictures are integers; divide by 255.
            ValueError: the shape is another one.
        """
        _check_images(images)
        height, width = images.shape[-2:]
        pixels = (images - self._mean) / self._std
        right, bottom = -width % self._multiple, -height % self._multiple
        if right or bottom:
            pixels = F.pad(pixels, (0, right, 0, bottom))  # 0 is the mean colour by now
        maps = cast(Any, self.network).forward_intermediates(
            pixels,
            indices=self._indices,
            norm=_is_plain_transformer(self.network),
            stop_early=True,
            output_fmt="NCHW",
            intermediates_only=True,
        )
        found = {
            stride: feature_map[..., : math.ceil(height / stride), : math.ceil(width / stride)]
            for stride, feature_map in zip(self._taken, maps, strict=True)
        }
        pooled = found[self.pool_stride].mean(dim=(-2, -1))
        return Features(maps={stride: found[stride] for stride in self.strides}, pooled=pooled)

    def freeze(self, until_stride: int | None = None) -> Backbone:
        """Itself, with weights and batch norms that training no longer changes.

        Frozen parts stay in evaluation mode when `.train()` is called.

        Args:
            until_stride: freeze only what the map of this stride and shallower ones stand on;
                everything if None.

        Raises:
            ValueError: `until_stride` is none of `strides`.
        """
        if until_stride is None:
            self._fixed = frozenset(name for name, _ in self.network.named_parameters())
        elif until_stride in self.strides:
            self._fixed = self._parameters_below(until_stride)
        else:
            raise ValueError(f"until_stride must be one of {self.strides}, got {until_stride}")
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name not in self._fixed)
        return self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """Itself, in training mode where it is not frozen."""
        super().train(mode)
        if not self._fixed:
            return self
        for prefix, module in self.network.named_modules():
            names = [
                f"{prefix}.{name}" if prefix else name for name, _ in module.named_parameters()
            ]
            if names and self._fixed.issuperset(names):
                module.eval()
        return self

    @property
    def frozen(self) -> bool:
        """Whether every parameter is frozen."""
        return bool(self._fixed) and all(
            name in self._fixed for name, _ in self.network.named_parameters()
        )

    @property
    def weights_id(self) -> str:
        """SHA-256 over names, shapes and values of the weights: equal for equal weights only."""
        digest = hashlib.sha256(self.name.encode())
        for name, value in sorted(self.network.state_dict().items()):
            digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def spec(self) -> dict[str, Any]:
        """Plain values with which `build_backbone(**spec, weights="random")` builds its like."""
        return {
            "name": self.name,
            "strides": list(self.strides),
            "pool_stride": self.pool_stride,
            "image_size": list(self.image_size),
            "mean": list(self.mean),
            "std": list(self.std),
            "options": dict(self._options),
        }

    def _parameters_below(self, stride: int) -> frozenset[str]:
        """Names of the parameters that the maps of this stride and shallower ones depend on."""
        named = dict(self.network.named_parameters())
        flags = {name: parameter.requires_grad for name, parameter in named.items()}
        training = self.training
        self.network.eval()
        for parameter in named.values():
            parameter.requires_grad_(True)
        try:
            probe = torch.zeros(1, 3, self._multiple, self._multiple, device=self._mean.device)
            maps = self(probe).maps
            total = torch.stack([maps[s].sum() for s in self.strides if s <= stride]).sum()
            gradients = torch.autograd.grad(total, list(named.values()), allow_unused=True)
        finally:
            for name, parameter in named.items():
                parameter.requires_grad_(flags[name])
            self.train(training)
        return frozenset(
            name
            for name, gradient in zip(named, cast(Any, gradients), strict=True)
            if gradient is not None
        )


def build_backbone(
    name: str = "starter",
    *,
    weights: WeightsSource = "starter",
    file: str | Path | None = None,
    strides: Sequence[int] = (8, 16),
    pool_stride: int | None = None,
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
    _check_name(name)
    chosen = _check_options(options or {})
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
        image_size=_pair(image_size if image_size is not None else learned["input_size"][1:]),
        mean=_triple("mean", mean if mean is not None else learned["mean"]),
        std=_triple("std", std if std is not None else learned["std"]),
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


def _is_plain_transformer(network: nn.Module) -> bool:
    """Whether all maps are of one stride: then the final norm belongs to the map."""
    info = cast(Sequence[Mapping[str, Any]], network.feature_info)
    return len({int(entry["reduction"]) for entry in info}) == 1


def _positions_of_strides(network: nn.Module, name: str) -> dict[int, int]:
    """Stride -> index of the deepest feature of that stride."""
    if not hasattr(network, "forward_intermediates"):
        raise ValueError(
            f"backbone {name} gives no feature maps (timm has no forward_intermediates for it); "
            "choose another, for instance resnet50"
        )
    info = cast(Sequence[Mapping[str, Any]], network.feature_info)
    return {int(entry["reduction"]): index for index, entry in enumerate(info)}


def _check_strides(
    strides: Sequence[int], positions: Mapping[int, int], name: str
) -> tuple[int, ...]:
    wrong = [stride for stride in strides if stride not in positions]
    if wrong or not strides:
        raise ValueError(
            f"strides of backbone {name} must be among {sorted(positions)}, got {list(strides)}"
        )
    return tuple(sorted(set(strides)))


def _check_name(name: str) -> None:
    base = name.split(".")[0]
    if timm.is_model(base):  # never "hf-hub:..." or "local-dir:...": those name places, not models
        return
    near = difflib.get_close_matches(base, timm.list_models(), n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise ValueError(f"backbone name must be a timm model or 'starter', got {name!r}{hint}")


def _check_options(options: Mapping[str, Any]) -> dict[str, str | int]:
    for key, value in options.items():
        if key not in OPTIONS or not isinstance(value, str | int):
            raise ValueError(
                f"backbone options must be among {', '.join(OPTIONS)} with a plain value, "
                f"got {key}={value!r}"
            )
    return dict(options)


def _check_images(images: Tensor) -> None:
    if not images.is_floating_point():
        raise TypeError(
            f"images must be floating point RGB in 0..1, got {images.dtype}; divide by 255"
        )
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[1:]:
        raise ValueError(f"images must be (B, 3, H, W), got {tuple(images.shape)}")


def _pair(value: Sequence[int] | int) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    if len(value) != 2:
        raise ValueError(f"image_size must be one number or (height, width), got {list(value)}")
    return int(value[0]), int(value[1])


def _triple(what: str, value: Sequence[float]) -> tuple[float, float, float]:
    if len(value) != 3 or (what == "std" and min(value) <= 0):
        raise ValueError(f"{what} must be three numbers (std: above 0), got {list(value)}")
    return float(value[0]), float(value[1]), float(value[2])
