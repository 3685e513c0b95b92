"""The finder: correlation, geometry and what was learned, put together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import supervision as sv
import torch
from numpy.typing import NDArray

from visionkit.heads.exemplar import SCORE_OFFSET, ExemplarHead, Pairs
from visionkit.matching.calibration import (
    BackgroundStatistics,
    chance_prior,
    item_rate,
    item_thresholds,
)
from visionkit.matching.candidates import Candidates, no_candidates
from visionkit.matching.evidence import (
    Proposals,
    add_geometry,
    as_candidates,
    thin,
    unverified,
    worth_verifying,
)
from visionkit.matching.gallery import Gallery, View
from visionkit.matching.geometry import GeometryIndex, GeometrySettings, Points, Verified
from visionkit.matching.pairs import gather_pairs
from visionkit.matching.pyramid import (
    Look,
    PyramidSettings,
    ScenePyramid,
    looked_at,
    scene_pyramid,
)
from visionkit.matching.reference import search_reference, sizes_against
from visionkit.matching.results import (
    best_of_each_place,
    clip_boxes,
    first_of_each,
    names_at,
    runners_up,
)
from visionkit.matching.search import SearchSettings, TemplateIndex
from visionkit.matching.templates import Template, build_templates
from visionkit.models.backbone import Backbone
from visionkit.types import BoxArray, Image


@dataclass(frozen=True)
class FinderSettings:
    """How items are found; each part can be switched off.

    Attributes:
        use_correlation: search by similarity of feature patches.
        use_geometry: search and verify by local features.
        use_learned: embedding, scores and boxes as trained.
        candidates: most places of a scene that are looked at closely.
        per_item: most finds of one item in a scene.
        iou_threshold: of two finds of one item that overlap more, the better one stays.
        place_iou_threshold: of two finds of different items that overlap more, the better one
            stays: one place shows one item. 1 keeps both.
        false_alarm_rate: pictures without any item in which one may be found all the same, as a
            part of all such pictures; sets the items' thresholds.
    """

    pyramid: PyramidSettings = field(default_factory=PyramidSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    geometry: GeometrySettings = field(default_factory=GeometrySettings)
    use_correlation: bool = True
    use_geometry: bool = True
    use_learned: bool = True
    candidates: int = 250
    per_item: int = 50
    iou_threshold: float = 0.45
    place_iou_threshold: float = 0.5
    false_alarm_rate: float = 0.02


class Finder:
    """Finds the items of a gallery; items come and go without training.

    Args:
        backbone: frozen.
        head: whitened; trained or not.
        settings: how items are found.
        reference: background pictures as the backbone sees them: what views are calibrated on.

    Attributes:
        gallery, templates, statistics: what is looked for, ready to search.
        thresholds: item -> score threshold 0..1 at the stated false-alarm rate, whatever the
            size of the picture: scores allow for it.
        learned: item -> row of its own scorer in the head. A removed item's is forgotten: what
            is added under its name later is another thing.
        look: what sees scenes in the backbone's place, such as a quicker engine; None is the
            backbone. Views are always seen by the backbone: what is kept of them does not depend
            on who searches.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: ExemplarHead,
        settings: FinderSettings,
        reference: Sequence[ScenePyramid],
    ) -> None:
        if not reference:
            raise ValueError("a finder must have at least one background picture, got none")
        self.backbone = backbone.to(memory_format=torch.channels_last)
        self.head = head
        self.settings = settings
        self.reference = tuple(reference)
        self.learned: dict[str, int] = {}
        self.look: Look | None = None
        self._known_points: dict[View, Points] = {}
        nothing = BackgroundStatistics(np.zeros(0, np.float32), np.ones(0, np.float32))
        self.restore(Gallery(), [], nothing, {})

    def restore(
        self,
        gallery: Gallery,
        templates: Sequence[Template],
        statistics: BackgroundStatistics,
        thresholds: Mapping[str, float],
    ) -> None:
        """Takes over what was measured before, as a bundle keeps it."""
        self.gallery = gallery
        self.templates = list(templates)
        self.statistics = statistics
        self.thresholds = dict(thresholds)
        self._embed()

    def add(self, views: Sequence[View], *, progress: Callable[[int], None] | None = None) -> None:
        """Adds views, calibrates them on the reference and sets their items' thresholds.

        Other items keep theirs, which were set for as many items as there were then. An error
        leaves everything as it was.

        Args:
            views: of new or known items; copies are left out.
            progress: called with 1 after each view.

        Raises:
            ValueError: no background picture is large enough to search in.
        """
        before = len(self.gallery.views)
        gallery = self.gallery.add(views)
        search = self.settings.search
        fresh = build_templates(
            gallery.views[before:],
            self.backbone,
            stride=self.settings.pyramid.stride,
            cells=(*search.template_cells, *search.small_template_cells),
            first_view=before,
            progress=progress,
        )
        unknown = BackgroundStatistics(
            np.zeros(len(fresh), np.float32), np.ones(len(fresh), np.float32)
        )
        present = dict(vars(self))
        try:
            self.restore(
                gallery,
                [*self.templates, *fresh],
                self.statistics.join(unknown),
                self.thresholds,
            )
            self.calibrate({view.item for view in gallery.views[before:]})
        except BaseException:
            vars(self).update(present)
            raise

    def remove(self, item: str) -> None:
        """Removes an item with all its views.

        Raises:
            ValueError: there is no such item.
        """
        self._keep(self.gallery.remove(item))

    def drop(self, views: Collection[int]) -> None:
        """Removes views by their indices; an item without views is gone."""
        self._keep(self.gallery.drop(views))

    def _keep(self, gallery: Gallery) -> None:
        """Takes over a gallery that is a part of the present one."""
        old = self.gallery.views
        place = {id(view): index for index, view in enumerate(gallery.views)}
        kept = [n for n, t in enumerate(self.templates) if id(old[t.view]) in place]
        templates = [self.templates[n] for n in kept]
        self.learned = {i: row for i, row in self.learned.items() if i in gallery.items}
        self.restore(
            gallery,
            [replace(t, view=place[id(old[t.view])]) for t in templates],
            self.statistics.take(np.array(kept, np.intp)),
            {item: self.thresholds[item] for item in gallery.items},
        )

    def calibrate(self, items: Collection[str]) -> None:
        """Measures all templates of these items on the reference and sets their thresholds.

        `add` does so; it has to be done again when the head has learned something. The rate is
        that of pictures without any item, so pictures of other items say nothing of it: thresholds
        that composed scenes of others were counted in with were so high that half of the items
        were never found (presence F1 on half of FlickrLogos-27's second subset and 100 photos:
        0.42 with them, 0.75 without, where 97 of the photos had no find).
        """
        numbers = [n for n, item in enumerate(self._item_names) if item in items]
        chosen = np.flatnonzero(np.isin(self._item_of_view[self._view_of_template], numbers))
        if not len(chosen):
            return
        templates = [self.templates[n] for n in chosen]
        searched = search_reference(self.reference, templates, self.head, self.settings.search)
        self.statistics = self.statistics.put(chosen, searched.statistics())
        top: dict[str, list[float]] = {self._item_names[number]: [] for number in numbers}
        for pyramid, candidates, prior in searched.as_new():
            placed = replace(candidates, template=chosen[candidates.template])
            scores = self._best_scores(placed, prior, pyramid)
            for item, values in top.items():
                values.append(scores.get(item, 0.0))
        rate = item_rate(self.settings.false_alarm_rate, len(self._item_names))
        self.thresholds |= item_thresholds(top, rate)

    @torch.no_grad()
    def _best_scores(
        self, candidates: Candidates, prior: NDArray[np.float32], pyramid: ScenePyramid
    ) -> dict[str, float]:
        """Item -> score of its best place, as found without geometry: there are no pixels."""
        order = np.argsort(-prior, kind="stable")
        items, first = np.unique(self.items_of(candidates)[order], return_index=True)
        best = order[first]
        _, scores = self._judge(unverified(candidates.take(best), prior[best], pyramid))
        return {
            self._item_names[item]: float(score) for item, score in zip(items, scores, strict=True)
        }

    def _embed(self) -> None:
        views = self.gallery.views
        self._item_names = list(self.gallery.items)
        number = {item: index for index, item in enumerate(self._item_names)}
        self._item_of_view = np.array([number[view.item] for view in views], np.int64)
        self._view_of_template = np.array([t.view for t in self.templates], np.int64)
        self._index = TemplateIndex(self.templates, self.head, self.settings.search)
        self._points: GeometryIndex | None = None
        if self.settings.use_geometry:
            known = {view: self._known_points[view] for view in views if view in self._known_points}
            self._points = GeometryIndex(views, self.settings.geometry, known)
            self._known_points = known

    @property
    def item_names(self) -> list[str]:
        """Names of the items, sorted: `class_id` of a detection is a place in this list."""
        return self._item_names

    def pyramid(self, image: Image) -> ScenePyramid:
        """The scene as the backbone sees it, or who looks in its place."""
        if self.look is not None:
            return looked_at(image, self.look, self.settings.pyramid)
        return scene_pyramid(image, self.backbone, self.settings.pyramid)

    def propose(self, image: Image, *, without: Collection[int] = ()) -> Proposals:
        """The places worth a close look, the best first, before anything learned.

        Args:
            image: (H, W, 3) uint8 RGB.
            without: indices of views that are not used: those that a composed scene shows,
                lest they match themselves.
        """
        pyramid = self.pyramid(image)
        size = sizes_against(self.reference, [pyramid])[0]
        candidates = no_candidates()
        if self.settings.use_correlation and self.templates:
            prior = partial(self.statistics.above, size=size)
            candidates = self._index.search(pyramid, self.head, prior)
        if without and len(candidates):
            hidden = np.isin(self._view_of_template[candidates.template], list(without))
            candidates = candidates.take(~hidden)
        found = unverified(candidates, self.statistics.standardise(candidates, size), pyramid)
        found = thin(found, self.items_of(candidates), self.settings.candidates)
        if self._points is None:
            return found
        verified = self._verify(self._points, image, found, without)
        return self._with_geometry(found, verified) if len(verified) else found

    def pairs(self, proposals: Proposals) -> Pairs:
        """Proposals as the head sees them."""
        return gather_pairs(
            proposals.candidates,
            proposals.prior,
            proposals.inliers,
            proposals.pyramid,
            self.templates,
            self._learned_rows()[self.items_of(proposals.candidates)],
        )

    def learn_items(self) -> None:
        """Gives every item a scorer of its own, which changes nothing before it is trained."""
        self.head.learn_items(len(self._item_names))
        self.learned = {item: row for row, item in enumerate(self._item_names)}

    def forget_items(self) -> None:
        """Takes the items' own scorers away."""
        self.head.learn_items(0)
        self.learned = {}

    def _learned_rows(self) -> NDArray[np.int64]:
        """(items,) row of each item's scorer in the head, -1 where it has none."""
        return np.array([self.learned.get(item, -1) for item in self._item_names], np.int64)

    def items_of(self, candidates: Candidates) -> NDArray[np.int64]:
        """(N,) index of each candidate's item in `item_names`."""
        if not len(candidates):
            return np.zeros(0, np.int64)
        return self._item_of_view[self._view_of_template[candidates.template]]

    @torch.no_grad()
    def find(
        self, image: Image, *, without: Collection[int] = (), rivals: bool = False
    ) -> sv.Detections:
        """What is found in a picture, whatever the threshold, the best first.

        Args:
            image: (H, W, 3) uint8 RGB.
            without: indices of views that are not used.
            rivals: whether other items' weaker finds of the same place are kept too.

        Returns:
            Boxes in pixels of the picture, `confidence` 0..1, `class_id` into `item_names`,
            and in `data`: class_name, view (id of the view that matched), similarity (cosine),
            inliers, quad (4, 2), runner_up (the other item that fits best at this place, or "")
            and runner_up_score.
        """
        proposals = self.propose(image, without=without)
        boxes, scores = self._judge(proposals)
        items = self.items_of(proposals.candidates)
        boxes = clip_boxes(boxes, proposals.pyramid.image_size)
        limit = None if rivals else self.settings.place_iou_threshold
        kept = best_of_each_place(boxes, scores, items, self.settings.iou_threshold, limit)
        kept = kept[first_of_each(items[kept], self.settings.per_item)]
        view = self._view_of_template[proposals.candidates.template[kept]] if len(kept) else kept
        rival, rival_score = runners_up(boxes, scores, items, kept)
        return sv.Detections(
            xyxy=boxes[kept].reshape(-1, 4),
            confidence=scores[kept],
            class_id=items[kept].astype(int),
            data={
                "class_name": names_at(self._item_names, items[kept]),
                "view": np.array([self.gallery.views[place].id for place in view], dtype=str),
                "similarity": proposals.candidates.similarity[kept],
                "inliers": proposals.inliers[kept],
                "quad": proposals.quads[kept],
                "runner_up": names_at(self._item_names, rival),
                "runner_up_score": rival_score,
            },
        )

    def _judge(self, proposals: Proposals) -> tuple[BoxArray, NDArray[np.float32]]:
        """Boxes and scores, by the head as trained or by the prior alone."""
        if self.settings.use_learned and len(proposals.candidates):
            pairs = self.pairs(proposals)
            results = self.head.decode(self.head(pairs), pairs)
            boxes = results.boxes.cpu().numpy().astype(np.float32)
            return boxes, results.scores.cpu().numpy().astype(np.float32)
        odds = proposals.prior - SCORE_OFFSET
        return proposals.candidates.boxes, torch.from_numpy(odds).sigmoid().float().numpy()

    def _verify(
        self, points: GeometryIndex, image: Image, found: Proposals, without: Collection[int]
    ) -> Verified:
        views, around = np.arange(len(self.gallery.views)), None
        limit = self.settings.geometry.verified_views
        if len(views) > limit and self.settings.use_correlation:
            proposed = self._view_of_template[found.candidates.template]
            chance = chance_prior(len(views))
            views, around = worth_verifying(found, proposed, count=limit, chance=chance)
        return points.verify(image, np.setdiff1d(views, list(without)).astype(np.int64), around)

    def _with_geometry(self, found: Proposals, verified: Verified) -> Proposals:
        cells = self.settings.search.template_cells[0]
        by_geometry = as_candidates(verified, self.templates, found.pyramid, cells=cells)
        same_item = self.items_of(by_geometry)[:, None] == self.items_of(found.candidates)[None]
        return add_geometry(found, verified, by_geometry, same_item)
