"""Labelled sets for the trained heads: what a config names, or a demo set, in three splits.

Everything that is wrong is a problem in a list, with its file and line, and left out; the rest
goes on. Pictures are checked here once and decoded again when they are used.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from visionkit.config import DataConfig
from visionkit.data.demo_boxes import make_demo_boxes
from visionkit.data.demo_digits import make_demo_digits
from visionkit.data.formats import NothingLeftError, detect, read
from visionkit.data.problems import Problem
from visionkit.data.table import to_samples
from visionkit.jobs.dividing import classes_of, divide
from visionkit.jobs.oddities import oddities
from visionkit.jobs.pictures import has_boxes
from visionkit.jobs.sources import read_backgrounds, read_unlabelled, some_names
from visionkit.types import Sample, Split

Kind = Literal["classification", "localization"]


@dataclass(frozen=True)
class Tested:
    """Pictures to measure on, and what they are, in words."""

    samples: tuple[Sample, ...]
    words: str


@dataclass(frozen=True)
class LabelledSet:
    """Pictures to learn from, to choose on and to measure on.

    Attributes:
        class_names: sorted; every class has a picture in `train`.
        train, val, test: val and test may be empty. For classification they have `labels` and no
            `objects`, for localization the other way round; all of `class_names`. A picture
            without boxes is one in which nothing is to be found.
        problems: what was wrong, and what was decided where the set left it open.
        multi_label: whether a picture may have several labels, or none.
        unlabelled: further pictures, without copies of the others, whatever they show.
    """

    class_names: tuple[str, ...]
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]
    problems: tuple[Problem, ...]
    multi_label: bool = False
    unlabelled: tuple[Sample, ...] = ()

    @property
    def tested(self) -> Tested:
        """The pictures to measure on: those of the first split that has any, from the test down."""
        if self.test:
            return Tested(self.test, "test pictures")
        if self.val:
            return Tested(self.val, "validation pictures, which the model was chosen on")
        return Tested(self.train, "pictures that it learned from, which flatters")


def read_labelled(data: DataConfig, kind: Kind, *, seed: int = 0) -> LabelledSet:
    """The set that a config names, or the demo set of that kind where it names none.

    Args:
        data: `root` is the set; `val` and `test` are pictures of it, or others, for those splits.
        kind: "classification" needs labels of pictures, "localization" boxes.
        seed: of the splits that are drawn.

    Raises:
        FileNotFoundError: a path does not exist, or holds nothing of the format.
        NothingLeftError: nothing can be learned from what is left; it holds the problems.
        ValueError: the format is unknown or can't be told, or the config contradicts itself.
    """
    _check(data)
    root = _demo(data, kind) if data.root is None else _place(data.root)
    samples, problems = _read_all(data, root, kind)
    multi_label = any(len(sample.labels) > 1 for sample in samples)
    usable = [
        each
        for sample in samples
        if (each := _of_kind(sample, kind, multi_label, problems)) is not None
    ]
    if not usable:
        raise NothingLeftError(root, [_wrong_kind(kind, root), *problems])
    samples, decided = divide(usable, vars(data.splits), seed=seed, source=root)
    problems += decided
    learned = [sample for sample in samples if sample.split == "train"]
    names = tuple(sorted({name for sample in learned for name in classes_of(sample)}))
    if not learned:
        raise NothingLeftError(root, [_no_training(samples, root), *problems])
    samples = [
        known for sample in samples if (known := _known(sample, names, problems)) is not None
    ]
    problems += oddities(samples, root)
    if not names or (kind == "classification" and not multi_label and len(names) < 2):
        raise NothingLeftError(root, [_too_few(kind, names, root), *problems])
    train, val, test = (
        tuple(sample for sample in samples if sample.split == part)
        for part in ("train", "val", "test")
    )
    further = _further(data, [*train, *val, *test], problems)
    several = kind == "classification" and multi_label
    return LabelledSet(names, train, val, test, tuple(problems), several, further)


def read_test_pictures(data: DataConfig, kind: Kind) -> tuple[list[Sample], list[Problem]]:
    """The pictures that a set itself has for the test, and what is wrong; nothing is drawn.

    Args:
        data: `root` is the set.
        kind: "classification" takes pictures with labels, "localization" those with their boxes.

    Raises:
        FileNotFoundError: a path does not exist, or holds nothing of the format.
        NothingLeftError: nothing can be used.
        ValueError: the format is unknown or can't be told, or the config contradicts itself.
    """
    _check(data)
    if data.root is None:
        raise ValueError("data.root must name the set whose test pictures are read, got none")
    samples, problems = _read_all(data, _place(data.root), kind)
    multi_label = any(len(sample.labels) > 1 for sample in samples)
    return [
        known
        for sample in samples
        if sample.split == "test"
        and (known := _of_kind(sample, kind, multi_label, problems)) is not None
    ], problems


def _further(
    data: DataConfig, labelled: Sequence[Sample], problems: list[Problem]
) -> tuple[Sample, ...]:
    """The pictures of `data.unlabelled`, each once, that are no copies of labelled ones."""
    if data.unlabelled is None:
        return ()
    pixels = int(data.max_megapixels * 1e6)
    try:
        found, wrong = read_unlabelled(
            data.unlabelled, image_root=data.image_root, max_pixels=pixels
        )
    except NothingLeftError as error:
        reason = "nothing of it can be used; learned without it"
        problems += [*error.problems, Problem(data.unlabelled, None, reason, "warning")]
        return ()
    problems += wrong
    known = {sample.content_hash for sample in labelled}
    others = {each.content_hash: each for each in found if each.content_hash not in known}
    return tuple(others.values())


def _check(data: DataConfig) -> None:
    for name in ("labels", "boxes"):
        if (value := getattr(data, name)) is not None:
            raise ValueError(
                f"data.{name} is for task=all, got {value}; name the pictures with data.root"
            )
    if data.root is not None:
        return
    for name in ("val", "test", "unlabelled"):
        if (value := getattr(data, name)) is not None:
            raise ValueError(f"data.root must be given with data.{name}, got only {value}")
    if data.items is not None or data.scenes is not None:
        raise ValueError(
            "data.items and data.scenes are for task=exemplar; name the pictures with data.root"
        )
    if data.format != "auto":
        raise ValueError(f"data.root must be given with data.format={data.format}, got none")


def _place(path: str) -> Path:
    return Path(os.path.abspath(Path(path).expanduser()))


def _demo(data: DataConfig, kind: Kind) -> Path:
    """The folder of the demo set, which is made if it is not there."""
    demo = data.demo
    if kind == "classification":
        folder = _place(demo.folder or "runs/demo_digits")
        return make_demo_digits(folder, count=demo.digits, seed=demo.seed)
    folder = _place(demo.folder or "runs/demo_boxes")
    return make_demo_boxes(folder, pictures=demo.pictures, classes=demo.classes, seed=demo.seed)


def _read_all(data: DataConfig, root: Path, kind: Kind) -> tuple[list[Sample], list[Problem]]:
    """All pictures, with the splits that the set and the config state, and unique ids."""
    pixels = int(data.max_megapixels * 1e6)
    found = read(root, data.format, image_root=data.image_root, max_pixels=pixels)
    samples, problems = to_samples(found.table), list(found.problems)
    stated: tuple[tuple[Split, str | None], ...] = (("val", data.val), ("test", data.test))
    for part, path in stated:
        if path is None:
            continue
        place = _place(path)
        inside = [sample for sample in samples if Path(sample.uri).is_relative_to(place)]
        if inside:  # the set knows more of them than the folder by itself
            uris = {sample.uri for sample in inside}
            samples = [replace(s, split=part) if s.uri in uris else s for s in samples]
            continue
        others, more = _read_part(data, place, part, pixels)
        problems += more
        uris = {sample.uri for sample in others}
        samples = [sample for sample in samples if sample.uri not in uris] + others
    if data.background is not None and kind == "localization":
        pictures, more = read_backgrounds(
            data.background, image_root=data.image_root, max_pixels=pixels
        )
        samples += pictures.scenes.samples
        problems += more
    elif data.background is not None:
        reason = "data.background is of no use to classification; not read"
        problems.append(Problem(data.background, None, reason, "warning"))
    return _with_ids(samples), problems


def _read_part(
    data: DataConfig, place: Path, part: Split, pixels: int
) -> tuple[list[Sample], list[Problem]]:
    """The pictures that the config names for one split; none where none can be used."""
    name = data.format
    if place.is_file():
        try:
            name = detect(place)
        except ValueError:
            name = data.format  # a file that only the config knows the form of
    try:
        found = read(place, name, image_root=data.image_root, max_pixels=pixels)
    except NothingLeftError as error:
        reason = f"nothing of it can be used; {part} is without it"
        return [], [*error.problems, Problem(str(place), None, reason)]
    samples = [replace(sample, split=part) for sample in to_samples(found.table)]
    return samples, list(found.problems)


def _with_ids(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with ids that differ: those of a later set get the split before theirs."""
    taken: set[str] = set()
    named = []
    for sample in samples:
        name = sample.id
        while name in taken:
            name = f"{sample.split or 'more'}/{name}"
        taken.add(name)
        named.append(replace(sample, id=name))
    return named


def _of_kind(
    sample: Sample, kind: Kind, multi_label: bool, problems: list[Problem]
) -> Sample | None:
    """The picture with what is learned of it alone; None where it teaches nothing."""
    if kind == "localization":
        if has_boxes(sample):
            return replace(sample, labels=())
        reason = "a picture must have its boxes drawn, but has only labels; left out"
    else:
        if sample.labels or (multi_label and not sample.objects):
            return replace(sample, objects=())
        reason = "a picture must have a label, but has none; left out"
        if sample.objects:
            reason += " (its boxes are for task=localization)"
    problems.append(Problem(sample.uri, None, reason))
    return None


def _known(sample: Sample, names: Sequence[str], problems: list[Problem]) -> Sample | None:
    """The picture without classes that nothing is learned of; None where nothing is left."""
    unknown = sorted(classes_of(sample) - set(names))
    if not unknown:
        return sample
    known = replace(
        sample,
        labels=tuple(label for label in sample.labels if label in names),
        objects=tuple(entry for entry in sample.objects if entry.label in names),
    )
    left = known if classes_of(known) else None
    what = "left out" if left is None else "that label is left out"
    reason = f"{some_names(unknown)} has no picture to learn from, only in {sample.split}; {what}"
    problems.append(Problem(sample.uri, None, reason))
    return left


def _wrong_kind(kind: Kind, root: Path) -> Problem:
    has, wanted, other = (
        ("boxes", "labels", "localization")
        if kind == "classification"
        else ("labels", "boxes", "classification")
    )
    reason = f"the pictures must have {wanted}, but have {has} alone; task={other} learns from them"
    return Problem(str(root), None, reason)


def _no_training(samples: Sequence[Sample], root: Path) -> Problem:
    held = Counter(sample.split for sample in samples)
    reason = (
        "there must be pictures to learn from, but they are "
        f"{' and '.join(f'{count} for {part}' for part, count in sorted(held.items()))}; "
        "name those for training with data.root, and the others with data.val and data.test"
    )
    return Problem(str(root), None, reason)


def _too_few(kind: Kind, names: Sequence[str], root: Path) -> Problem:
    wanted = "a box" if kind == "localization" else "two classes"
    reason = f"there must be {wanted} to learn from, got {some_names(names)}"
    return Problem(str(root), None, reason)
