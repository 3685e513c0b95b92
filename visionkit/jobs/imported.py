"""What comes into a catalog from outside: labelled pictures, and answers of other tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from visionkit.config.flywheel import TOOLS, VersionsConfig
from visionkit.data.formats import read
from visionkit.data.images import read_image
from visionkit.data.problems import Problem
from visionkit.data.table import to_samples
from visionkit.evaluation.summary import counted
from visionkit.flywheel.answers import Conflict, Correction, Truth
from visionkit.flywheel.catalog import Catalog
from visionkit.flywheel.exchange import take_answers
from visionkit.jobs.author import author_of
from visionkit.jobs.catalogued import thumbnail_of
from visionkit.jobs.known import KnownPictures
from visionkit.jobs.statements import correction_of, says_the_same, statements
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import problems_kept, progress, replace_problems, say, say_next
from visionkit.types import Sample

_BATCH = 128
_Picture = tuple[Sample | None, Sample, list[Sample]]
"""A picture of the catalog or None, what is said of it, and its copies."""


def take_source(catalog: Catalog, config: VersionsConfig, place: Path) -> Summary:
    """Takes in labelled pictures, or answers to questions that visionkit wrote.

    Raises:
        FileNotFoundError: there is no such source.
        ValueError: none is named, or nothing of it is of use.
    """
    if config.source is None:
        raise ValueError("source must say what is imported; say source=PATH")
    problems_name = f"{place.name}_problems.csv"
    if config.source_format in TOOLS:
        taken = take_answers(
            catalog,
            config.source,
            config.source_format,
            reviewer=author_of(config.author),
            one_class=config.one_class,
        )
        problems = list(taken.problems)
        say(
            f"{counted(taken.corrections, 'answer')} taken, {taken.known} known from before; "
            f"{counted(taken.empty, 'picture')} said to show nothing"
        )
        figures: dict[str, float] = {"corrections": taken.corrections, "known": taken.known}
    else:
        with problems_kept(place.parent, name=problems_name):
            found = read(config.source, config.source_format, image_root=config.image_root)
        problems = list(found.problems)
        samples = to_samples(found.table)
        author = author_of(config.author)
        figures, doubts = _take_samples(catalog, samples, found.format, author)
        problems += doubts
    replace_problems(problems, place.parent, name=problems_name)
    if catalog.unmerged():
        say_next(["merge", f"catalog={config.catalog}"])
    return Summary(place, {**figures, "skipped": len(problems)})


def _take_samples(
    catalog: Catalog, samples: list[Sample], form: str, author: str
) -> tuple[dict[str, float], list[Problem]]:
    """Adds new pictures as people have labelled them, and corrects those that the catalog has."""
    known, stated = KnownPictures(catalog.samples()), statements(catalog)
    problems = [problem for sample in samples for problem in _replaced(known, sample)]
    new: list[Sample] = []
    corrected, answered = 0, list[Problem]()
    pictures = _by_picture(known, samples)
    with progress("Importing", len(pictures)) as step:
        for same, said, copies in pictures:
            problems += _contradictions(said, copies)
            if same is None:
                new.append(said)
            else:
                before = stated.get(same.id) or (catalog.imported(same.id),)
                try:
                    is_new, doubts = _correct(catalog, same.id, before, said, form, author)
                except Conflict as error:
                    answered.append(Problem(said.uri, None, f"{same.id}: {error}; left out"))
                else:
                    corrected += is_new
                    problems += doubts
            step(1)
    moved = {
        same.id: said.uri
        for same, said, _ in pictures
        if same is not None and said.uri != same.uri and known.is_lost(same)
    }
    problems += _other_splits(pictures)
    catalog.move(moved)
    added = _add(catalog, new)
    others = len(samples) - added - corrected - len(answered)
    say(
        f"{counted(added, 'picture')} new, {counted(corrected, 'picture')} corrected, "
        f"{others} known or copies of others"
    )
    if moved:
        say(f"{counted(len(moved), 'picture')} found where they lie now")
    return {"added": added, "corrected": corrected, "moved": len(moved)}, [*problems, *answered]


def _correct(
    catalog: Catalog,
    known: str,
    stated: Sequence[Truth | Correction],
    said: Sample,
    form: str,
    author: str,
) -> tuple[bool, list[Problem]]:
    """Whether something new is said of a known picture, and a warning where it is an old answer.

    Raises:
        Conflict: as the catalog does.
    """
    truth = catalog.truth(known)
    entry = correction_of(truth, stated, said, form, known=known, author=author)
    if entry is not None:
        catalog.correct(entry)
        return True, []
    if correction_of(truth, stated[:1], said, form, known=known, author=author) is None:
        return False, []
    reason = (
        f"the set says of {known} what people had answered before they answered otherwise; the "
        "last answer stays, and can be changed in the review"
    )
    return False, [Problem(said.uri, None, reason, "warning")]


def _by_picture(known: KnownPictures, samples: list[Sample]) -> list[_Picture]:
    """The picture of the catalog, what is said of it, and its copies, one a picture.

    Of copies the one that lies where the catalog's does is what counts, else the first.
    """
    copies: dict[str, list[Sample]] = {}
    for sample in samples:
        same = known.same(sample.uri, sample.content_hash)
        copies.setdefault(same.id if same else sample.content_hash, []).append(sample)
    result = []
    for group in copies.values():
        same = known.same(group[0].uri, group[0].content_hash)
        at_home = (sample for sample in group if same is not None and sample.uri == same.uri)
        said = next(at_home, group[0])
        result.append((same, said, [sample for sample in group if sample is not said]))
    return result


def _contradictions(said: Sample, copies: list[Sample]) -> list[Problem]:
    """Warnings of copies of a picture that are labelled otherwise."""
    reason = f"the file is a copy of {said.id}, of which the set says something else; that counts"
    odd = [copy for copy in copies if not says_the_same(copy, said)]
    return [Problem(copy.uri, None, reason, "warning") for copy in odd]


def _other_splits(pictures: Sequence[_Picture]) -> list[Problem]:
    """A warning of splits that a set states and the catalog doesn't take."""
    odd = [
        (same, said)
        for same, said, _ in pictures
        if same is not None and said.split not in ("", same.split)
    ]
    if not odd:
        return []
    same, said = odd[0]
    reason = (
        "a picture keeps the split that it came with into the catalog, but the set states another "
        f"one of {counted(len(odd), 'picture')}: {same.id} stays in {same.split or 'none'} and is "
        f"not in {said.split}; import the set into a new catalog for its splits"
    )
    return [Problem(said.uri, None, reason, "warning")]


def _replaced(known: KnownPictures, sample: Sample) -> list[Problem]:
    """A warning where another picture lay at the place of one."""
    old = known.replaced(sample.uri, sample.content_hash)
    if old is None:
        return []
    reason = (
        f"the file must show the picture {old.id}, as when the catalog took it, but shows another "
        f"one now, which is taken as a picture of its own; import {old.id} from where it lies now"
    )
    return [Problem(sample.uri, None, reason, "warning")]


def _add(catalog: Catalog, samples: list[Sample]) -> int:
    """How many pictures were added; not those that others have brought meanwhile."""
    known = KnownPictures(catalog.samples())
    added = 0
    with progress("Adding", len(samples)) as step:
        for start in range(0, len(samples), _BATCH):
            part = samples[start : start + _BATCH]
            thumbnails = [thumbnail_of(read_image(sample.uri)) for sample in part]
            with catalog.writing():  # so that nobody takes an id in between
                known.follow(catalog.samples())
                new = [i for i, said in enumerate(part) if not known.has(said.content_hash)]
                added += catalog.add_samples(
                    [_named(known, part[i]) for i in new],
                    thumbnails=[thumbnails[i] for i in new],
                    reviewed=True,
                )
            step(len(part))
    return added


def _named(known: KnownPictures, sample: Sample) -> Sample:
    """The sample, called by its content where another one has its id."""
    return replace(sample, id=sample.content_hash) if sample.id in known.ids else sample
