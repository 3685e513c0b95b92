"""The second pass over the rows of a video: one item a track, and scores that do not flicker."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]
"""A find, as a row of `predictions.parquet`: video, frame, time, task, item or label, class_id,
score, box, track and so on."""

TrackKey = tuple[str, int]
"""Video and number of a track; numbers are never used twice in a video."""

_NO_EVIDENCE = {"view": "", "similarity": None, "inliers": None}


@dataclass
class Ballot:
    """What the finds of one track said that it is.

    Attributes:
        votes: item -> sum of the scores that the finds of the track gave it.
        class_ids: item -> its class id, as far as a row told.
        finds: rows of the track.
        changes: how often a find named another item than the one before it.
    """

    votes: dict[str, float] = field(default_factory=dict)
    class_ids: dict[str, int | None] = field(default_factory=dict)
    finds: int = 0
    changes: int = 0
    _last: str | None = None

    def add(self, row: Row) -> None:
        """Counts a find of the exemplar head, and its runner-up as the weaker claim that it is."""
        item = str(row["item"])
        self._vote(item, row.get("score"))
        self.class_ids[item] = row.get("class_id")
        if row.get("runner_up") is not None:
            self._vote(str(row["runner_up"]), row.get("runner_up_score"))
        self.finds += 1
        self.changes += self._last is not None and item != self._last
        self._last = item

    @property
    def item(self) -> str:
        """The item with the most votes; of equal ones that which was named first."""
        named = {item: self.votes[item] for item in self.class_ids}
        return max(named, key=lambda item: named[item])

    @property
    def share(self) -> float:
        """Part of all votes that went to `item`, 0..1."""
        total = sum(self.votes.values())
        return self.votes[self.item] / total if total else 0.0

    def _vote(self, item: str, score: float | None) -> None:
        self.votes[item] = self.votes.get(item, 0.0) + (score or 0.0)


def count_votes(rows: Iterable[Row]) -> dict[TrackKey, Ballot]:
    """The ballot of every track of the exemplar head; memory grows with tracks, not with rows.

    Each find votes for its item with its score, and for its runner-up with that one's. Summing
    the evidence of a detection along its track before deciding is Seq-NMS (Han et al., 2016,
    arXiv:1602.08465, section 2); a sum of scores counts a sure find for more than a doubtful one,
    where a count of frames would not.

    Args:
        rows: of any number of videos; those without a track are passed over.
    """
    ballots: dict[TrackKey, Ballot] = {}
    for row in rows:
        key = track_of(row)
        if key is not None and row["task"] == "exemplar":
            ballots.setdefault(key, Ballot()).add(row)
    return ballots


def settled_rows(
    rows: Iterable[Row], ballots: Mapping[TrackKey, Ballot], *, seconds: float = 0.5
) -> Iterator[dict[str, Any]]:
    """The rows, with the item that their track voted for and a score smoothed along it.

    The score becomes the mean of the track's finds at most `seconds` before or after, weighed by
    a triangle that falls to 0 there (a Nadaraya-Watson mean, so uneven time steps are no matter).
    A find that named another item counts with what it gave the voted one: the score of its
    runner-up where that is it, else 0. Its row gets the voted item's name and class id, its own
    item as runner-up, and no view, similarity or inliers, which spoke for another item. Rows
    without a track stay as they are. Order stays; memory holds the rows of `seconds`.

    Args:
        rows: the same as were counted; of each video by time. A row whose task is None stands for
            a frame without finds.
        ballots: of `count_votes`.
        seconds: half the width of the triangle; 0 leaves scores as they are.
    """
    waiting: deque[dict[str, Any]] = deque()
    near: dict[TrackKey, deque[tuple[float, float]]] = {}
    for row in rows:
        if waiting and waiting[-1]["video"] != row["video"]:
            yield from (_smoothed(each, near, seconds) for each in waiting)
            waiting.clear()
            near.clear()
        while waiting and waiting[0]["time"] < row["time"] - seconds:
            yield _smoothed(waiting.popleft(), near, seconds)
        settled = _settled(row, ballots)
        key = track_of(row)
        if key is not None and settled.get("score") is not None:
            near.setdefault(key, deque()).append((row["time"], settled["score"]))
        waiting.append(settled)
    yield from (_smoothed(each, near, seconds) for each in waiting)


def track_of(row: Row) -> TrackKey | None:
    """The track of a row, or None where it has none."""
    track = row.get("track")
    return None if track is None or track < 0 else (str(row["video"]), int(track))


def _settled(row: Row, ballots: Mapping[TrackKey, Ballot]) -> dict[str, Any]:
    """The row under the item of its track, with the score that it gave that one."""
    settled = dict(row)
    key = track_of(row)
    ballot = ballots.get(key) if key is not None and row["task"] == "exemplar" else None
    if ballot is None or ballot.item == row["item"]:
        return settled
    agrees = row.get("runner_up") == ballot.item
    score = (row.get("runner_up_score") or 0.0) if agrees else 0.0
    settled.update(item=ballot.item, class_id=ballot.class_ids[ballot.item], score=score)
    instead = {"runner_up": row["item"], "runner_up_score": row.get("score"), **_NO_EVIDENCE}
    return settled | {key: value for key, value in instead.items() if key in row}


def _smoothed(
    row: dict[str, Any], near: Mapping[TrackKey, deque[tuple[float, float]]], seconds: float
) -> dict[str, Any]:
    """The row with the mean score of its track around its time."""
    key = track_of(row)
    if key is None or row.get("score") is None or seconds <= 0:
        return row
    scores = near[key]
    while scores[0][0] < row["time"] - seconds:
        scores.popleft()
    weights = [(max(0.0, 1 - abs(time - row["time"]) / seconds), score) for time, score in scores]
    total = sum(weight for weight, _ in weights)
    return row | {"score": sum(weight * score for weight, score in weights) / total}
