"""Making the reference that lies in a bundle: at the end of a training, or of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visionkit.data.images import MAX_PIXELS, ImageError, read_image
from visionkit.data.problems import Problem
from visionkit.evaluation.summary import counted
from visionkit.inference.predictor import Predictor
from visionkit.jobs.live import LivePictures
from visionkit.jobs.observing import Seen, embedder_of, names_of, observe
from visionkit.jobs.terminal import progress, replace_problems, say
from visionkit.monitoring.comparison import LEAST
from visionkit.monitoring.reference import MOST, Reference, keep_reference
from visionkit.types import Sample

PROBLEMS_NAME = "reference_problems.csv"
"""Beside the bundle: the training's own problems.csv tells of what was wrong with its data."""
_ENOUGH = 300
"""Pictures that were held back, from which on none that was learned from is needed."""
_SLOW = 30
"""Pictures that the exemplar head is asked about: it takes a second each."""


@dataclass(frozen=True)
class Kept:
    """Pictures for a reference.

    Attributes:
        held: not learned from; what heads say of them is what they say of live pictures.
        learned: learned from; heads flatter themselves on them and are not asked.
        moved: whether the backbone learned from them, too: then they are taken only where too few
            were held back.
    """

    held: Sequence[Sample]
    learned: Sequence[Sample] = ()
    moved: bool = False


def keep_training_reference(
    bundle: Path, kept: Kept, *, device: str, max_pixels: int = MAX_PIXELS, seed: int = 0
) -> None:
    """Puts a reference of a training's pictures into its bundle; without enough it says so.

    Args:
        bundle: folder, as it was just written.
        kept: the pictures; at most about 1,000 of them are looked at.
        device: "auto", "cpu" and so on.
        max_pixels: larger pictures are left out.
        seed: of the draw.

    Raises:
        RuntimeError: the disk is full.
    """
    rows = _chosen(kept, seed)
    if len(rows) < LEAST:
        _say_too_few(len(rows), bundle)
        return
    predictor = Predictor.load(bundle, device=device, engine="torch")
    tasks = predictor.tasks
    problems: list[Problem] = []
    with progress("reference", len(rows)) as step:

        def pictures() -> Iterator[Seen]:
            for number, (sample, learned) in enumerate(rows):
                step(1)
                image = _read(sample.uri, problems, max_pixels)
                if image is not None:
                    slow = ("exemplar",) if number >= _SLOW else ()
                    yield Seen(sample.uri, image, sample.labels, tasks if learned else slow)

        observed = observe(predictor, pictures(), tasks)
    words = f"{len(observed)} pictures of the training"
    if problems:
        lacking = f"{counted(len(problems), 'picture')} that could not be read again"
        say(f"The reference for monitor is without {lacking}.")
        words += f", without {lacking}"
    replace_problems(problems, bundle.parent, name=PROBLEMS_NAME)
    made = Reference(
        observed,
        names_of(predictor, tasks),
        embedder_of(predictor),
        words,
    )
    if len(observed) < LEAST:
        _say_too_few(len(observed), bundle)
    else:
        keep_reference(bundle, made)
        say(f"The bundle holds a reference of {counted(len(observed), 'picture')} for monitor.")


def _say_too_few(count: int, bundle: Path) -> None:
    say(
        f"No reference for monitor: {LEAST} pictures are needed, and there are {count}; "
        f"visionkit monitor bundle={bundle} reference=FOLDER makes one."
    )


def reference_of_source(
    predictor: Predictor,
    pictures: LivePictures,
    *,
    tasks: Sequence[str],
    keep_pictures: bool,
    words: str,
) -> Reference:
    """A reference of pictures that are as they should be.

    Args:
        predictor: of the bundle.
        pictures: files, or frames of videos.
        tasks: heads that are asked.
        keep_pictures: whether small copies are kept.
        words: where they come from.

    Raises:
        ValueError: fewer than 20 can be read.
    """
    observed = observe(predictor, pictures, tasks)
    if len(observed) < LEAST:
        raise ValueError(
            f"a reference must have at least {LEAST} pictures that can be read, got "
            f"{len(observed)} [{words}]"
        )
    return Reference(
        observed,
        names_of(predictor, tasks),
        embedder_of(predictor),
        f"{len(observed)} pictures of {words}",
        pictures.small if keep_pictures else {},
    )


def _chosen(kept: Kept, seed: int) -> list[tuple[Sample, bool]]:
    """Pictures with whether they were learned from: those held back first."""
    rng = np.random.default_rng(seed)
    held = _drawn(kept.held, MOST, rng)
    room = 0 if kept.moved and len(held) >= _ENOUGH else MOST - len(held)
    learned = _drawn(kept.learned, room, rng)
    seen = {sample.uri for sample in held}
    return [(sample, False) for sample in held] + [
        (sample, True) for sample in learned if sample.uri not in seen
    ]


def _drawn(samples: Sequence[Sample], most: int, rng: np.random.Generator) -> list[Sample]:
    order = rng.permutation(len(samples))[: max(most, 0)]
    return [samples[row] for row in order.tolist()]


def _read(uri: str, problems: list[Problem], max_pixels: int) -> np.typing.NDArray[np.uint8] | None:
    try:
        return read_image(uri, max_pixels=max_pixels)
    except (ImageError, FileNotFoundError) as error:
        problems.append(Problem(uri, None, f"{error}; left out"))
        return None
