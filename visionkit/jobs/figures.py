"""The main figures of a trained head, of either kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from visionkit.data.images import MAX_PIXELS
from visionkit.inference.engines.network import Network
from visionkit.inference.parts import ClassificationPart, Part
from visionkit.jobs.measure_classification import measure_classification
from visionkit.jobs.measure_localization import measure_localization
from visionkit.types import Sample

Figures = Mapping[str, float]
"""Name of a figure -> its value."""


def part_figures(
    part: Part,
    network: Network,
    samples: Sequence[Sample],
    *,
    seed: int = 0,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int], None] | None = None,
) -> Figures:
    """The figures of a head at its own thresholds.

    Args:
        part: the head.
        network: that it is asked through.
        samples: pictures of which it is known what they show.
        seed: of the bootstrap intervals.
        max_pixels: larger pictures are left out.
        progress: called with 1 after each picture.
    """
    if isinstance(part, ClassificationPart):
        return measure_classification(
            part,
            network,
            samples,
            thresholds=part.thresholds,
            seed=seed,
            max_pixels=max_pixels,
            progress=progress,
        ).figures
    return measure_localization(
        part,
        network,
        samples,
        thresholds=part.thresholds,
        seed=seed,
        max_pixels=max_pixels,
        progress=progress,
    ).figures
