from __future__ import annotations

import pytest

from visionkit.cli.compose import compose
from visionkit.config import DataConfig, TrainConfig
from visionkit.jobs.sets import check_sets, data_of, names_nothing

HEADS = ("exemplar", "classification", "localization")


def config(*words: str) -> DataConfig:
    return compose("train", TrainConfig, ["task=all", *words]).config.data


@pytest.mark.parametrize(
    ("words", "heads"),
    [
        ([], HEADS),
        (["data.items=i", "data.labels=l", "data.boxes=b"], HEADS),
        (["data.items=i", "data.root=r"], HEADS),
        (["data.labels=l"], ("classification",)),
        (["data.root=r", "data.val=v"], ("classification", "localization")),
        (["data.items=i"], ("exemplar",)),
    ],
)
def test_sets_for_every_head(words: list[str], heads: tuple[str, ...]) -> None:
    check_sets(config(*words), heads)
    assert names_nothing(config(*words)) == (not words)


@pytest.mark.parametrize(
    ("words", "heads", "message"),
    [
        ([], (), "at least one of exemplar, classification, localization"),
        (["data.root=r"], HEADS, r"data.items.*task.heads=\[classification,localization\]"),
        (["data.labels=l"], HEADS[1:], "data.boxes or data.root must be given"),
        (["data.boxes=b"], HEADS[1:], "data.labels or data.root must be given"),
        (["data.labels=l", "data.boxes=b", "data.val=v"], HEADS[1:], "data.val, got only v"),
    ],
)
def test_a_head_without_a_set(words: list[str], heads: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_sets(config(*words), heads)


def test_a_set_of_its_own_comes_before_the_common_one() -> None:
    data = config("data.root=r", "data.boxes=b", "data.val=v", "data.background=g")
    boxes, classes = data_of(data, "localization"), data_of(data, "classification")
    assert (boxes.root, boxes.val, boxes.background) == ("b", None, "g")
    assert (classes.root, classes.val, classes.background) == ("r", "v", None)
    assert boxes.labels is boxes.boxes is boxes.items is None


def test_items_are_told_nothing_of_the_others() -> None:
    items = data_of(config("data.root=r", "data.items=i", "data.test=t"), "exemplar")
    assert (items.items, items.root, items.test) == ("i", None, None)


def test_demo_sets_lie_apart() -> None:
    data = config("data.demo.folder=demo")
    assert [data_of(data, head).demo.folder for head in HEADS] == [
        "demo/exemplar",
        "demo/classification",
        "demo/localization",
    ]
    assert data_of(config(), "exemplar").demo.folder is None
