"""Which pictures of a frozen test set a head is judged on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds import classification_part, new_finder, three_items, whole_backbone
from visionkit.inference.predictor import Predictor
from visionkit.jobs.judging import check_told, compared, telling
from visionkit.types import ObjectBox, Sample

BOX = (ObjectBox("car", (0.0, 0.0, 4.0, 4.0)),)
SAMPLES = [
    Sample("boxed", "b", 9, 9, "b", objects=BOX),
    Sample("named", "n", 9, 9, "n", labels=("cat",)),
    Sample("both", "o", 9, 9, "o", labels=("cat",), objects=BOX),
    Sample("nothing", "e", 9, 9, "e"),
]


@pytest.mark.parametrize(
    ("task", "known", "expected"),
    [
        ("classification", ["cat"], ["named", "both", "nothing"]),
        ("localization", ["car"], ["boxed", "both", "nothing"]),
        ("localization", ["cat"], ["boxed", "both", "nothing"]),
        ("exemplar", ["car"], ["boxed", "both", "nothing"]),
        ("exemplar", ["cat"], ["boxed", "named", "both", "nothing"]),
    ],
)
def test_pictures_that_say_something_of_a_head(
    task: str, known: list[str], expected: list[str]
) -> None:
    assert telling([], task, known) == []
    assert [sample.id for sample in telling(SAMPLES, task, known)] == expected


@pytest.fixture
def finding(tmp_path: Path) -> Path:
    """A bundle that looks for item 0, item 1 and item 2."""
    Predictor(whole_backbone(), new_finder(three_items())).save(tmp_path / "finding")
    return tmp_path / "finding"


def naming(folder: Path, *, multi_label: bool) -> Path:
    """A bundle that names pictures."""
    part = classification_part(multi_label=multi_label)
    Predictor(whole_backbone(), None, part).save(folder)
    return folder


def test_only_items_that_are_looked_for_or_boxed_are_asked_for(finding: Path) -> None:
    box = ObjectBox("new", (0.0, 0.0, 4.0, 4.0))
    frozen = [
        Sample("item", "i", 9, 9, "i", labels=("item 1",)),
        Sample("boxed", "b", 9, 9, "b", labels=("kitchen",), objects=(box,)),
        Sample("scene", "s", 9, 9, "s", labels=("kitchen",)),
        Sample("none", "n", 9, 9, "n", labels=("none",)),
        Sample("nothing", "e", 9, 9, "e"),
    ]
    samples, names = compared("exemplar", frozen, [finding])
    assert names == ("item 1", "new")
    assert [sample.id for sample in samples] == ["item", "boxed", "none", "nothing"]
    assert compared("exemplar", [], [finding]) == ([], ())


def test_a_head_that_always_names_a_class_is_judged_on_pictures_that_show_one(
    tmp_path: Path, finding: Path
) -> None:
    one, several = (
        naming(tmp_path / name, multi_label=name == "several") for name in ("one", "several")
    )
    for bundles, expected in (
        ([one], ["named", "both"]),
        ([several, one], ["named", "both"]),
        ([several, several], ["named", "both", "nothing"]),
        ([finding, one], ["named", "both"]),  # the champion has no such head yet
    ):
        samples, names = compared("classification", SAMPLES, bundles)
        assert [sample.id for sample in samples] == expected
        assert names == ("cat",)


@pytest.mark.parametrize(
    ("task", "shown", "items"),
    [
        ("classification", SAMPLES[1:2], ()),
        ("localization", SAMPLES[:1], ()),
        ("exemplar", SAMPLES[:1], ()),
        ("exemplar", SAMPLES[1:2], ("cat",)),
        ("exemplar", SAMPLES[1:2], None),
    ],
)
def test_frozen_pictures_must_show_something_of_the_head(
    task: str, shown: list[Sample], items: tuple[str, ...] | None
) -> None:
    check_told(task, shown, items, "the test set")
    with pytest.raises(ValueError, match=f"the test set must tell something of task={task}, got"):
        check_told(task, SAMPLES[3:], items, "the test set")


def test_labels_that_are_no_items_tell_nothing_of_items() -> None:
    none = Sample("none", "n", 9, 9, "n", labels=("none",))
    wanted = "no boxes or labels of items that are looked for: .* loop.refreeze=true"
    with pytest.raises(ValueError, match=wanted):
        check_told("exemplar", [SAMPLES[1], none], ("tea",), "the test set")
