from __future__ import annotations

from collections import Counter

import pytest

from visionkit.data.splits import assign_splits
from visionkit.data.table import to_samples, to_table
from visionkit.types import Sample, Split


def samples(count: int, copies: int = 1) -> list[Sample]:
    """`count` pictures, of which always `copies` in a row are one picture."""
    return [Sample(f"{i:05}", "a.jpg", 1, 1, f"hash{i // copies}") for i in range(count)]


def splits_of(rows: list[Sample], **options: object) -> list[Split]:
    table = assign_splits(to_table(rows), **options)  # type: ignore[arg-type]
    return [sample.split for sample in to_samples(table)]


def test_empty() -> None:
    assert splits_of([]) == []


def test_parts_approach_their_fractions() -> None:
    counts = Counter(splits_of(samples(5000)))
    # Binomial: three standard deviations of 4,000 and of 500 of 5,000.
    assert abs(counts["train"] - 4000) < 3 * (5000 * 0.8 * 0.2) ** 0.5
    assert abs(counts["val"] - 500) < 3 * (5000 * 0.1 * 0.9) ** 0.5


def test_copies_share_a_split() -> None:
    found = splits_of(samples(300, copies=3))
    assert all(len(set(found[i : i + 3])) == 1 for i in range(0, 300, 3))


def test_adding_pictures_moves_none() -> None:
    assert splits_of(samples(200))[:100] == splits_of(samples(100))
    assert splits_of(samples(100)) != splits_of(samples(100), seed=1)


def test_given_splits_stay_and_copies_follow() -> None:
    rows = [
        Sample("a", "a", 1, 1, "h1", "test"),
        Sample("b", "b", 1, 1, "h1"),
        Sample("c", "c", 1, 1, "h2", "test"),
        Sample("d", "d", 1, 1, "h2", "train"),
    ]
    assert splits_of(rows, fractions={"val": 1.0}) == ["test", "test", "train", "train"]


@pytest.mark.parametrize(
    ("fractions", "words"),
    [
        ({"train": 0.5}, "sum to 1"),
        ({"train": 1.5, "val": -0.5}, "negative"),
        ({"train": float("nan")}, "negative"),
        ({"dev": 1.0}, "got 'dev'"),
    ],
)
def test_bad_fractions(fractions: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        splits_of(samples(3), fractions=fractions)
