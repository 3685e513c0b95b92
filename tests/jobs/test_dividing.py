from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from visionkit.jobs.dividing import divide
from visionkit.types import ObjectBox, Sample, Split

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
SOURCE = Path("set")


def sample(name: str, label: str = "a", split: Split = "", content: str = "") -> Sample:
    return Sample(name, f"/set/{name}", 9, 9, content or f"hash of {name}", split, (label,))


def many(count: int, split: Split = "", label: str = "a", start: int = 0) -> list[Sample]:
    return [sample(f"{label}{start + i}", label, split) for i in range(count)]


def counts(samples: list[Sample]) -> Counter[str]:
    return Counter(each.split for each in samples)


def test_no_samples_are_no_samples() -> None:
    divided, problems = divide([], SHARES, seed=0, source=SOURCE)
    assert divided == []
    assert {problem.level for problem in problems} == {"warning"}


def test_without_any_split_all_three_are_drawn() -> None:
    divided, problems = divide(many(1000), SHARES, seed=0, source=SOURCE)
    found = counts(divided)
    assert abs(found["train"] - 800) < 40  # binomial: three standard deviations of 12.6
    assert abs(found["val"] - 100) < 30
    assert abs(found["test"] - 100) < 30
    assert problems == []
    assert divide(many(1000), SHARES, seed=1, source=SOURCE)[0] != divided


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (("test",), {"train": 8 / 9, "val": 1 / 9}),
        (("val",), {"train": 8 / 9, "test": 1 / 9}),
        (("val", "test"), {"train": 1.0}),
        (("train", "test"), {"train": 8 / 9, "val": 1 / 9}),
    ],
)
def test_pictures_in_no_split_are_drawn_for_what_is_not_stated(
    stated: tuple[Split, ...], expected: dict[str, float]
) -> None:
    fixed = [each for part in stated for each in many(5, part, f"a{part}")]
    divided, _ = divide([*fixed, *many(900)], SHARES, seed=0, source=SOURCE)
    assert divided[: len(fixed)] == fixed
    found = counts(divided[len(fixed) :])
    for part in ("train", "val", "test"):
        assert abs(found[part] - 900 * expected.get(part, 0)) < 30


def test_where_nothing_is_for_validation_some_is_taken_and_said() -> None:
    given = [*many(300, "train", "a"), *many(300, "train", "b"), *many(50, "test", start=300)]
    divided, problems = divide(given, SHARES, seed=0, source=SOURCE)
    found = counts(divided)
    assert found["test"] == 50
    assert abs(found["val"] - 600 / 9) < 24  # three standard deviations of 7.7
    (problem,) = problems
    assert f"{found['val']} of those for training are taken" in problem.reason
    assert problem.file == "set"
    without, told = divide(given, {"train": 0.9, "val": 0.0, "test": 0.1}, seed=0, source=SOURCE)
    assert counts(without)["val"] == 0
    assert "validation split is empty" in told[0].reason


def test_the_last_picture_of_a_class_is_never_taken_from_training() -> None:
    given = [sample(str(number), f"class {number}", "train") for number in range(200)]
    divided, problems = divide(given, SHARES, seed=0, source=SOURCE)
    assert divided == given
    assert ["is empty" in problem.reason for problem in problems] == [True, True]


def test_every_class_that_was_drawn_has_a_picture_to_learn_from() -> None:
    given = [sample(str(number), f"class {number // 2}") for number in range(200)]
    divided, problems = divide(given, SHARES, seed=0, source=SOURCE)
    learned = {label for each in divided if each.split == "train" for label in each.labels}
    assert learned == {f"class {number}" for number in range(100)}
    plain = {each.id for each in divided if each.split == "train"}
    moved = [problem for problem in problems if "drawn for training" in problem.reason]
    assert moved
    assert all(problem.file.removeprefix("/set/") in plain for problem in moved)


def test_copies_are_moved_to_training_and_said() -> None:
    given = [
        sample("a", split="train", content="x"),
        sample("b", split="test", content="x"),
        sample("c", split="test", content="y"),
        sample("d", content="y"),
        *many(20, "val"),
    ]
    divided, problems = divide(given, SHARES, seed=0, source=SOURCE)
    assert [each.split for each in divided[:4]] == ["train", "train", "test", "test"]
    (problem,) = problems
    assert problem.file == "/set/b"
    assert "of test is also a of train; moved there" in problem.reason
    assert problem.level == "warning"


def test_copies_stay_together_whatever_is_drawn_or_moved() -> None:
    given = [
        sample(f"{number}", f"class {number // 6}", content=f"x{number // 3}")
        for number in range(300)
    ]
    divided, _ = divide(given, {"train": 0.4, "val": 0.3, "test": 0.3}, seed=3, source=SOURCE)
    by_content: dict[str, set[str]] = {}
    for each in divided:
        by_content.setdefault(each.content_hash, set()).add(each.split)
    assert all(len(splits) == 1 for splits in by_content.values())


def test_classes_of_boxes_count_as_those_of_pictures() -> None:
    given = [
        Sample(str(i), str(i), 9, 9, f"h{i}", objects=(ObjectBox(f"class {i}", (0, 0, 5, 5)),))
        for i in range(60)
    ]
    divided, _ = divide(given, SHARES, seed=0, source=SOURCE)
    assert counts(divided) == {"train": 60}


def test_pictures_of_nothing_may_go_anywhere() -> None:
    given = [Sample(str(i), str(i), 9, 9, f"h{i}") for i in range(500)]
    divided, _ = divide(given, SHARES, seed=0, source=SOURCE)
    assert set(counts(divided)) == {"train", "val", "test"}
