"""Sequences one after the other, without a copy of what is in them."""

from __future__ import annotations

from collections.abc import Sequence

from visionkit.types import Entry, Numbered


class Chain(Numbered[Entry]):
    """Several sequences as one; entries are made when they are asked for.

    >>> joined = Chain([[1, 2], [], [3]])
    >>> len(joined), joined[2]
    (3, 3)

    Args:
        parts: in order; empty ones are fine.
    """

    def __init__(self, parts: Sequence[Numbered[Entry]]) -> None:
        self._parts = tuple(parts)

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def __getitem__(self, index: int, /) -> Entry:
        """An entry.

        Raises:
            IndexError: there are not so many.
        """
        place = index
        for part in self._parts:
            if 0 <= place < len(part):
                return part[place]
            place -= len(part)
        raise IndexError(f"the entry must be in 0..{len(self) - 1}, got {index}")
