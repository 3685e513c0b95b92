from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.worlds import SETTINGS, crop_view, mark, new_finder, photo, scene_with, three_items, view
from visionkit.matching.audit import (
    AuditSettings,
    Finding,
    GalleryAudit,
    ViewReport,
    audit_gallery,
)
from visionkit.matching.findings import all_findings
from visionkit.matching.gallery import View, make_view
from visionkit.matching.looks import copy_pairs, look_of
from visionkit.types import Image

GEOMETRY_ONLY = replace(
    SETTINGS,
    geometry=replace(SETTINGS.geometry, min_inliers=8),
    use_correlation=False,
    use_learned=False,
)
"""What local features agree on does not depend on a network with random weights."""


def of_kind(audit: GalleryAudit, kind: str) -> list[Finding]:
    return [finding for finding in audit.findings if finding.kind == kind]


def saved_again(image: Image, quality: int = 60) -> Image:
    """The picture after another round of JPEG."""
    _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)


def audited(views: Sequence[View]) -> GalleryAudit:
    return audit_gallery(new_finder(views, GEOMETRY_ONLY))


def lettering(text: str, size: tuple[int, int] = (200, 120), *, seed: int = 0) -> Image:
    """(H, W, 3): letters and lines, with points enough to be verified."""
    rng = np.random.default_rng(seed)
    picture = np.full((size[1], size[0], 3), 235, np.uint8)
    for _ in range(14):
        ends = rng.integers(0, size, (2, 2)).tolist()
        colour = rng.integers(0, 200, 3).tolist()
        cv2.line(picture, ends[0], ends[1], colour, int(rng.integers(1, 4)))
    cv2.putText(picture, text, (15, 75), cv2.FONT_HERSHEY_DUPLEX, 1.5, (20, 20, 160), 3)
    return picture


def seen_from(picture: Image, lean: float) -> Image:
    """The picture leaning to the side, on grey."""
    height, width = picture.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners + 20
    moved[1, 1] += lean * height
    moved[2, 1] -= lean * height
    to_there = cv2.getPerspectiveTransform(corners, moved)
    seen = cv2.warpPerspective(picture, to_there, (width + 40, height + 40), borderValue=(128,) * 3)
    return np.asarray(seen, np.uint8)


def test_an_empty_gallery_has_no_findings() -> None:
    assert audit_gallery(new_finder()) == GalleryAudit()


def test_an_audit_changes_nothing_and_goes_view_by_view() -> None:
    finder = new_finder(three_items())
    thresholds, steps = dict(finder.thresholds), list[int]()
    audit = audit_gallery(finder, progress=steps.append)
    assert [report.view for report in audit.views] == [view.id for view in three_items()]
    assert steps == [1] * 6
    assert finder.thresholds == thresholds
    assert len(finder.gallery.views) == 6
    assert json.loads(json.dumps(audit.to_json()))["views"][0]["item"] == "item 0"


def test_one_picture_of_an_item_is_a_finding() -> None:
    audit = audited([view("lone", 1), view("pair", 2), crop_view("pair", 2)])
    assert [finding.items for finding in of_kind(audit, "single view")] == [("lone",)]
    assert audit.views[0].own_score is None


def test_two_items_with_the_same_picture() -> None:
    picture = lettering("same")
    views = [make_view("a", picture), make_view("b", picture), make_view("c", lettering("other"))]
    (finding,) = of_kind(audited(views), "same picture")
    assert set(finding.items) == {"a", "b"}
    assert finding.views == (views[0].id, views[1].id)
    assert finding == audited(views).findings[0], "the gravest comes first"


@pytest.mark.parametrize(
    ("change", "is_copy"),
    [
        (saved_again, True),
        (lambda image: cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=3), True),
        (lambda image: np.clip(image * 0.7 + 20, 0, 255).astype(np.uint8), True),
        (lambda image: image[:, ::-1], False),
        (lambda image: image[:, :140], False),
        (lambda image: lettering("copy", seed=9), False),
    ],
    ids=["saved again", "smaller", "darker", "mirrored", "cut off", "other lines"],
)
def test_copies_of_one_item(change: object, is_copy: bool) -> None:
    picture = lettering("copy")
    assert callable(change)
    views = [make_view("a", picture), make_view("a", np.ascontiguousarray(change(picture)))]
    assert len(of_kind(audited(views), "copy")) == is_copy


def test_of_many_copies_each_is_named_once() -> None:
    picture = lettering("copy")
    views = [make_view("a", picture)]
    views += [make_view("a", saved_again(picture, quality)) for quality in (40, 60, 80)]
    pairs = copy_pairs(views, [look_of(view) for view in views], 0.985)
    assert [(first, second) for first, second, _ in pairs] == [(0, 1), (0, 2), (0, 3)]


def test_copies_do_not_vouch_for_each_other() -> None:
    # Hidden together, the two leave the item without a view that could know them.
    picture = lettering("copy")
    audit = audited([make_view("a", picture), make_view("a", saved_again(picture))])
    assert [report.own_score for report in audit.views] == [None, None]


def test_an_item_that_is_found_on_anothers_pictures_is_confused_with_it() -> None:
    views = [
        make_view("original", seen_from(lettering("brand"), 0.0)),
        make_view("original", seen_from(lettering("brand"), 0.08)),
        make_view("lookalike", seen_from(lettering("brand"), -0.08)),
        make_view("other", seen_from(lettering("words", seed=5), 0.0)),
        make_view("other", seen_from(lettering("words", seed=5), 0.08)),
    ]
    audit = audited(views)
    (finding,) = of_kind(audit, "confused items")
    assert set(finding.items) == {"original", "lookalike"}
    assert finding.figure >= finding.limit
    assert "other" not in finding.why
    rivals = {report.item: report.rival for report in audit.views}
    assert rivals == {"original": "lookalike", "lookalike": "original", "other": ""}


def test_a_view_that_the_items_others_do_not_know_stands_alone() -> None:
    front, back = lettering("front", seed=1), lettering("back", seed=2)
    views = [
        make_view("box", seen_from(front, 0.0)),
        make_view("box", seen_from(front, 0.08)),
        make_view("box", seen_from(back, 0.0)),
    ]
    (finding,) = of_kind(audited(views), "lone view")
    assert finding.views == (views[2].id,)
    assert finding.figure < finding.limit


def test_lone_views_of_an_item_are_one_finding() -> None:
    views = [make_view("box", lettering(word, seed=n)) for n, word in enumerate(("up", "by", "if"))]
    (finding,) = of_kind(audited(views), "lone view")
    assert set(finding.views) == {view.id for view in views}
    assert "any of these 3" in finding.why


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        (np.full((90, 120, 3), 120, np.uint8), "blank view"),
        (lettering("tiny")[40:70, 20:54], "small view"),
        (cv2.GaussianBlur(lettering("soft"), (0, 0), 9), "blurred view"),
        (lettering("good"), None),
        (mark(3)[..., :3], None),
        (photo(3), None),
    ],
    ids=["one colour", "34 pixels", "soft", "sharp", "drawn", "photo"],
)
def test_poor_pictures(picture: Image, kind: str | None) -> None:
    audit = audited([make_view("a", picture), make_view("b", lettering("fine", seed=4))])
    poor = {"blank view", "small view", "blurred view"}
    found = [finding.kind for finding in audit.findings if finding.kind in poor]
    assert found == ([kind] if kind else [])


def test_what_lies_behind_transparency_is_not_looked_at() -> None:
    # Black letters on transparent black: without alpha they would be one colour.
    letters = np.zeros((80, 160, 3), np.uint8)
    alpha = cv2.putText(letters.copy(), "ink", (20, 60), 0, 2, (255,) * 3, 8)[..., 0]
    look = look_of(make_view("ink", letters, alpha=np.ascontiguousarray(alpha)))
    assert look.contrast == 255


def report(name: str, own: tuple[float | None, str], rival: tuple[float, str]) -> ViewReport:
    """What was measured of the view "item/number"; `own` and `rival` are scores and views."""
    item, rival_item = name.partition("/")[0], rival[1].partition("/")[0]
    return ViewReport(name, item, "", *own, rival_item, *rival, 100.0, 200.0, 0.01, 0.0)


def test_a_view_that_is_found_on_others_pictures_hurts() -> None:
    reports = [
        report("a/1", (0.9, "a/2"), (0.0, "")),
        report("a/2", (0.9, "a/1"), (0.2, "b/1")),  # below b's threshold
        report("b/1", (0.9, "b/2"), (0.6, "a/2")),
        report("b/2", (0.9, "b/1"), (0.7, "a/2")),
        report("c/1", (None, ""), (0.8, "a/2")),
        report("d/1", (None, ""), (0.8, "a/1")),  # a/1 is right once and wrong once
    ]
    thresholds = dict.fromkeys("abcd", 0.5)
    findings = all_findings([], [], reports, thresholds, AuditSettings())
    (hurting,) = (finding for finding in findings if finding.kind == "view that hurts")
    assert (hurting.views, hurting.figure, hurting.limit) == (("a/2",), 3.0, 1.0)
    assert "(b, c)" in hurting.why


def test_a_view_that_resembles_every_background_is_plain() -> None:
    reports = [
        replace(report(f"a/{number}", (0.9, "a/0"), (0.0, "")), background=background)
        for number, background in enumerate([0.0, 0.01, -0.01, 0.02, -0.02, 0.3])
    ]
    findings = all_findings([], [], reports, {"a": 0.5}, AuditSettings())
    assert [(finding.kind, finding.views) for finding in findings] == [("plain view", ("a/5",))]
    # Median 0.005, median deviation 0.015: (0.3 - 0.005) / (1.4826 * 0.015 + 0.01).
    assert findings[0].figure == pytest.approx(9.15, abs=0.01)


def test_a_view_of_any_size_can_be_audited() -> None:
    sizes = {"dot": (1, 1), "strip": (3, 400), "line": (400, 2), "stamp": (7, 5)}
    rng = np.random.default_rng(0)
    views = [
        make_view(item, rng.integers(0, 256, (*size, 3), np.uint8)) for item, size in sizes.items()
    ]
    audit = audited(views)
    small = {item for finding in of_kind(audit, "small view") for item in finding.items}
    assert small == {"strip", "line", "stamp"}
    assert [finding.items for finding in of_kind(audit, "blank view")] == [("dot",)]
    json.dumps(audit.to_json(), allow_nan=False)


def test_limits_can_be_set() -> None:
    views = [make_view("a", lettering("a")), make_view("b", lettering("b", seed=1))]
    strict = audit_gallery(new_finder(views, GEOMETRY_ONLY), AuditSettings(min_side=500))
    assert len(of_kind(strict, "small view")) == 2


def test_the_item_is_judged_where_it_lies_in_its_picture() -> None:
    # The view's picture also shows another item beside it, which is no rival for its place.
    scene, box = scene_with(mark(1), (90, 30), 80, seed=5)
    other = cv2.resize(mark(2)[..., :3], (80, 80), interpolation=cv2.INTER_AREA)
    scene[30:110, 2:82] = other
    audit = audited([make_view("one", scene, box=box), view("two", 2), crop_view("two", 2)])
    assert audit.views[0].rival_score == 0
