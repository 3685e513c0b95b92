"""Doing the next thing while this one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

Thing = TypeVar("Thing")


def ahead(things: Generator[Thing, None, None], *, depth: int = 2) -> Generator[Thing, None, None]:
    """The same things in the same order, made in a thread of their own.

    What raises there raises here, in its turn. When the result is closed, so are the things.

    Args:
        things: a generator; nothing else may use it.
        depth: so many are made before they are asked for, which bounds the memory.
    """
    end = object()
    # Closed last: a generator can't be closed while the thread is in it.
    with closing(things), ThreadPoolExecutor(1, "visionkit-decoder") as maker:
        waiting = deque(maker.submit(next, things, end) for _ in range(depth))
        try:
            while (thing := waiting.popleft().result()) is not end:
                waiting.append(maker.submit(next, things, end))
                yield thing  # type: ignore[misc]  # it is not the end
        finally:
            for promised in waiting:
                promised.cancel()
