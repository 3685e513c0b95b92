"""Findings of an audit: what the measurements of a gallery's views mean, and what to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from visionkit.matching.calibration import logit
from visionkit.matching.gallery import View

_SEVERITY = (
    "same picture",
    "confused items",
    "view that hurts",
    "blank view",
    "lone view",
    "plain view",
    "small view",
    "blurred view",
    "single view",
    "copy",
)
"""Kinds of findings, the gravest first."""


@dataclass(frozen=True)
class AuditSettings:
    """From where on something is a finding.

    Attributes:
        margin: an item is as good on a view as the view's own if its score, in log odds, is
            higher than the own one less this.
        min_side: side of a view in pixels, below which it is small; see `ViewReport`.
        min_contrast: between the darkest and brightest 2 % of its pixels, of 255, below which
            a view is blank.
        max_blur: width of its sharpest edges, in parts of its longer side, above which it is
            blurred.
        copy_likeness: correlation of two views' pixels, 0..1, from which they are copies.
        plain: deviation of a view's mean similarity to backgrounds from that of all views, in
            robust standard deviations, above which it is plain.
    """

    margin: float = 1.0
    min_side: float = 40.0
    min_contrast: float = 24.0
    max_blur: float = 0.05
    copy_likeness: float = 0.985
    plain: float = 3.5


@dataclass(frozen=True)
class Finding:
    """Something about the gallery that is worth a look.

    Attributes:
        kind: one of "same picture", "confused items", "view that hurts", "blank view",
            "lone view", "plain view", "small view", "blurred view", "single view", "copy".
        items: names of the items concerned, the one to look at first.
        views: ids of the views concerned.
        figure: what was measured.
        limit: what it was held against.
        why: a sentence that says what was found and why it matters.
        advice: a sentence that says what to do.
    """

    kind: str
    items: tuple[str, ...]
    views: tuple[str, ...]
    figure: float
    limit: float
    why: str
    advice: str


@dataclass(frozen=True)
class ViewReport:
    """What the finder makes of a view's picture when that view is hidden.

    Attributes:
        view: its id.
        item: its item.
        source: path of the picture it came from, or "".
        own_score: best score 0..1 of its own item on it; None where the item has no other view.
        own_view: id of the view that gave it, or "".
        rival: the other item that scores best on it, or "".
        rival_score: its score, 0..1.
        rival_view: id of the view that gave it, or "".
        side: longer side in pixels, or four times the shorter one if that is less.
        contrast: between the darkest and brightest 2 % of its pixels, of 255.
        blur: width of its sharpest edges in parts of its longer side.
        background: mean similarity of its templates to the best place of a background, less
            what is usual for templates of their size.
    """

    view: str
    item: str
    source: str
    own_score: float | None
    own_view: str
    rival: str
    rival_score: float
    rival_view: str
    side: float
    contrast: float
    blur: float
    background: float


def all_findings(
    views: Sequence[View],
    copies: Sequence[tuple[int, int, float]],
    reports: Sequence[ViewReport],
    thresholds: Mapping[str, float],
    settings: AuditSettings,
) -> list[Finding]:
    """What is worth a look, the gravest first.

    Args:
        views: all views.
        copies: pairs of views that are copies, and how alike they are, 0..1.
        reports: one a view.
        thresholds: item -> score 0..1 from which on it is found.
        settings: from where on something is a finding.
    """
    findings = [
        *_copies(views, copies),
        *_confused(thresholds, reports, settings),
        *_hurting(thresholds, reports),
        *_lone(thresholds, reports),
        *_poor_pictures(reports, settings),
        *_plain(reports, settings),
        *_single(views),
    ]
    return sorted(findings, key=lambda finding: _SEVERITY.index(finding.kind))


def _copies(views: Sequence[View], copies: Sequence[tuple[int, int, float]]) -> list[Finding]:
    findings = []
    for first, second, likeness in copies:
        one, other = views[first], views[second]
        ids = (one.id, other.id)
        if one.item != other.item:
            findings.append(
                Finding(
                    "same picture",
                    (one.item, other.item),
                    ids,
                    likeness,
                    1.0,
                    f"{one.item} and {other.item} have the same picture: whatever it shows is "
                    "found as both.",
                    "Remove it from the item that it does not show.",
                )
            )
        else:
            findings.append(
                Finding(
                    "copy",
                    (one.item,),
                    ids,
                    likeness,
                    1.0,
                    f"Two pictures of {one.item} are copies: the second costs time and adds "
                    "nothing.",
                    "Remove one, or replace it with a picture from another side or in another "
                    "light.",
                )
            )
    return findings


def _confused(
    thresholds: Mapping[str, float], reports: Sequence[ViewReport], settings: AuditSettings
) -> list[Finding]:
    """Pairs of items of which one is found on the other's pictures."""
    claims: dict[tuple[str, str], list[ViewReport]] = defaultdict(list)
    for report in reports:
        if _is_claimed(report, thresholds, settings.margin):
            claims[min(report.item, report.rival), max(report.item, report.rival)].append(report)
    findings = []
    for pair, claimed in claims.items():
        taken = Counter((report.item, report.rival) for report in claimed)
        of = Counter(report.item for report in reports)
        words = " and ".join(
            f"{rival} is found on {count} of {of[item]} pictures of {item}"
            for (item, rival), count in taken.most_common()
        )
        if any(report.own_score is not None for report in claimed):
            words += ", about as surely as the right item"
        worst = max(claimed, key=lambda report: report.rival_score)
        findings.append(
            Finding(
                "confused items",
                pair if pair[0] == worst.item else pair[::-1],
                tuple(report.view for report in claimed),
                worst.rival_score,
                thresholds[worst.rival],
                f"{words}: finds of the two can hardly be told apart.",
                "Add pictures that show large what differs, or make them one item.",
            )
        )
    return sorted(findings, key=lambda finding: -len(finding.views))


def _is_claimed(report: ViewReport, thresholds: Mapping[str, float], margin: float) -> bool:
    """Whether another item would be found on the view, about as surely as its own.

    On a lone view the item's other pictures say nothing, so it says nothing about them.
    """
    if not _is_taken(report, thresholds):
        return False
    if report.own_score is None:
        return True
    if report.own_score < thresholds[report.item]:
        return False
    own, rival = logit(np.array([report.own_score, report.rival_score], np.float32))
    return bool(rival > own - margin)


def _hurting(thresholds: Mapping[str, float], reports: Sequence[ViewReport]) -> list[Finding]:
    """Views that are found on more pictures of other items than of their own."""
    right = Counter(
        report.own_view
        for report in reports
        if report.own_score is not None and report.own_score >= thresholds[report.item]
    )
    wrong: dict[str, list[ViewReport]] = defaultdict(list)
    for report in reports:
        if _is_taken(report, thresholds):
            wrong[report.rival_view].append(report)
    many = {item for item, count in Counter(r.item for r in reports).items() if count > 1}
    findings = []
    for report in reports:
        victims = wrong[report.view]
        if report.item not in many or len(victims) < 2 or len(victims) <= right[report.view]:
            continue
        names = ", ".join(sorted({victim.item for victim in victims})[:3])
        findings.append(
            Finding(
                "view that hurts",
                (report.item,),
                (report.view,),
                float(len(victims)),
                float(right[report.view]),
                f"This picture of {report.item} is found on {len(victims)} pictures of other "
                f"items ({names}) and on {right[report.view]} of its own: it brings false finds.",
                f"Remove it, or cut it closer around {report.item}.",
            )
        )
    return sorted(findings, key=lambda finding: -finding.figure)


def _lone(thresholds: Mapping[str, float], reports: Sequence[ViewReport]) -> list[Finding]:
    """Views that the item's other views do not know, those of an item together."""
    lone: dict[str, list[tuple[float, ViewReport]]] = defaultdict(list)
    for report in reports:
        if report.own_score is not None and report.own_score < thresholds[report.item]:
            lone[report.item].append((report.own_score, report))
    findings = []
    for item, found in lone.items():
        found.sort(key=lambda entry: entry[0])
        rivals = sorted({r.rival for _, r in found if _is_taken(r, thresholds)})
        one = len(found) == 1
        findings.append(
            Finding(
                "lone view",
                (item,),
                tuple(report.view for _, report in found),
                found[0][0],
                thresholds[item],
                f"The other pictures of {item} do not find it on "
                + ("this one" if one else f"any of these {len(found)}")
                + (f", {' and '.join(rivals[:3])} is found instead" if rivals else "")
                + ": what such a picture shows stands alone, and a photo like it is found by that "
                "picture or not at all.",
                f"Where it does show {item}, add another picture like it (same side, same "
                "design); where not, remove it.",
            )
        )
    return sorted(findings, key=lambda finding: -len(finding.views))


def _is_taken(report: ViewReport, thresholds: Mapping[str, float]) -> bool:
    """Whether another item would be found on the view."""
    return bool(report.rival) and report.rival_score >= thresholds[report.rival]


def _poor_pictures(reports: Sequence[ViewReport], settings: AuditSettings) -> list[Finding]:
    """Blank, small and blurred views, those of an item together; each under its gravest."""
    poor: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    for report in reports:
        if report.contrast < settings.min_contrast:
            poor["blank view", report.item].append((report.contrast, report.view))
        elif report.side < settings.min_side:
            poor["small view", report.item].append((report.side, report.view))
        elif report.blur > settings.max_blur:
            poor["blurred view", report.item].append((-report.blur, report.view))
    findings = []
    for (kind, item), found in poor.items():
        found.sort()
        figure = abs(found[0][0])
        limit, what, advice = _poor_words(kind, figure, settings)
        count = "One picture" if len(found) == 1 else f"{len(found)} pictures"
        findings.append(
            Finding(
                kind,
                (item,),
                tuple(view for _, view in found),
                figure,
                limit,
                f"{count} of {item} {'is' if len(found) == 1 else 'are'} {what}",
                advice,
            )
        )
    return sorted(findings, key=lambda finding: -len(finding.views))


def _poor_words(kind: str, figure: float, settings: AuditSettings) -> tuple[float, str, str]:
    """Limit, rest of the sentence and advice for views of a poor kind; `figure` is the worst."""
    if kind == "blank view":
        return (
            settings.min_contrast,
            "almost one colour: such a view is found anywhere, or nowhere.",
            "Remove it; add a picture on which the item stands out.",
        )
    if kind == "small view":
        return (
            settings.min_side,
            f"small, down to {figure:.0f} pixels: what tells the item apart is lost.",
            "Add a picture taken from nearer; 100 pixels and more are good.",
        )
    return (
        settings.max_blur,
        f"blurred, with edges up to {100 * figure:.0f} % of the item wide: fine marks are lost.",
        "Replace it with a sharp picture.",
    )


def _plain(reports: Sequence[ViewReport], settings: AuditSettings) -> list[Finding]:
    """Views that resemble backgrounds much more than others do."""
    if len(reports) < 5:  # too few to say what is usual
        return []
    values = np.array([report.background for report in reports])
    middle = np.median(values)
    spread = 1.4826 * float(np.median(np.abs(values - middle))) + 0.01
    return [
        Finding(
            "plain view",
            (report.item,),
            (report.view,),
            (report.background - middle) / spread,
            settings.plain,
            f"This picture of {report.item} resembles any background: it has to look very much "
            "alike before it counts, so it finds little.",
            "Cut it closer around the item, or add a picture with more of what is special to it.",
        )
        for report in reports
        if (report.background - middle) / spread > settings.plain
    ]


def _single(views: Sequence[View]) -> list[Finding]:
    """Items with one view."""
    counts = Counter(view.item for view in views)
    return [
        Finding(
            "single view",
            (view.item,),
            (view.id,),
            1.0,
            2.0,
            f"{view.item} has one picture: it is found from that side and in that light, and "
            "nothing can be said of how well.",
            "Add two or three pictures from other sides, in other light or on other ground.",
        )
        for view in views
        if counts[view.item] == 1
    ]
