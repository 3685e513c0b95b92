from __future__ import annotations

from visionkit.training.lightning_parts import Shuffled
from visionkit.training.passes import Passes


def test_each_pass_is_an_epoch_of_its_own() -> None:
    passes = Passes(Shuffled(5, seed=3), 2)
    seen = []
    for epoch in range(2):
        passes.set_epoch(epoch)
        seen += [list(passes), list(passes)]
    alone = Shuffled(5, seed=3)
    wanted = []
    for epoch in range(4):
        alone.set_epoch(epoch)
        wanted.append(list(alone))
    assert seen == wanted
    assert len(passes) == 5


def test_an_epoch_begins_the_same_whatever_ran_before() -> None:
    first, second = Passes(Shuffled(9, seed=0), 3), Passes(Shuffled(9, seed=0), 3)
    list(first)
    list(first)
    for passes in (first, second):
        passes.set_epoch(4)
    assert list(first) == list(second)


def test_no_entries() -> None:
    assert list(Passes(Shuffled(0, seed=0), 2)) == []
