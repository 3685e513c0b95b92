"""Things made ahead by another thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

import pytest

from visionkit.inference.video.ahead import ahead


def test_things_made_ahead_are_the_same_and_bounded() -> None:
    made: list[int] = []

    def things() -> Generator[int, None, None]:
        for number in range(20):
            made.append(number)
            yield number

    used = []
    for number in ahead(things(), depth=3):
        time.sleep(0.002)
        assert len(made) - number <= 5, "the one used, three ahead and one that was just asked for"
        used.append(number)
    assert used == list(range(20))


def test_an_error_ahead_comes_in_its_turn_and_closing_closes() -> None:
    closed = threading.Event()

    def things() -> Generator[int, None, None]:
        try:
            yield 1
            raise OSError("broken")
        finally:
            closed.set()

    left = ahead(things())
    assert next(left) == 1
    with pytest.raises(OSError, match="broken"):
        next(left)
    assert closed.is_set()
    closed.clear()
    early = ahead(things())
    next(early)
    early.close()
    assert closed.is_set()
