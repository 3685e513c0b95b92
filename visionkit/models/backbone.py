"""One network behind one interface: pictures in, `Features` out.

Any timm model that has `forward_intermediates` (nearly all do) can be the backbone. What it
needs to see pictures as in its training (mean, standard deviation, size, padding) travels
with it, so a caller hands over RGB in 0..1 and nothing else.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.models.arguments import Pooling, check_pooling, check_strides
from visionkit.types import Features

_FINEST = 8  # pixels; a map of stride 4 costs more than it tells of objects (`FeaturePyramid`)


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
        pooling: what `Features.pooled` is: "map", that mean; "head", what the network's own
            classifier stood on; or "both", one behind the other.
        pooled_channels: length of `Features.pooled`.
        known_strides: of all maps that the layers it has can give; what `view` may be asked for.
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
        pooling: Pooling,
        image_size: tuple[int, int],
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        options: Mapping[str, str | int],
    ) -> None:
        super().__init__()
        positions = _positions_of_strides(network, name)
        self.name = name
        self.strides = check_strides(strides, positions, name)
        self.pool_stride = max(positions) if pool_stride is None else pool_stride
        check_strides([self.pool_stride], positions, name)
        self.pooling = check_pooling(pooling, self.pool_stride, positions)
        self.image_size, self.mean, self.std = image_size, mean, std
        self._options = dict(options)
        taken = sorted({*self.strides, self.pool_stride}, key=lambda stride: positions[stride])
        self._taken = taken
        info = cast(Sequence[Mapping[str, Any]], network.feature_info)
        sizes = {stride: int(info[positions[stride]]["num_chs"]) for stride in taken}
        self.channels = {stride: sizes[stride] for stride in self.strides}
        top = cast(Any, network)
        self.pooled_channels = (sizes[self.pool_stride] if pooling != "head" else 0) + (
            int(getattr(top, "head_hidden_size", top.num_features)) if pooling != "map" else 0
        )
        self._indices = [positions[stride] for stride in taken]
        self.known_strides = tuple(
            sorted(stride for stride, index in positions.items() if index <= max(self._indices))
        )
        if pooling == "map":
            top.prune_intermediate_layers(  # what no map needs is taken out
                self._indices, prune_norm=not _is_plain_transformer(network), prune_head=True
            )
        else:
            top.reset_classifier(0)
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
        # Of positive numbers only: a tracer of another engine rounds negative ones to zero.
        right, bottom = _rest(width, self._multiple), _rest(height, self._multiple)
        if right or bottom:
            pixels = F.pad(pixels, (0, right, 0, bottom))  # 0 is the mean colour by now
        top, maps = self._see(pixels)
        found = {
            stride: feature_map[..., : _cells(height, stride), : _cells(width, stride)]
            for stride, feature_map in zip(self._taken, maps, strict=True)
        }
        pooled = [] if self.pooling == "head" else [found[self.pool_stride].mean(dim=(-2, -1))]
        if top is not None:
            cells = [_cells(side, self.pool_stride) for side in (height, width)]
            inside = top[..., : cells[0], : cells[1]] if top.ndim == 4 else top
            pooled.append(cast(Any, self.network).forward_head(inside, pre_logits=True))
        wanted = {stride: found[stride] for stride in self.strides}
        return Features(maps=wanted, pooled=torch.cat(pooled, 1) if pooled[1:] else pooled[0])

    def _see(self, pixels: Tensor) -> tuple[Tensor | None, list[Tensor]]:
        """What the network's head stands on, None where nobody asks, and the maps taken."""
        seen = cast(Any, self.network).forward_intermediates(
            pixels,
            indices=self._indices,
            norm=_is_plain_transformer(self.network),
            stop_early=self.pooling == "map",
            output_fmt="NCHW",
            intermediates_only=self.pooling == "map",
        )
        return (None, seen) if self.pooling == "map" else seen

    def view(self, strides: Sequence[int], *, pool_stride: int | None = None) -> Backbone:
        """A backbone of these very weights that gives other maps and runs no layer they don't need.

        The tensors are shared, so that one network in memory serves a head that wants every map
        and one that is quick because it stops early; it is as frozen and as much in training as
        this one. Take views after the network was moved to its device: batch norms that are moved
        later are no longer the same.

        Args:
            strides: of the maps wanted, among `known_strides`.
            pool_stride: as of `build_backbone`; this backbone's own if None.

        Raises:
            ValueError: the layers of a stride were left away, or there never were any.
        """
        pooling = self.pooling if pool_stride in (None, self.pool_stride) else "map"
        pool_stride = self.pool_stride if pool_stride is None else pool_stride
        unknown = sorted({*strides, pool_stride} - {*self.known_strides})
        if unknown:
            raise ValueError(
                f"this backbone must have layers of stride {unknown[0]}, but its maps are of "
                f"{', '.join(map(str, self.known_strides))} ({self.name}); build it with "
                "pool_stride=None, which keeps all layers"
            )
        tensors = itertools.chain(self.network.parameters(), self.network.buffers())
        # Modules are copied, since each view leaves away others of them; tensors stay the same.
        network = copy.deepcopy(self.network, {id(tensor): tensor for tensor in tensors})
        seen = Backbone(
            network,
            name=self.name,
            strides=strides,
            pool_stride=pool_stride,
            pooling=pooling,
            image_size=self.image_size,
            mean=self.mean,
            std=self.std,
            options=self._options,
        ).to(self._mean.device)
        kept = {name for name, _ in seen.network.named_parameters()}
        seen._fixed = self._fixed & kept
        return seen.train(self.training)

    def full(self) -> Backbone:
        """A view with every map that a head may want: those of stride 8 and more.

        Whatever heads there are, they all see pictures in this way, so that none of them changes
        what another sees.
        """
        coarse = [stride for stride in self.known_strides if stride >= _FINEST]
        return self.view(coarse or self.known_strides[-1:])

    def holds(self, other: Backbone) -> bool:
        """Whether all weights of `other` are this one's too, by name and value."""
        own = self.network.state_dict()
        return self.name == other.name and all(
            name in own and torch.equal(own[name], value)
            for name, value in other.network.state_dict().items()
        )

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

    def free(self) -> Backbone:
        """Itself, with weights that training may change: the opposite of `freeze`."""
        self._fixed = frozenset()
        self.network.requires_grad_(True)
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
            "pooling": self.pooling,
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


def _cells(length: int, stride: int) -> int:
    """How many cells begin within a length: the quotient, rounded up."""
    return (length + stride - 1) // stride


def _rest(length: int, multiple: int) -> int:
    """What is missing to the next multiple."""
    return (multiple - length % multiple) % multiple


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


def _check_images(images: Tensor) -> None:
    if not images.is_floating_point():
        raise TypeError(
            f"images must be floating point RGB in 0..1, got {images.dtype}; divide by 255"
        )
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[1:]:
        raise ValueError(f"images must be (B, 3, H, W), got {tuple(images.shape)}")
