"""The frozen test set: frozen once, refused when it changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from visionkit.flywheel.frozen import frozen_set
from visionkit.types import ObjectBox, Sample


def pictures(count: int, split: str = "") -> list[Sample]:
    return [
        Sample(f"{split}{n}", f"/{split}{n}.jpg", 8, 8, f"hash{split}{n}", split, ("cat",))  # type: ignore[arg-type]
        for n in range(count)
    ]


def test_the_test_split_is_frozen_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "frozen.json"
    samples = [*pictures(5, "train"), *pictures(4, "test")]
    first = frozen_set(path, samples)
    assert first.is_new
    assert [sample.id for sample in first.samples] == ["test0", "test1", "test2", "test3"]
    again = frozen_set(path, [*pictures(9, "train"), *reversed(pictures(4, "test"))])
    assert (again.is_new, again.name) == (False, first.name)


def test_who_said_so_may_change_but_not_what(tmp_path: Path) -> None:
    path = tmp_path / "frozen.json"
    box = ObjectBox("cat", (1.0, 2.0, 3.0, 4.0))
    boxed = replace(pictures(1, "test")[0], objects=(box,))
    name = frozen_set(path, [boxed]).name
    vouched = replace(boxed, objects=(replace(box, source="human:ann", created="2026-01-01"),))
    assert frozen_set(path, [vouched]).name == name
    moved = replace(boxed, objects=(replace(box, box=(1.0, 2.0, 3.0, 5.0)),))
    with pytest.raises(ValueError, match=r"got 1 labelled otherwise \(test0\)"):
        frozen_set(path, [moved])


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (pictures(3, "test"), r"got 1 gone \(test3\)"),
        (pictures(6, "test"), r"got 2 added \(test4, test5\)"),
        (
            [replace(s, labels=("dog",)) for s in pictures(4, "test")],
            r"got 4 labelled otherwise \(test0, test1, test2\)",
        ),
        (
            [replace(s, content_hash="other") for s in pictures(4, "test")],
            "got 4 labelled otherwise",
        ),
    ],
)
def test_any_change_is_refused_until_it_is_frozen_anew(
    tmp_path: Path, now: list[Sample], words: str
) -> None:
    path = tmp_path / "frozen.json"
    before = frozen_set(path, pictures(4, "test"))
    with pytest.raises(ValueError, match=words + r".*loop\.refreeze=true"):
        frozen_set(path, now)
    anew = frozen_set(path, now, anew=True)
    assert anew.name != before.name
    assert anew.added == {sample.id for sample in now[4:]}
    assert frozen_set(path, now).name == anew.name


def test_without_a_test_split_a_share_is_drawn_copies_together(tmp_path: Path) -> None:
    path = tmp_path / "frozen.json"
    samples = pictures(500)
    copies = [replace(sample, id=f"copy{sample.id}") for sample in samples]
    first = frozen_set(path, [*samples, *copies], share=0.2)
    assert 2 * 65 <= len(first.samples) <= 2 * 135
    ids = {sample.id for sample in first.samples}
    assert all(f"copy{name}" in ids for name in ids if not name.startswith("copy"))
    more = [replace(sample, id=f"new{sample.id}") for sample in samples]
    assert frozen_set(path, [*samples, *copies, *more]).name == first.name


def test_a_set_that_was_drawn_is_read_from_its_file_not_drawn_again(tmp_path: Path) -> None:
    path = tmp_path / "frozen.json"
    first = frozen_set(path, pictures(60), share=0.5)
    again = frozen_set(path, pictures(60), share=0.1)
    assert (again.is_new, again.samples, again.name) == (False, first.samples, first.name)


def test_nothing_to_freeze_and_a_damaged_file_are_said(tmp_path: Path) -> None:
    path = tmp_path / "frozen.json"
    with pytest.raises(ValueError, match="must be pictures to compare models on"):
        frozen_set(path, pictures(3, "train"))
    path.write_text("{}")
    with pytest.raises(ValueError, match="is damaged"):
        frozen_set(path, pictures(3, "test"))


def test_what_a_damaged_file_held_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "frozen.json"
    assert frozen_set(path, pictures(2, "test")).added == {"test0", "test1"}
    assert frozen_set(path, pictures(2, "test")).added == set()
    path.write_text("{", "utf-8")
    assert frozen_set(path, pictures(2, "test"), anew=True).added == {"test0", "test1"}


def test_a_draw_leaves_each_class_a_picture_to_learn_from(tmp_path: Path) -> None:
    kinds = [f"kind{number // 2}" for number in range(60)]  # two pictures each
    rare = [
        replace(sample, id=f"rare{sample.id}", content_hash=f"rare{n}", labels=(kinds[n],))
        for n, sample in enumerate(pictures(60))
    ]
    box = ObjectBox("bolt", (1.0, 2.0, 3.0, 4.0))
    boxed = replace(pictures(1)[0], id="boxed", content_hash="boxed", labels=(), objects=(box,))
    frozen = frozen_set(tmp_path / "frozen.json", [*pictures(200), *rare, boxed], share=0.9)
    tested = {sample.id for sample in frozen.samples}
    assert "boxed" not in tested
    left = {sample.labels[0] for sample in rare if sample.id not in tested}
    assert left == set(kinds)
    assert sum(sample.id in tested for sample in rare) > 20  # the other one of most
