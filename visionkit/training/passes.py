"""A set that is gone through several times in one epoch, in another order each time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from torch.utils.data import Sampler

Entry = TypeVar("Entry", covariant=True)


class Order(Protocol[Entry]):
    """Entries in an order of each epoch's own."""

    def __len__(self) -> int:
        """How many entries an epoch has."""

    def __iter__(self) -> Iterator[Entry]:
        """The entries of the epoch that was set."""

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch comes next, from 0."""


class Passes(Sampler[Entry]):
    """One pass after the other over a set, each as an epoch of its own would be.

    Args:
        order: of the set.
        passes: most passes of one epoch, so that no two epochs have the same: pass p of epoch e
            is the order's epoch e * passes + p.
    """

    def __init__(self, order: Order[Entry], passes: int) -> None:
        self._order, self._passes = order, passes
        self._epoch = self._done = 0

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Entry]:
        self._order.set_epoch(self._epoch * self._passes + self._done)
        self._done += 1
        yield from self._order

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self._epoch, self._done = epoch, 0
