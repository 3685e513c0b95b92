"""Views of items that are cut from boxes which people confirmed.

They are cut anew in each turn from what people say now: so none is there twice, and a view goes
with the box that it was cut from.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np

from visionkit.data.images import read_image
from visionkit.data.problems import Problem
from visionkit.jobs.pictures import NONE_LABEL
from visionkit.matching.findings import AuditSettings
from visionkit.matching.gallery import View, make_view
from visionkit.matching.looks import look_of
from visionkit.types import Sample

_AUDIT = AuditSettings()
"""What the audit of a gallery calls small or a copy, as the next frame of a video is, is not cut
out; small boxes are where the item has no other view, and no larger box."""
_LOOKED_AT = 4
"""So many boxes are looked at for each view that may be taken, lest all pictures be read."""


@dataclass(frozen=True)
class _Boxed:
    """Where a picture shows an item at its largest."""

    sample: Sample
    box: tuple[float, float, float, float]

    @property
    def area(self) -> float:
        """In square pixels."""
        x_min, y_min, x_max, y_max = self.box
        return (x_max - x_min) * (y_max - y_min)

    @property
    def side(self) -> float:
        """Length of the longer side in pixels."""
        x_min, y_min, x_max, y_max = self.box
        return max(x_max - x_min, y_max - y_min)


def without_cut(views: Sequence[View], catalogued: Collection[str]) -> list[View]:
    """The views but those that an earlier turn cut from pictures of this catalog.

    Args:
        views: of a champion.
        catalogued: where all pictures of the catalog lie, whether people still vouch for them or
            not. What was cut from other pictures stays: nobody can take its box back here.
    """
    return [view for view in views if not (view.from_catalog and view.source in catalogued)]


def cut_views(
    samples: Sequence[Sample], known: Sequence[View], *, each: int, most: int, max_pixels: int
) -> tuple[list[View], list[Problem]]:
    """Views of the items that have boxes in the pictures, sorted by item, and what was wrong.

    The largest boxes come first, one a picture, and none that is a copy of a view by its looks.
    On FlickrLogos-27 drawn ones do as well (`exemplar_views` of benchmarks/flywheel.py), and so did
    those that stand for most others by what the backbone sees in them; those that are least like
    the others did worse.

    Args:
        samples: pictures to learn from, as people say what they show.
        known: views that are there already.
        each: most views that are cut out of an item.
        most: most views that are cut out in all; items take turns.
        max_pixels: larger pictures are left out.
    """
    problems: list[Problem] = []
    cut = []
    for item, boxes in sorted(_boxes_by_item(samples).items()):
        own = [view for view in known if view.item == item]
        useful = [one for one in boxes if one.side >= _AUDIT.min_side] or ([] if own else boxes)
        views, lost = _unlike(item, useful[: _LOOKED_AT * each], own, each, max_pixels)
        cut.append(views)
        problems += lost
    in_turns = [view for turn in zip_longest(*cut) for view in turn if view is not None]
    return sorted(in_turns[:most], key=lambda view: view.item), problems


def _boxes_by_item(samples: Sequence[Sample]) -> dict[str, list[_Boxed]]:
    """Item -> its largest box of each picture, the largest first; of copies one counts."""
    pictures = {sample.content_hash: sample for sample in reversed(samples)}
    boxes: dict[str, list[_Boxed]] = {}
    for sample in pictures.values():
        found = [(entry.label, _Boxed(sample, entry.box)) for entry in sample.objects]
        largest = dict(sorted(found, key=lambda one: one[1].area))
        for item in largest.keys() - {NONE_LABEL}:
            boxes.setdefault(item, []).append(largest[item])
    return {
        item: sorted(found, key=lambda one: (-one.area, one.sample.id))
        for item, found in boxes.items()
    }


def _unlike(
    item: str, boxes: Sequence[_Boxed], own: Sequence[View], each: int, max_pixels: int
) -> tuple[list[View], list[Problem]]:
    """The first views of an item that are no copies of its own or of one another."""
    views: list[View] = []
    problems: list[Problem] = []
    seen = [look_of(view).thumbnail for view in own]
    for boxed in boxes:
        if len(views) == each:
            break
        source = boxed.sample.uri
        try:
            image = read_image(source, max_pixels=max_pixels)
            view = make_view(item, image, box=boxed.box, source=source)
        except (FileNotFoundError, ValueError) as error:
            problems.append(Problem(source, None, f"{error}; left out"))
            continue
        thumbnail = look_of(view).thumbnail
        if all(float(np.dot(thumbnail, other)) < _AUDIT.copy_likeness for other in seen):
            seen.append(thumbnail)
            views.append(replace(view, from_catalog=True))
    return views, problems
