"""The gallery audits itself: items that will be confused, views that hurt, what to add.

The finder judges its own gallery: each view's picture is searched with that view hidden, as if
it were a new photo. What is found on it tells whether the item's other views know it, and which
other items lay claim to it. Pixels alone tell which views are copies, blank, small or blurred.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np
import supervision as sv

from visionkit.matching.finder import Finder
from visionkit.matching.findings import AuditSettings, Finding, ViewReport, all_findings
from visionkit.matching.gallery import View
from visionkit.matching.looks import Look, copy_pairs, look_of
from visionkit.matching.templates import on_calm_ground
from visionkit.types import Image

__all__ = ["AuditSettings", "Finding", "GalleryAudit", "ViewReport", "audit_gallery"]

_SCENE_SIDE = 128
"""The item's longer side in the picture that is searched, in pixels: a size of the templates."""
_AROUND = 0.5
_OVERLAP = 0.4
"""From this IoU with the view's box a find is about the item, and not about what is around it."""


@dataclass(frozen=True)
class GalleryAudit:
    """What an audit came to.

    Attributes:
        findings: the gravest first; empty if nothing is worth a look.
        views: one entry a view, in the gallery's order.
    """

    findings: tuple[Finding, ...] = ()
    views: tuple[ViewReport, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "findings": [asdict(finding) for finding in self.findings],
            "views": [asdict(view) for view in self.views],
        }


def audit_gallery(
    finder: Finder,
    settings: AuditSettings | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> GalleryAudit:
    """What is wrong with a finder's gallery, and what would make it better.

    Takes one search of a small picture a view: minutes for some hundred views on a CPU.

    Args:
        finder: with its gallery filled; it is not changed.
        settings: from where on something is a finding.
        progress: called with 1 after each view.
    """
    settings = settings or AuditSettings()
    views = finder.gallery.views
    looks = [look_of(view) for view in views]
    copies = copy_pairs(views, looks, settings.copy_likeness)
    twins: dict[int, set[int]] = defaultdict(set)
    for first, second, _ in copies:
        twins[first].add(second)
        twins[second].add(first)
    background = _background(finder)
    reports = []
    for index, view in enumerate(views):
        # Its copies would recognise it whatever it shows: they are a finding of their own.
        hidden = {index, *(twin for twin in twins[index] if views[twin].item == view.item)}
        reports.append(_report(finder, index, looks[index], float(background[index]), hidden))
        if progress is not None:
            progress(1)
    findings = all_findings(views, copies, reports, finder.thresholds, settings)
    return GalleryAudit(tuple(findings), tuple(reports))


def _report(
    finder: Finder, index: int, look: Look, background: float, hidden: set[int]
) -> ViewReport:
    view = finder.gallery.views[index]
    width, height = view.box[2] - view.box[0], view.box[3] - view.box[1]
    scene, box = _scene(view)
    found = finder.find(scene, without=hidden, rivals=True)
    own = _best(found, box, lambda name: name == view.item)
    rival = _best(found, box, lambda name: name != view.item)
    others = {n for n, other in enumerate(finder.gallery.views) if other.item == view.item}
    return ViewReport(
        view=view.id,
        item=view.item,
        source=view.source,
        own_score=own[0] if others - hidden else None,
        own_view=own[2],
        rival=rival[1],
        rival_score=rival[0],
        rival_view=rival[2],
        side=min(max(width, height), 4 * min(width, height)),
        contrast=look.contrast,
        blur=look.blur,
        background=background,
    )


def _scene(view: View) -> tuple[Image, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """A view's picture as if it were a photo, and the (4,) xyxy box of the item in it.

    The item gets the templates' size, and half of it all around: what the picture has, beyond
    that a blurred continuation of its rim.
    """
    x_min, y_min, x_max, y_max = view.box
    side = max(x_max - x_min, y_max - y_min)
    scale = _SCENE_SIDE / side
    image = on_calm_ground(view)
    if scale < 0.75:  # bilinear sampling alone would alias
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 / scale), np.uint8)
    margin = _AROUND * _SCENE_SIDE
    width = round((x_max - x_min) * scale + 2 * margin)
    height = round((y_max - y_min) * scale + 2 * margin)
    to_scene = np.array([[scale, 0, margin - scale * x_min], [0, scale, margin - scale * y_min]])
    scene = cv2.warpAffine(
        image, to_scene, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    box = np.array([margin, margin, width - margin, height - margin], np.float32)
    return np.asarray(scene, np.uint8), box


def _best(
    found: sv.Detections,
    box: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    is_meant: Callable[[str], bool],
) -> tuple[float, str, str]:
    """Score, item and view of the best find at the box; 0 and "" where there is none."""
    if not len(found) or found.confidence is None:
        return 0.0, "", ""
    names = [str(name) for name in found.data["class_name"]]
    fits = sv.box_iou_batch(box[None], found.xyxy)[0] >= _OVERLAP
    fits &= np.array([is_meant(name) for name in names])
    if not fits.any():
        return 0.0, "", ""
    best = int(np.where(fits, found.confidence, -1.0).argmax())
    return float(found.confidence[best]), names[best], str(found.data["view"][best])


def _background(finder: Finder) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """(V,) mean similarity of each view to backgrounds, less the median for its templates' size."""
    total = np.zeros(len(finder.gallery.views))
    count = np.zeros(len(finder.gallery.views))
    by_size: dict[float, list[int]] = defaultdict(list)
    for index, template in enumerate(finder.templates):
        by_size[template.cells].append(index)
    for members in by_size.values():
        owners = np.array([finder.templates[index].view for index in members])
        means = finder.statistics.mean[members].astype(np.float64)
        np.add.at(total, owners, means - np.median(means))
        np.add.at(count, owners, 1)
    return np.asarray(total / np.maximum(count, 1), np.float64)
