"""Gradients, weights and what a step changes of them, by norms and a few values of each tensor."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from visionkit.training.debugger.sampling import parts, root_mean_squares, sample, together

_VALUES = 256  # of a tensor


@dataclass(frozen=True)
class Step:
    """One step of the optimizer; fields as of `Look`."""

    gradients: Mapping[str, float]
    weights: Mapping[str, float]
    updates: Mapping[str, float]
    constant: tuple[str, ...]


class StepRecorder:
    """A step of the optimizer: made before it, read after it.

    Args:
        named: tensors that learn; those without a gradient are left out.
    """

    def __init__(self, named: Mapping[str, nn.Parameter]) -> None:
        self._named = {
            name: each
            for name, each in named.items()
            if each.grad is not None and not each.grad.is_sparse and each.numel()
        }
        gradients = [each.grad for each in self._named.values() if each.grad is not None]
        norms = torch._foreach_norm(gradients) if gradients else []
        self._gradients = [
            norm / gradient.numel() ** 0.5 for norm, gradient in zip(norms, gradients, strict=True)
        ]
        self._before = [sample(each, _VALUES) for each in self._named.values()]

    @torch.no_grad()
    def close(self) -> Step:
        """What the step did."""
        names = list(self._named)
        gradients, _ = together([norm.reshape(1) for norm in self._gradients])
        before, sizes = together(self._before)
        after, _ = together([sample(each, _VALUES) for each in self._named.values()])
        weights = root_mean_squares(after, sizes)
        updates = root_mean_squares(after - before, sizes)
        constant = tuple(
            name
            for name, part in zip(names, parts(before, sizes), strict=True)
            if _is_table(self._named[name]) and len(part) > 8 and part[0] and np.ptp(part) == 0
        )
        return Step(
            dict(zip(names, gradients.tolist(), strict=True)),
            dict(zip(names, weights, strict=True)),
            dict(zip(names, updates, strict=True)),
            constant,
        )


class Unmoved:
    """Tensors that should stay as they are, by a few values of each.

    Those that had no gradient at first and have one now were unfrozen, and may move.

    Args:
        named: these tensors.
    """

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        self._named = dict(named)
        self._learned = {name: each.requires_grad for name, each in named.items()}
        self._before, self._sizes = together([sample(each, _VALUES) for each in named.values()])

    def moved(self) -> tuple[str, ...]:
        """Names of those that did not."""
        if not self._named:
            return ()
        after, _ = together([sample(each, _VALUES) for each in self._named.values()])
        if (after == self._before).all():
            return ()
        pairs = zip(
            self._named, parts(self._before, self._sizes), parts(after, self._sizes), strict=True
        )
        return tuple(
            name
            for name, one, other in pairs
            if (one != other).any() and self._named[name].requires_grad <= self._learned[name]
        )


def _is_table(tensor: Tensor) -> bool:
    """Whether there are several units of several weights; a scale of channels has one each."""
    return sum(length > 1 for length in tensor.shape) > 1


def learning(model: nn.Module) -> dict[str, nn.Parameter]:
    """The tensors of a network that learn, by name; not those of averages of weights."""
    return {name: each for name, each in _own(model) if each.requires_grad}


def frozen(
    model: nn.Module, trained: Collection[int], names: Iterable[str]
) -> dict[str, nn.Parameter]:
    """The tensors that are meant to stay as they are, by name.

    These are those named, and of those without gradients the ones that an optimizer has or that
    lie in a visionkit backbone. A teacher that follows its pupil is neither.

    Args:
        model: the network.
        trained: ids of the tensors that optimizers have.
        names: beginnings of names.
    """
    homes = tuple(
        f"{name}." if name else ""
        for name, module in model.named_modules()
        if isinstance(getattr(module, "frozen", None), bool)
    )
    named = tuple(names)
    return {
        name: each
        for name, each in _own(model)
        if (bool(named) and name.startswith(named))
        or (
            not each.requires_grad
            and (id(each) in trained or (bool(homes) and name.startswith(homes)))
        )
    }


def frozen_statistics(model: nn.Module, names: Iterable[str]) -> dict[str, Tensor]:
    """The running means of batch norms whose weights are all frozen, by the norm's name."""
    named = tuple(names)
    found = {}
    for name, module in model.named_modules():
        if not isinstance(module, nn.modules.batchnorm._BatchNorm) or module.running_mean is None:
            continue
        own = list(module.parameters(recurse=False))
        is_frozen = bool(own) and not any(each.requires_grad for each in own)
        if is_frozen or (named and name.startswith(named)):
            found[name] = module.running_mean
    left_out = _averages(model)
    return {name: each for name, each in found.items() if not name.startswith(left_out)}


def _own(model: nn.Module) -> Iterable[tuple[str, nn.Parameter]]:
    left_out = _averages(model)
    return [pair for pair in model.named_parameters() if not pair[0].startswith(left_out)]


def _averages(model: nn.Module) -> tuple[str, ...]:
    """Beginnings of the names of averages of weights; one that no name has where there are none."""
    found = [
        f"{name}." for name, module in model.named_modules() if isinstance(module, AveragedModel)
    ]
    return tuple(found) or ("\0",)
