"""Pictures divided into those to learn from, to choose on and to measure on.

What a set says of its splits is kept, but for copies: what is learned from is never measured.
Everything that is decided here is a problem of level "warning", so that nobody wonders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from visionkit.data.problems import Problem
from visionkit.data.splits import assign_splits
from visionkit.data.table import to_samples, to_table
from visionkit.jobs.sources import some_names
from visionkit.types import Sample, Split

_PARTS: tuple[Split, ...] = ("train", "val", "test")


def divide(
    samples: Sequence[Sample], fractions: Mapping[str, float], *, seed: int, source: Path
) -> tuple[list[Sample], list[Problem]]:
    """The samples with a split each, and what was decided.

    Pictures without a split are drawn for those parts that the set does not state, and for
    training. Where nothing is for validation then, part of what is for training is taken. No
    drawing takes the last picture of a class from training.

    Args:
        samples: with "" as split where none is stated; ids differ.
        fractions: "train", "val", "test" -> share; they sum to 1.
        seed: of the draws.
        source: named where a problem is of the whole set.
    """
    stated = {sample.split for sample in samples} - {""}
    shares = _shares(fractions, stated)
    drawn = _assigned(samples, shares, seed)
    problems = _moved(samples, drawn)
    free = [number for number, sample in enumerate(samples) if not sample.split]
    drawn, returned = _keep_every_class(drawn, free)
    problems += returned
    if not _numbers(drawn, "val") and fractions.get("val", 0) > 0:
        drawn, taken = _take_for_validation(drawn, fractions, seed)
        problems += _taken(source, taken)
    return drawn, problems + _empty_parts(drawn, source)


def classes_of(sample: Sample) -> set[str]:
    """The labels of a picture and of its boxes."""
    return {*sample.labels, *(entry.label for entry in sample.objects)}


def _shares(fractions: Mapping[str, float], stated: Collection[str]) -> dict[str, float]:
    """Of pictures in no split: what the set states itself gets none of them, but training."""
    open_parts = {
        part: fractions.get(part, 0.0) for part in _PARTS if part == "train" or part not in stated
    }
    total = sum(open_parts.values())
    if total <= 0:
        return {"train": 1.0}
    return {part: share / total for part, share in open_parts.items()}


def _assigned(samples: Sequence[Sample], shares: Mapping[str, float], seed: int) -> list[Sample]:
    """The samples in their order, with splits by `assign_splits`."""
    return to_samples(assign_splits(to_table(samples), shares, seed=seed))


def _moved(before: Sequence[Sample], after: Sequence[Sample]) -> list[Problem]:
    """Pictures that left their split because of a copy in another."""
    first: dict[tuple[str, str], Sample] = {}
    for sample in before:
        first.setdefault((sample.content_hash, sample.split), sample)
    problems = []
    for old, new in zip(before, after, strict=True):
        if old.split and old.split != new.split:
            twin = first[old.content_hash, new.split]
            reason = (
                f"copies must be in one split, but this picture of {old.split} is also "
                f"{twin.id} of {new.split}; moved there"
            )
            problems.append(Problem(old.uri, None, reason, "warning"))
    return problems


def _keep_every_class(
    samples: list[Sample], free: Collection[int]
) -> tuple[list[Sample], list[Problem]]:
    """Moves drawn pictures to training where a class has none there, copies together."""
    found, problems = list(samples), []
    learned = {name for sample in found if sample.split == "train" for name in classes_of(sample)}
    drawn = sorted(free, key=lambda number: found[number].content_hash)
    for number in drawn:
        lacking = classes_of(found[number]) - learned
        if not lacking:
            continue
        key = found[number].content_hash
        alike = [other for other, sample in enumerate(found) if sample.content_hash == key]
        if not set(alike) <= set(free):
            continue  # a copy of it is where the set itself says
        for other in alike:
            found[other] = replace(found[other], split="train")
            learned |= classes_of(found[other])
        reason = f"drawn for training, where {some_names(lacking)} had no picture"
        problems.append(Problem(found[number].uri, None, reason, "warning"))
    return found, problems


def _take_for_validation(
    samples: list[Sample], fractions: Mapping[str, float], seed: int
) -> tuple[list[Sample], int]:
    """Draws part of the training pictures for validation; every class keeps one at least."""
    train, val = fractions.get("train", 0.0), fractions.get("val", 0.0)
    places = _numbers(samples, "train")
    open_ones = [replace(samples[place], split="") for place in places]
    shares = {"train": train / (train + val), "val": val / (train + val)}
    # Another seed: the first draw of these very pictures came out as training.
    drawn = _assigned(open_ones, shares, seed + 1)
    found, taken = list(samples), 0
    groups: dict[str, list[int]] = {}
    for place, sample in zip(places, drawn, strict=True):
        if sample.split == "val":
            groups.setdefault(sample.content_hash, []).append(place)
    left = Counter(name for place in places for name in classes_of(samples[place]))
    for group in groups.values():
        lost = Counter(name for place in group for name in classes_of(samples[place]))
        spared = taken + len(group) < len(places)
        if spared and all(left[name] > count for name, count in lost.items()):
            left -= lost
            taken += len(group)
            for place in group:
                found[place] = replace(found[place], split="val")
    return found, taken


def _empty_parts(samples: Sequence[Sample], source: Path) -> list[Problem]:
    problems: list[Problem] = []
    if not _numbers(samples, "val"):
        reason = (
            "the validation split is empty: what is chosen on it is chosen on training pictures; "
            "name pictures for it with data.val, or raise data.splits.val"
        )
        problems.append(Problem(str(source), None, reason, "warning"))
    if not _numbers(samples, "test"):
        reason = (
            "the test split is empty: nothing is measured on pictures that training did not see; "
            "name some with data.test"
        )
        problems.append(Problem(str(source), None, reason, "warning"))
    return problems


def _taken(source: Path, count: int) -> list[Problem]:
    if not count:
        return []
    reason = (
        f"no picture is marked for validation; {count} of those for training are taken for it "
        "(none with data.splits.val=0)"
    )
    return [Problem(str(source), None, reason, "warning")]


def _numbers(samples: Sequence[Sample], part: str) -> list[int]:
    return [number for number, sample in enumerate(samples) if sample.split == part]
