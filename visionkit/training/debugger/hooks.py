"""Hooks that see the module they were put on, and none of its copies."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any


class Hook:
    """A hook of a module, for as long as the module is watched.

    A module that is saved whole (`torch.save(model)`) or copied takes its hooks along. In place of
    this one goes what does nothing and needs no visionkit to be loaded.

    Args:
        see: called as the hook; what it returns is left out.
    """

    def __init__(self, see: Callable[..., object]) -> None:
        self._see = see

    def __call__(self, *given: object) -> None:
        """Sees a call of the module."""
        self._see(*given)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, str]]:
        return getattr, (nullcontext(), "__exit__")
