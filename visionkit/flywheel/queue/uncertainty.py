"""Pictures of which models are unsure, or over which what they say doesn't agree.

Each function takes the proposals and gives a weight 0..1 for each picture with the sentence that
says why. Sentences are made only for the pictures that are shown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np

from visionkit.flywheel.boxes import overlap
from visionkit.flywheel.queue.columns import BoolArray, Columns, Doubts, FloatArray, IntArray

_POINTS = 8
"""Agreeing points from which geometry counts as sure; five are the least that it accepts."""
_SAME_PLACE = 0.5
_OPEN = 0.5  # margin from which a find counts as undecided


def margins(columns: Columns) -> FloatArray:
    """(P,) 0..1 how near a score lies to the threshold of its item, or to the next likely class's.

    A class of several that is named whatever its confidence has a threshold of 0: its margin is
    the lead over the runner-up (Scheffer, Decomain and Wrobel, "Active Hidden Markov Models for
    Information Extraction", 2001).
    """
    score, limit = columns.score, np.clip(columns.threshold, 0.0, 1.0)
    leads = _leads(columns)
    room = np.where(score < limit, limit, 1 - limit)
    off = np.abs(score - limit) / np.maximum(room, 1e-9)
    lead = np.maximum(score - columns.second, 0.0)
    weight = np.where(leads, 1 - lead, 1 - np.minimum(off, 1.0))
    of_class = columns.of_task("classification") & leads
    weight = np.where(of_class & (score < _best(columns, of_class)), 0.0, weight)
    return np.clip(weight, 0.0, 1.0)


def doubts_by_margin(columns: Columns) -> Doubts:
    """How near the score that is nearest to its threshold lies to it; see `margins`."""
    leads = _leads(columns)
    near = margins(columns)
    greatest, which = columns.strongest(near)
    finds = columns.picture[~columns.whole & (near >= _OPEN)]
    undecided = np.bincount(finds, minlength=columns.pictures)

    def words(picture: int) -> str:
        one = columns.proposals[which[picture]]
        if not leads[which[picture]]:
            side = "above" if one.score >= one.threshold else "below"
            count = undecided[picture]
            more = f" {count} finds of the picture are undecided." if count > 1 else ""
            return (
                f"{one.label!r} scores {one.score:.2f}, {abs(one.score - one.threshold):.2f} "
                f"{side} its threshold of {one.threshold:.2f}.{more}"
            )
        if one.runner_up:
            return (
                f"{one.label!r} ({one.score:.2f}) is only {one.score - one.runner_up_score:.2f} "
                f"ahead of {one.runner_up!r} ({one.runner_up_score:.2f})."
            )
        return f"{one.label!r} is the likeliest with no more than {one.score:.2f}."

    return Doubts("margin", greatest, words)


def doubts_by_entropy(columns: Columns) -> Doubts:
    """How widely the confidence of a classification is spread, as a share of the widest.

    What the classes that are given leave of 1 counts as one class more. Where they sum to more
    than 1, each is a question of its own, and the most open one counts.
    """
    own = columns.of_task("classification") & columns.whole
    given = np.bincount(columns.picture[own], minlength=columns.pictures)
    classes = max(len(np.unique(columns.label[own])), 2)
    alone = own & (given[columns.picture] == 1)
    parts = _surprise(columns.score) * own + _surprise(columns.second) * alone
    sums = columns.score * own + columns.second * alone
    entropy = np.bincount(columns.picture, parts, minlength=columns.pictures)
    total = np.bincount(columns.picture, sums, minlength=columns.pictures)
    spread = (entropy + _surprise(np.clip(1 - total, 0, 1))) / np.log(classes)
    apart = (_surprise(columns.score) + _surprise(1 - columns.score)) / np.log(2) * own
    open_one = columns.strongest(apart)[0]
    weight = np.where(total > 1 + 1e-6, open_one, spread) * (given > 0)

    def words(picture: int) -> str:
        return (
            f"Its confidence is spread over the classes: {weight[picture]:.2f} of the widest that "
            "there could be."
        )

    return Doubts("entropy", np.clip(weight, 0.0, 1.0), words)


def doubts_by_heads(columns: Columns) -> Doubts:
    """Whether one head says of a place or picture what another contradicts.

    Two finds of one place by other labels contradict each other; and so does a class of the whole
    picture of which another head of the model knows boxes but finds none, be it that it finds
    others or nothing at all.
    """
    weight = np.zeros(columns.pictures)
    said: dict[int, str] = {}
    known = {name: set(columns.label[columns.of_task(name)].tolist()) for name in columns.tasks}
    for picture, places in _several_heads(columns).items():
        for first in places:
            for second in places:
                doubt = _contradiction(columns, first, second, known, places)
                if doubt and doubt[0] > weight[picture]:
                    weight[picture], said[picture] = doubt
    alone, head = _unseen_by_heads(columns)
    lacking, which = columns.strongest(alone)

    def words(picture: int) -> str:
        if weight[picture] >= lacking[picture]:
            return said[picture]
        place = which[picture]
        one = columns.proposals[place]
        return (
            f"{one.task.capitalize()} says {one.label!r} ({one.score:.2f}), but "
            f"{columns.tasks[head[place]]} finds nothing."
        )

    return Doubts("heads", np.maximum(weight, lacking), words)


def doubts_by_geometry(columns: Columns) -> Doubts:
    """Whether the look and the geometry of a find disagree.

    Agreeing points without a score that is high enough; or none for an item that otherwise has
    them when it is found. An item without texture has none ever, which says nothing.
    """
    asked = columns.of_task("exemplar") & (columns.inliers >= 0)
    sure = asked & columns.assumed
    usual = np.zeros(int(columns.label.max(initial=-1)) + 1)
    for label in np.unique(columns.label[sure]):
        usual[label] = np.median(columns.inliers[sure & (columns.label == label)])
    expected = usual[columns.label] if len(usual) else np.zeros(0)
    points = columns.inliers.astype(np.float64)
    overlooked = asked & ~columns.assumed & (points >= _POINTS)
    unproven = sure & (expected >= _POINTS) & (points < expected / 4)
    weight = np.where(overlooked, points / (points + _POINTS), 0.0)
    lacking = 1 - points / np.maximum(expected, 1.0)
    weight = np.where(unproven, 0.5 * lacking, weight)  # a blurred picture lacks points, too
    greatest, which = columns.strongest(weight)

    def words(picture: int) -> str:
        place = which[picture]
        one = columns.proposals[place]
        if overlooked[place]:
            return (
                f"{one.inliers} points agree with {one.label!r}, but its look scores "
                f"{one.score:.2f}, below its threshold of {one.threshold:.2f}."
            )
        return (
            f"It looks like {one.label!r} ({one.score:.2f}), but {one.inliers} points agree where "
            f"{expected[place]:.0f} usually do."
        )

    return Doubts("geometry", greatest, words)


def doubts_by_frames(columns: Columns, *, video_of: Callable[[str], str]) -> Doubts:
    """Whether a frame says something else than the other frames of its track.

    Args:
        columns: of the proposals.
        video_of: id of a sample -> its video; numbers of tracks begin anew in each.
    """
    tracks: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for place in np.flatnonzero(columns.track >= 0).tolist():
        one = columns.proposals[place]
        key = video_of(one.sample_id), int(columns.model[place]), one.track
        tracks[key].append(place)
    weight = np.zeros(len(columns.proposals))
    said: dict[int, str] = {}
    for places in tracks.values():
        votes = Counter(columns.proposals[place].label for place in places)
        label, count = votes.most_common(1)[0]
        usual = float(np.median([columns.score[place] for place in places]))
        for place in places:
            one = columns.proposals[place]
            if one.label != label:
                weight[place] = count / len(places)
                said[place] = (
                    f"It says {one.label!r} where {count} of the {len(places)} frames of the track "
                    f"say {label!r}."
                )
            elif usual >= one.threshold > one.score:
                weight[place] = min(usual - one.score, 1.0)
                said[place] = (
                    f"{label!r} scores {one.score:.2f} here and {usual:.2f} in the middle of its "
                    f"track of {len(places)} frames."
                )
    greatest, which = columns.strongest(weight)
    return Doubts("frames", greatest, lambda picture: said[int(which[picture])])


def _leads(columns: Columns) -> BoolArray:
    """(P,) whether it is a class of the picture that is named whatever its confidence."""
    found: BoolArray = columns.whole & (columns.threshold <= 0)
    return found


def _best(columns: Columns, own: BoolArray) -> FloatArray:
    """(P,) the greatest score among the proposals of the same picture that are `own`."""
    best = np.zeros(columns.pictures)
    np.maximum.at(best, columns.picture[own], columns.score[own])
    found: FloatArray = best[columns.picture]
    return found


def _surprise(share: FloatArray) -> FloatArray:
    """-p log p, 0 at 0."""
    found: FloatArray = -share * np.log(np.maximum(share, 1e-300))
    return found


def _several_heads(columns: Columns) -> dict[int, list[int]]:
    """Picture -> places of what is taken to be there, where several heads name several labels."""
    asked = np.zeros((columns.pictures, max(len(columns.tasks), 1)), bool)
    asked[columns.picture, columns.task] = True
    there = np.flatnonzero(columns.assumed)
    lowest = np.full(columns.pictures, np.iinfo(np.int64).max)
    highest = np.full(columns.pictures, -1)
    np.minimum.at(lowest, columns.picture[there], columns.label[there])
    np.maximum.at(highest, columns.picture[there], columns.label[there])
    several = (asked.sum(axis=1) > 1) & (lowest < highest)
    found: dict[int, list[int]] = defaultdict(list)
    for place in there[several[columns.picture[there]]].tolist():
        found[int(columns.picture[place])].append(place)
    return found


def _unseen_by_heads(columns: Columns) -> tuple[FloatArray, IntArray]:
    """(P,) how much, and (P,) which head, contradicts a class of the picture by finding nothing.

    It is the score of the class, 0 for what none contradicts; a head's word counts about classes
    that it has found in some picture.
    """
    weight, head = np.zeros(len(columns.proposals)), np.full(len(columns.proposals), -1)
    leads = _leads(columns)
    likeliest = ~leads | (columns.score >= _best(columns, leads))
    whole = columns.whole & columns.assumed & likeliest
    for task in range(len(columns.tasks)):
        finds = ~columns.whole & (columns.task == task)
        full = np.bincount(columns.picture[finds & columns.assumed], minlength=columns.pictures) > 0
        for model in np.unique(columns.model[finds]):
            own = columns.model == model
            known = np.isin(columns.label, columns.label[finds & own & columns.assumed])
            lacking = whole & own & known & ~full[columns.picture]
            weight[lacking], head[lacking] = columns.score[lacking], task
    return weight, head


def _contradiction(
    columns: Columns, first: int, second: int, known: dict[str, set[int]], places: list[int]
) -> tuple[float, str] | None:
    """How much, and in words, the first contradicts what the second's head says; None for not."""
    one, other = columns.proposals[first], columns.proposals[second]
    if one.task == other.task or one.label == other.label:
        return None
    strength = min(one.score, other.score)
    if one.box is not None and other.box is not None:
        if first < second and overlap(one.box, other.box) >= _SAME_PLACE:
            return strength, (
                f"At one place {one.task} says {one.label!r} ({one.score:.2f}) and {other.task} "
                f"{other.label!r} ({other.score:.2f})."
            )
        return None
    if one.box is not None or int(columns.label[first]) not in known[other.task]:
        return None
    seconds = {columns.label[at] for at in places if columns.task[at] == columns.task[second]}
    if columns.label[first] in seconds:
        return None
    return strength, (
        f"{one.task.capitalize()} says {one.label!r} ({one.score:.2f}), but {other.task} finds "
        f"{other.label!r} ({other.score:.2f}) and no {one.label!r}."
    )
