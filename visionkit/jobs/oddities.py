"""What is sound in a labelled set and yet will teach or show little: warnings, nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from visionkit.data.problems import Problem
from visionkit.jobs.dividing import classes_of
from visionkit.types import Sample

_TINY = 8
"""Pixels; of a picture with a smaller side a network sees next to nothing."""
_LONG = 20
"""Times; of a picture that is longer than this, a frame shows a strip a few pixels wide."""
_THIN = 4
"""Pixels; a box with a smaller side is less than half a cell of the finest usual map."""


def oddities(samples: Sequence[Sample], source: Path) -> list[Problem]:
    """Warnings of classes with one picture, of names alike, of tiny pictures and thin boxes.

    Args:
        samples: in their splits.
        source: named where a problem is of a class.
    """
    problems = [*_poor_classes(samples, source), *_names_alike(samples, source)]
    for sample in samples:
        problems += _odd(sample)
    return problems


def _poor_classes(samples: Sequence[Sample], source: Path) -> Iterator[Problem]:
    counts = Counter(name for sample in samples for name in classes_of(sample))
    learned = Counter(
        name for sample in samples if sample.split == "train" for name in classes_of(sample)
    )
    for name in sorted(counts):
        if counts[name] == 1:
            reason = f"class {name!r} has one picture: it is learned from, and never measured"
        elif learned[name] == 1:
            reason = f"class {name!r} has one picture to learn from, of {counts[name]}"
        else:
            continue
        yield Problem(str(source), None, reason, "warning")


def _names_alike(samples: Sequence[Sample], source: Path) -> Iterator[Problem]:
    by_look: dict[str, set[str]] = {}
    for name in {name for sample in samples for name in classes_of(sample)}:
        by_look.setdefault(" ".join(name.casefold().split()), set()).add(name)
    for _, names in sorted(by_look.items()):
        if len(names) > 1:
            listed = " and ".join(repr(name) for name in sorted(names))
            reason = f"classes {listed} differ in case or blanks only; if they are one, rename"
            yield Problem(str(source), None, reason, "warning")


def _odd(sample: Sample) -> Iterator[Problem]:
    shorter, longer = sorted((sample.width, sample.height))
    size = f"{sample.width} x {sample.height} pixels"
    if shorter < _TINY:
        yield _warning(sample, f"the picture has {size}, in which there is little to see")
    elif longer > _LONG * shorter:
        yield _warning(sample, f"the picture has {size}: most is cut off, or made a thin strip")
    sides = [
        min(entry.box[2] - entry.box[0], entry.box[3] - entry.box[1]) for entry in sample.objects
    ]
    thin = [side for side in sides if side < _THIN]
    if thin:
        reason = f"{len(thin)} of {len(sides)} boxes are thinner than {_THIN} pixels"
        yield _warning(sample, f"{reason} ({min(thin):g} at least); they will hardly be found")


def _warning(sample: Sample, reason: str) -> Problem:
    return Problem(sample.uri, None, reason, "warning")
