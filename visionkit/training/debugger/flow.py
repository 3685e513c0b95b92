"""What flows through a network in one step, by hooks that are there for that step only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.hooks import RemovableHandle

from visionkit.training.debugger.history import Embeddings, Flow, Pictures
from visionkit.training.debugger.hooks import Hook
from visionkit.training.debugger.sampling import parts, root_mean_squares, sample, together

_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardswish)
_ENDS = {nn.Sigmoid: (0.001, 0.999), nn.Tanh: (-0.998, 0.998)}  # a gradient of a thousandth
_MATRICES = (nn.Linear, nn.modules.conv._ConvNd)
_VALUES = 512  # of what a layer gives
_VECTORS = 64  # embeddings that are compared
EDGES = np.concatenate([-np.logspace(3, -3, 25), np.logspace(-3, 3, 25)])
"""(50,) edges of histograms: they reach over sizes, not over values."""


def watched_modules(model: nn.Module) -> dict[nn.Module, str]:
    """Modules that are looked at, with their names: those with weights, and activations.

    Averages of weights (`AveragedModel`) are left out: nothing learns in them.
    """
    found: dict[nn.Module, str] = {}
    left_out: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, AveragedModel):
            left_out.append(f"{name}.")
        if any(f"{name}.".startswith(prefix) for prefix in left_out):
            continue
        own = any(True for _ in module.parameters(recurse=False))
        if own or isinstance(module, (*_RECTIFIERS, *_ENDS)):
            found[module] = name or type(module).__name__
    return found


class FlowRecorder:
    """Hooks for one step; `close` takes them away and gives what was seen.

    Args:
        modules: of `watched_modules`.
        expected: name of a module that is a backbone -> range of black and white there.
    """

    def __init__(
        self, modules: Mapping[nn.Module, str], expected: Mapping[str, tuple[float, float]]
    ) -> None:
        self._expected = expected
        self._calls: Counter[str] = Counter()
        self._outputs: dict[str, tuple[Tensor, Tensor]] = {}  # sample and largest
        self._silent: dict[str, Tensor] = {}
        self._ends: dict[str, Tensor] = {}
        self._order: list[str] = []
        self._range: tuple[str, Tensor, Tensor] | None = None
        self._vectors: tuple[str, Tensor] | None = None
        self.called: set[str] = set()
        self._handles: list[RemovableHandle] = [
            module.register_forward_hook(Hook(self._hook(name))) for module, name in modules.items()
        ]

    def close(self, labels: Tensor | None) -> tuple[Flow, Pictures | None, Embeddings | None]:
        """What was seen.

        Args:
            labels: (B,) of the batch; None where there are none.
        """
        self.drop()
        names = list(self._outputs)
        values, sizes = together([self._outputs[name][0] for name in names])
        largest, _ = together([self._outputs[name][1].reshape(1) for name in names])
        counts = [
            np.histogram(part[np.isfinite(part)], EDGES)[0].astype(np.int64)
            for part in parts(values, sizes)
        ]
        ends, _ = together([share.reshape(1) for share in self._ends.values()])
        last = self._order[-1] if self._order else ""
        flow = Flow(
            size=dict(zip(names, root_mean_squares(values, sizes), strict=True)),
            largest=dict(zip(names, largest.tolist(), strict=True)),
            silent={name: one.cpu().numpy() for name, one in self._silent.items()},
            # The last one is the answer itself: that of a network which is sure lies at an end.
            saturated={
                name: share
                for name, share in zip(self._ends, ends.tolist(), strict=True)
                if name != last
            },
            counts=dict(zip(names, counts, strict=True)),
        )
        return flow, self._pictures(), self._embeddings(labels)

    def drop(self) -> None:
        """Takes the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _hook(self, name: str) -> Any:
        @torch.no_grad()
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            given = inputs[0] if inputs else None
            self.called.add(name)
            self._calls[name] += 1
            key = name if self._calls[name] == 1 else f"{name}#{self._calls[name]}"
            if isinstance(given, Tensor):
                self._note_input(name, given)
            if not isinstance(output, Tensor) or not output.is_floating_point():
                return
            if not output.numel():
                return
            self._order.append(key)
            if isinstance(module, _RECTIFIERS):
                if output.requires_grad:
                    self._silent[key] = _silent_units(output)
            elif isinstance(module, tuple(_ENDS)):
                if output.requires_grad:
                    low, high = _ENDS[type(module)]
                    few = sample(output, 4096)
                    self._ends[key] = ((few <= low) | (few >= high)).float().mean()
            elif isinstance(module, _MATRICES):
                few = sample(output, _VALUES)
                self._outputs[key] = (few, few.abs().amax())

        return hook

    def _note_input(self, name: str, given: Tensor) -> None:
        if self._range is None and given.ndim == 4 and given.is_floating_point() and len(given):
            low, high = torch.aminmax(given.detach())
            self._range = (name, low, high)
        elif given.ndim == 2 and given.is_floating_point() and _is_comparable(given):
            self._vectors = (name, given.detach()[:_VECTORS])

    def _pictures(self) -> Pictures | None:
        if self._range is None:
            return None
        name, low, high = self._range
        homes = [prefix for prefix in self._expected if not prefix or name.startswith(prefix)]
        expected = self._expected[min(homes, key=len)] if homes else None
        return Pictures(name, float(low), float(high), expected)

    def _embeddings(self, labels: Tensor | None) -> Embeddings | None:
        if self._vectors is None:
            return None
        name, vectors = self._vectors
        vectors = vectors.float().cpu()
        size = float(vectors.square().mean().sqrt())
        spread = float(vectors.var(0, correction=0).mean().sqrt()) / max(size, 1e-12)
        # Sizes that are those of a batch of pictures only: a vector for each label.
        if labels is None or min(len(labels), _VECTORS) != len(vectors):
            return Embeddings(name, spread)
        return Embeddings(name, spread, *_neighbours(vectors, labels[:_VECTORS]))


def expected_ranges(model: nn.Module) -> dict[str, tuple[float, float]]:
    """Name of each backbone -> the lowest and highest value of pictures normalised for it.

    A backbone says what it was learned with by `mean` and `std`, or as timm does by
    `pretrained_cfg`. Of one within another the outer one counts.
    """
    found = {}
    for name, module in model.named_modules():
        config = getattr(module, "pretrained_cfg", None)
        known = config if isinstance(config, Mapping) else {}
        mean, std = getattr(module, "mean", None), getattr(module, "std", None)
        if not isinstance(mean, tuple) or not isinstance(std, tuple):
            mean, std = known.get("mean"), known.get("std")
        if not isinstance(mean, tuple) or not isinstance(std, tuple):
            continue
        if len(mean) == len(std) and all(value > 0 for value in std):
            low = min(-m / s for m, s in zip(mean, std, strict=True))
            high = max((1 - m) / s for m, s in zip(mean, std, strict=True))
            found[name] = (low, high)
    return found


def _is_comparable(vectors: Tensor) -> bool:
    """Whether there are enough vectors, and long enough ones, to say something of their spread."""
    return len(vectors) >= 4 and vectors.shape[1] >= 8


def _silent_units(output: Tensor) -> Tensor:
    """(C,) bool: units that give zero everywhere."""
    axis = 1 if output.ndim in (2, 4) else output.ndim - 1
    others = [place for place in range(output.ndim) if place != axis]
    return (output.detach() != 0).sum(others) == 0 if others else output.detach() == 0


def _neighbours(vectors: Tensor, labels: Tensor) -> tuple[int, float, float, int]:
    """Hits of the nearest neighbours, how many by chance, variance of these, and how many."""
    count = len(vectors)
    distances = torch.cdist(vectors, vectors)
    distances.fill_diagonal_(float("inf"))
    hits = int((labels[distances.argmin(1)] == labels).sum())
    same = (labels[:, None] == labels[None]).sum(1).double() - 1
    chance = same / max(1, count - 1)
    return hits, float(chance.sum()), float((chance * (1 - chance)).sum()), count
