"""Where NaN or Inf comes from: the first layer that gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from visionkit.training.debugger.weights import learning


def first_nonfinite(model: nn.Module, again: Callable[[], object] | None) -> str:
    """The name of what first holds a value that is no finite number.

    A weight, if one is so already; else the first module that makes one of finite ones, "input"
    if what goes into the first module is so, or "loss" if every module gives finite values.

    Args:
        model: the network.
        again: runs the step's forward pass once more; None where that can't be done.
    """
    for name, each in learning(model).items():
        if not bool(torch.isfinite(each.detach()).all()):
            return name
    if again is None:
        return "loss"
    found: list[str] = []
    with _hooks(model, found), torch.no_grad(), suppress(RuntimeError, ValueError, ArithmeticError):
        again()  # what is wrong with the loss is said once more, and is known already
    return found[0] if found else "loss"


@contextmanager
def _hooks(model: nn.Module, found: list[str]) -> Iterator[None]:
    leaves = {
        module: name
        for name, module in model.named_modules()
        if not any(True for _ in module.children())
        or any(True for _ in module.parameters(recurse=False))
    }
    seen: list[str] = []

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if found:
            return
        if not all(_is_finite(value) for value in inputs):
            found.append(f"what goes into {leaves[module]}" if seen else "input")
        elif not _is_finite(output):
            found.append(leaves[module] or type(module).__name__)
        seen.append(leaves[module])

    handles = [module.register_forward_hook(hook) for module in leaves]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_finite(value: Any) -> bool:
    if isinstance(value, Tensor) and value.is_floating_point():
        return bool(torch.isfinite(value).all())
    if isinstance(value, (tuple, list)):
        return all(_is_finite(each) for each in value)
    return True
