"""The reference: background pictures that templates are searched for in, to be calibrated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from visionkit.heads.exemplar import ExemplarHead
from visionkit.matching.calibration import (
    BackgroundStatistics,
    background_statistics,
    best_similarities,
    relative_sizes,
    statistics_of_others,
)
from visionkit.matching.candidates import Candidates, concatenate
from visionkit.matching.pyramid import ScenePyramid
from visionkit.matching.search import SearchSettings, TemplateIndex
from visionkit.matching.templates import Template

_AT_ONCE = 384
"""Templates that are measured on the reference at a time; bounds memory."""


def sizes_against(
    reference: Sequence[ScenePyramid], pyramids: Sequence[ScenePyramid]
) -> NDArray[np.float64]:
    """(P,) how much larger P pictures are than the reference's usual one; see `relative_sizes`."""
    usual = [pyramid.cells for pyramid in reference]
    return relative_sizes([pyramid.cells for pyramid in pyramids], usual)


@dataclass(frozen=True)
class SearchedReference:
    """What templates find in the pictures of the reference.

    Attributes:
        reference: P background pictures.
        found: what all templates find in each of them; `template` is a place among those T that
            were searched for.
        best: (P, T) similarity of each one's best match; -inf where it does not fit.
        sizes: (P,) relative sizes of the pictures.
    """

    reference: tuple[ScenePyramid, ...]
    found: tuple[Candidates, ...]
    best: NDArray[np.float64]
    sizes: NDArray[np.float64]

    def statistics(self) -> BackgroundStatistics:
        """Those of the templates.

        Raises:
            ValueError: no template could be searched for in any picture.
        """
        return background_statistics(self.best, self.sizes)

    def as_new(self) -> Iterator[tuple[ScenePyramid, Candidates, NDArray[np.float32]]]:
        """Each picture, what was found in it, and its prior by the statistics of the others.

        So each is judged as a new picture would be.
        """
        for picture, (pyramid, found) in enumerate(zip(self.reference, self.found, strict=True)):
            others = statistics_of_others(self.best, self.sizes, picture)
            yield pyramid, found, others.standardise(found, self.sizes[picture])


def search_reference(
    reference: Sequence[ScenePyramid],
    templates: Sequence[Template],
    head: ExemplarHead,
    settings: SearchSettings,
) -> SearchedReference:
    """What templates find in the pictures of the reference, none of them left out.

    Args:
        reference: background pictures; at least one.
        templates: at least one.
        head: whitened.
        settings: of the search.
    """
    parts: list[list[Candidates]] = [[] for _ in reference]
    for start in range(0, len(templates), _AT_ONCE):
        part = templates[start : start + _AT_ONCE]
        # None of them is left out, whatever a gallery of their number is narrowed to.
        index = TemplateIndex(part, head, replace(settings, dense_views=len(part)))
        for own, pyramid in zip(parts, reference, strict=True):
            candidates = index.search(pyramid, head)
            own.append(replace(candidates, template=candidates.template + start))
    found = tuple(concatenate(own) for own in parts)
    best = best_similarities(found, len(templates))
    return SearchedReference(tuple(reference), found, best, sizes_against(reference, reference))
