"""What pictures showed where a version ends, and what has changed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from visionkit.flywheel.answers import Truth
from visionkit.flywheel.catalog.corrections import CorrectionTable
from visionkit.flywheel.catalog.samples import SampleTable
from visionkit.flywheel.catalog.shown import content, with_truth
from visionkit.flywheel.catalog.versions import Cut
from visionkit.types import Sample


def vouched_for(
    samples: SampleTable, corrections: CorrectionTable, cut: Cut
) -> list[tuple[Sample, Truth]]:
    """The pictures that somebody had vouched for, as they were, each with its truth."""
    found = []
    for place, sample in enumerate(samples.all[: cut.last_sample + 1]):
        truth = corrections.truth(place, until=cut.last_correction)
        if truth.reviewed:
            found.append((with_truth(sample, truth), truth))
    return found


def changed_since(
    samples: SampleTable, corrections: CorrectionTable, truths: Mapping[str, Truth], cut: Cut
) -> set[str]:
    """Ids of the pictures of which something else is said now, or that came labelled since."""
    answered = {
        name
        for name in corrections.answered(since=cut.last_correction)
        if content(truths[name])
        != content(corrections.truth(samples.place(name), until=cut.last_correction))
    }
    first = cut.last_sample + 1
    late = zip(samples.all[first:], samples.reviewed[first:], strict=True)
    return answered | {sample.id for sample, reviewed in late if reviewed}


def back_to(
    samples: SampleTable, corrections: CorrectionTable, truths: Mapping[str, Truth], cut: Cut
) -> Iterator[tuple[Sample, Truth]]:
    """The pictures of which something else is said now, with what was said then."""
    for place, sample in enumerate(samples.all):
        then = corrections.truth(place, until=cut.last_correction)
        if place > cut.last_sample:
            then = replace(then, reviewed=False)
        if content(truths[sample.id]) != content(then):
            yield sample, then
