"""A picture and what it shows, put together and compared."""

from __future__ import annotations

from dataclasses import replace

from visionkit.flywheel.answers import Truth
from visionkit.types import Sample


def with_truth(sample: Sample, truth: Truth) -> Sample:
    """The sample with what its picture shows."""
    if (sample.labels, sample.objects) == (truth.labels, truth.objects):
        return sample
    return replace(sample, labels=truth.labels, objects=truth.objects)


def content(truth: Truth) -> tuple[object, ...]:
    """What a truth says, however many answers it took."""
    return truth.labels, truth.objects, truth.reviewed


def by_people(sample: Sample) -> bool:
    """Whether a sample comes with labels or boxes, and all boxes are by people."""
    said = bool(sample.labels or sample.objects)
    return said and all(entry.source.split(":")[0] == "human" for entry in sample.objects)
