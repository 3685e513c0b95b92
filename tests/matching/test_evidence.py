from __future__ import annotations

import numpy as np
import pytest

from tests.worlds import SETTINGS, reference, small_backbone, view
from visionkit.matching.candidates import Candidates, no_candidates
from visionkit.matching.evidence import (
    Proposals,
    add_geometry,
    as_candidates,
    thin,
    unverified,
    worth_verifying,
)
from visionkit.matching.geometry import Verified
from visionkit.matching.templates import build_templates

CELLS = SETTINGS.search.template_cells[0]


def by_correlation(*places: tuple[tuple[float, ...], float, float]) -> Proposals:
    """Proposals with these boxes, similarities and priors."""
    count = len(places)
    candidates = Candidates(
        np.array([box for box, _, _ in places], np.float32).reshape(-1, 4),
        np.array([similarity for _, similarity, _ in places], np.float32),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
    )
    prior = np.array([prior for _, _, prior in places], np.float32)
    return unverified(candidates, prior, reference()[0])


def by_geometry(*places: tuple[tuple[float, ...], int]) -> Verified:
    """Finds of the first view with these boxes and numbers of points."""
    boxes = np.array([box for box, _ in places], np.float32).reshape(-1, 4)
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    inliers = np.array([inliers for _, inliers in places], np.int64)
    return Verified(boxes, corners, inliers, np.zeros(len(places), np.int64))


def blank(verified: Verified) -> Candidates:
    """Geometry's finds as candidates of the first template."""
    zeros = np.zeros(len(verified), np.int64)
    return Candidates(verified.boxes, zeros.astype(np.float32), zeros, zeros)


def test_nothing_is_found_by_neither() -> None:
    found = unverified(no_candidates(), np.zeros(0, np.float32), reference()[0])
    nothing = by_geometry()
    both = add_geometry(found, nothing, blank(nothing), np.zeros((0, 0), bool))
    for one in (found, thin(found, np.zeros(0, np.int64), 5), both):
        assert len(one.candidates) == len(one.prior) == len(one.inliers) == 0
        assert one.quads.shape == (0, 4, 2)


def test_correlation_alone_has_no_points() -> None:
    found = by_correlation(((0, 0, 10, 10), 0.7, 3.0), ((5, 5, 25, 25), 0.6, 1.0))
    assert found.inliers.tolist() == [0, 0]
    assert np.isnan(found.quads).all()


@pytest.mark.parametrize(
    ("items", "count", "expected"),
    [
        ((0, 0, 0), 5, [4.0, 3.0]),
        ((0, 1, 0), 5, [4.0, 3.0, 2.0]),
        ((0, 0, 0), 1, [4.0]),
    ],
    ids=["a copy", "two items at a place", "no more than asked for"],
)
def test_the_best_proposals_are_kept_once(
    items: tuple[int, ...], count: int, expected: list[float]
) -> None:
    found = by_correlation(
        ((0, 0, 10, 10), 0.7, 4.0), ((0, 0, 10, 9), 0.7, 2.0), ((50, 0, 60, 10), 0.6, 3.0)
    )
    assert thin(found, np.array(items, np.int64), count).prior.tolist() == expected


@pytest.mark.parametrize(
    ("box", "points", "same_item", "prior", "similarity"),
    [
        ((0, 0, 10, 10), 7, True, 3.0 + 7 - 2, 0.7),
        ((0, 0, 10, 10), 7, False, 7 - 2, 0.0),
        ((40, 0, 50, 10), 7, True, 7 - 2, 0.0),
        ((0, 0, 10, 10), 90, True, 3.0 + 25 - 2, 0.7),
    ],
    ids=["both agree", "another item", "another place", "more points than count"],
)
def test_evidence_adds_up_where_both_agree(
    box: tuple[float, ...], points: int, same_item: bool, prior: float, similarity: float
) -> None:
    found = by_correlation(((0, 0, 10, 10), 0.7, 3.0))
    verified = by_geometry((box, points))
    both = add_geometry(found, verified, blank(verified), np.array([[same_item]]))
    assert both.prior.tolist() == [prior, 3.0], "the best first"
    assert both.inliers.tolist() == [points, 0]
    assert both.candidates.similarity.tolist() == pytest.approx([similarity, 0.7])
    np.testing.assert_array_equal(both.quads[0], verified.quads[0])
    assert np.isnan(both.quads[1]).all()


def test_finds_of_geometry_get_the_template_and_level_of_their_size() -> None:
    templates = build_templates(
        [view("item 0", 0)], small_backbone(), stride=8, cells=(8.5, CELLS, 4.2)
    )
    pyramid = reference()[0]
    level = pyramid.levels[-1]
    side = CELLS * pyramid.stride / max(level.scale_x, level.scale_y)
    verified = by_geometry(((0, 0, side, side / 2), 5))
    found = as_candidates(verified, templates, pyramid, cells=CELLS)
    assert templates[int(found.template[0])].cells == CELLS
    assert found.level.tolist() == [len(pyramid.levels) - 1]
    assert found.similarity.tolist() == [0.0]


@pytest.mark.parametrize(
    ("count", "chance", "views", "around"),
    [
        (9, -1.0, [2, 5, 7], None),
        (2, 0.0, [5, 7], None),
        (9, 2.5, [5, 7], [0, 1, 2]),
        (1, 2.5, [7], [0, 2]),
        (9, 6.0, [], []),
    ],
    ids=["all", "the best", "no worse than chance", "the best of those", "none"],
)
def test_views_that_geometry_looks_for(
    count: int, chance: float, views: list[int], around: list[int] | None
) -> None:
    boxes = [(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), (60, 0, 70, 10)]
    found = by_correlation(
        *((box, 0.5, prior) for box, prior in zip(boxes, (5.0, 4.0, 3.0, 2.0), strict=True))
    )
    chosen, places = worth_verifying(found, np.array([7, 5, 7, 2]), count=count, chance=chance)
    assert chosen.tolist() == views
    if around is None:
        assert places is None
    else:
        assert places is not None
        assert places.tolist() == [list(boxes[place]) for place in around]
