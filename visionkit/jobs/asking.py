"""Asking a trained head about one picture after another; what can't be read is left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from visionkit.data.images import MAX_PIXELS, ImageError, read_image
from visionkit.data.problems import Problem
from visionkit.types import Image, Sample

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Asked(Generic[Answer]):
    """What was said of pictures; N that could be read.

    Attributes:
        kept: N numbers, which of the samples these are.
        answers: N.
        problems: of the samples that could not be read.
        seconds: mean time a picture, reading it included; nan for none.
    """

    kept: list[int]
    answers: list[Answer]
    problems: list[Problem]
    seconds: float


def ask_each(
    samples: Sequence[Sample],
    ask: Callable[[str], Answer],
    *,
    progress: Callable[[int], None] | None = None,
) -> Asked[Answer]:
    """What a head says of each picture, one after the other.

    Args:
        samples: the pictures.
        ask: the answer for the picture at a path; raises `ImageError` or `FileNotFoundError`
            where there is no picture that can be read.
        progress: called with 1 after each picture.
    """
    kept: list[int] = []
    answers: list[Answer] = []
    problems: list[Problem] = []
    start = time.monotonic()
    for index, sample in enumerate(samples):
        try:
            answers.append(ask(sample.uri))
            kept.append(index)
        except ImageError as error:
            reason = f"{error.reason}; {error.way_out}; not measured"
            problems.append(Problem(sample.uri, None, reason))
        except FileNotFoundError:
            problems.append(Problem(sample.uri, None, "the picture must exist; not measured"))
        if progress is not None:
            progress(1)
    seconds = (time.monotonic() - start) / len(kept) if kept else float("nan")
    return Asked(kept, answers, problems, seconds)


def read_again(sample: Sample) -> Image:
    """(H, W, 3) uint8 RGB: a picture that was read before, however large it may be."""
    return read_image(sample.uri, max_pixels=max(MAX_PIXELS, sample.width * sample.height))
