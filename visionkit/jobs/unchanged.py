"""Which pictures of a catalog still lie where it has them, with the pixels that it knows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from visionkit.data.images import ImageError, content_hash, read_image
from visionkit.data.problems import Problem
from visionkit.jobs.terminal import progress
from visionkit.types import Sample


def unchanged(samples: Sequence[Sample]) -> tuple[list[Sample], list[Problem]]:
    """The pictures whose file shows what it showed when the catalog took it; why not the others.

    What is known of a picture is not true of another one that lies in its place. Each file is
    decoded, since copying or saving it again changes time and bytes of the same pixels.
    """
    with (
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
        progress("Checking", len(samples)) as step,
    ):
        kept, problems = [], []
        for sample, reason in zip(samples, pool.map(_difference, samples), strict=True):
            if reason:
                problems.append(Problem(sample.uri, None, f"{reason}; left out"))
            else:
                kept.append(sample)
            step(1)
    return kept, problems


def is_unchanged(sample: Sample) -> bool:
    """Whether the file of a picture shows what it showed when the catalog took it."""
    return not _difference(sample)


def _difference(sample: Sample) -> str:
    """Why a file is not the picture of the catalog and what to do, in words, or ""."""
    wanted = f"the file must show the picture {sample.id}, as when the catalog took it"
    way_out = "put it back, or import it from where it lies now (visionkit versions import)"
    try:
        image = read_image(sample.uri)
    except FileNotFoundError:
        return f"{wanted}, but is gone; {way_out}"
    except ImageError as error:
        return f"{wanted}, but {error.reason}; {way_out}"
    if content_hash(image) != sample.content_hash:
        return f"{wanted}, but shows another one now; {way_out}"
    return ""
