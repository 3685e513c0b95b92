"""Doing the next things while this one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

Thing = TypeVar("Thing")
Made = TypeVar("Made")


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


def made_of_each(
    things: Generator[Thing, None, None], make: Callable[[Thing], Made], *, workers: int
) -> Generator[tuple[Thing, Made], None, None]:
    """Each thing with what is made of it, in order; several are made at once.

    What raises there raises here, in its turn. When the result is closed, so are the things.

    Args:
        things: a generator; nothing else may use it.
        make: called from any of the threads, from several at once.
        workers: threads that make; one more thing than they are waits, which bounds the memory.
    """
    with closing(things), ThreadPoolExecutor(workers, "visionkit-network") as makers:
        waiting: deque[tuple[Thing, Future[Made]]] = deque()
        try:
            for thing in things:
                waiting.append((thing, makers.submit(make, thing)))
                if len(waiting) > workers:
                    first, promised = waiting.popleft()
                    yield first, promised.result()
            while waiting:
                first, promised = waiting.popleft()
                yield first, promised.result()
        finally:
            for _, promised in waiting:
                promised.cancel()
