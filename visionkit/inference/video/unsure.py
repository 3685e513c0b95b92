"""Frames that the model was unsure of: those that people should look at first."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionkit.files import write_bytes
from visionkit.inference.outputs import write_jpeg
from visionkit.inference.part_files import utf8
from visionkit.inference.video.crops import still_name
from visionkit.inference.video.frames import FramePrediction
from visionkit.inference.video.passes import frame_rows
from visionkit.inference.video.stills import StillReader
from visionkit.inference.video.votes import Ballot, Row, TrackKey, track_of
from visionkit.scores import score_text

Thresholds = Mapping[str, Mapping[str, float]]
"""Task -> item or class -> score from which it is taken to be there."""

_RECENT = 256  # frames of which it is known when they were; longer flickers are no flickers
_SLOT = 1.0  # seconds of which only the most doubtful frame is remembered
_REASONS = 6  # of one look at a frame, the gravest first
_SPARE = 10  # so many times more frames are remembered than are chosen in the end


@dataclass(frozen=True)
class Doubt:
    """A frame that the model was unsure of.

    Attributes:
        video, frame, time: which.
        size: (height, width) in pixels.
        doubt: 0..1; 1 is a score at the threshold.
        reasons: why, in words; the gravest six.
        finds: the rows of the frame.
    """

    video: str
    frame: int
    time: float
    size: tuple[int, int]
    doubt: float
    reasons: tuple[str, ...]
    finds: tuple[Row, ...]


class UnsureChooser:
    """Chooses the frames that the model was unsure of while predictions come in.

    Three things make a frame doubtful: a score near the threshold of its item or class; a track
    whose finds named several items; and a frame in which an object is missing that was found
    before and after. Memory grows with the seconds of the videos until ten times `most`.

    Args:
        thresholds: of each task's items or classes; those that are missing are never near.
        ballots: of `TrackPass`; none without tracking.
        margin: a score so far from its threshold is not doubtful any more.
        most: frames that are chosen.
    """

    def __init__(
        self,
        thresholds: Thresholds,
        ballots: Mapping[TrackKey, Ballot],
        *,
        margin: float = 0.1,
        most: int = 100,
    ) -> None:
        self._thresholds, self._ballots = thresholds, ballots
        self._margin, self._most = margin, most
        self._doubts: dict[tuple[str, int], Doubt] = {}
        self._recent: deque[FramePrediction] = deque(maxlen=_RECENT)
        self._seen: dict[TrackKey, int] = {}
        self._count = 0

    def see(self, frame: FramePrediction) -> None:
        """Takes the next frame; the frames of a video come together, by time."""
        if self._recent and self._recent[-1].video != frame.video:
            self._recent.clear()
            self._seen.clear()
        self._count += 1
        self._recent.append(frame)
        rows = frame_rows(frame)
        reasons = [reason for row in rows for reason in self._reasons(row)]
        self._keep(frame, reasons)
        for row in rows:
            self._look_back(row)
        if len(self._doubts) > 2 * _SPARE * self._most:
            ranked = sorted(self._doubts.items(), key=lambda each: -each[1].doubt)
            self._doubts = dict(ranked[: _SPARE * self._most])

    def chosen(self) -> list[Doubt]:
        """The frames, by video and time: the most doubtful that lie apart, then the others."""
        ranked = sorted(self._doubts.values(), key=lambda one: (-one.doubt, one.video, one.time))
        apart = len(ranked) * _SLOT / (2 * max(self._most, 1))
        taken: list[Doubt] = []
        for one in ranked:
            near = (each for each in taken if each.video == one.video)
            if len(taken) < self._most and all(abs(each.time - one.time) >= apart for each in near):
                taken.append(one)
        others = [one for one in ranked if one not in taken]
        taken += others[: self._most - len(taken)]
        return sorted(taken, key=lambda one: (one.video, one.time))

    def _reasons(self, row: Row) -> Iterator[tuple[float, str]]:
        """Doubts about one find, each with its reason."""
        name = _name(row)
        threshold = self._thresholds.get(row["task"], {}).get(name)
        score = row.get("score")
        if threshold is not None and score is not None and abs(score - threshold) < self._margin:
            own = score_text(score, beside=threshold)
            limit = score_text(threshold, beside=score)
            yield (
                1 - abs(score - threshold) / self._margin,
                f"{name}: score {own} is near its threshold {limit}",
            )
        key = track_of(row)
        ballot = self._ballots.get(key) if key is not None else None
        if ballot is not None and ballot.changes and row["task"] == "exemplar":
            named = " or ".join(sorted(ballot.class_ids))
            yield min(2 * (1 - ballot.share), 1.0), f"track {row['track']}: it may be {named}"

    def _look_back(self, row: Row) -> None:
        """Keeps the middle one of the frames in which an object was missing until now."""
        key = track_of(row)
        if key is None:
            return
        missed = self._count - 1 - self._seen.get(key, self._count - 1)
        self._seen[key] = self._count
        if 0 < missed < len(self._recent) - 1:
            frame = self._recent[-1 - (missed + 1) // 2]
            word = "frame" if missed == 1 else "frames"
            reason = f"track {row['track']}: {_name(row)} is missing for {missed} {word}"
            self._keep(frame, [(min(float(row.get("score") or 0.0), 1.0), reason)])

    def _keep(self, frame: FramePrediction, reasons: Sequence[tuple[float, str]]) -> None:
        """Remembers a frame, if it is the most doubtful of its second; the same gains reasons."""
        if not reasons:
            return
        slot = frame.video, int(frame.time // _SLOT)
        before = self._doubts.get(slot)
        ranked = sorted(reasons, key=lambda each: -each[0])
        doubt = ranked[0][0]
        words = tuple(dict.fromkeys(reason for _, reason in ranked[:_REASONS]))
        if before is not None and before.frame == frame.index:
            words = tuple(dict.fromkeys([*words, *before.reasons]))[:_REASONS]
            doubt = max(doubt, before.doubt)
        elif before is not None and before.doubt >= doubt:
            return
        self._doubts[slot] = Doubt(
            video=frame.video,
            frame=frame.index,
            time=frame.time,
            size=frame.size,
            doubt=doubt,
            reasons=words,
            finds=tuple(frame_rows(frame)),
        )


def write_unsure(folder: str | Path, doubts: Sequence[Doubt], stills: StillReader) -> Path:
    """Path of `unsure.jsonl`: a line a frame with its picture, its reasons and its finds.

    The pictures lie beside it. A frame that can't be read has a line with the picture null.

    Args:
        folder: made where it is missing.
        doubts: as chosen.
        stills: reads the frames.

    Raises:
        RuntimeError: the disk is full.
    """
    folder = Path(folder)
    times: dict[str, list[float]] = {}
    for one in doubts:
        times.setdefault(one.video, []).append(one.time)
    names: dict[tuple[str, float], str] = {}
    for video, wanted in times.items():
        for time, image in stills(video, sorted(set(wanted))):
            names[video, time] = still_name(video, time)
            write_jpeg(folder / names[video, time], image)
    lines = [_line(one, names.get((one.video, one.time))) for one in doubts]
    write_bytes(folder / "unsure.jsonl", b"".join(lines))
    return folder / "unsure.jsonl"


def _line(one: Doubt, picture: str | None) -> bytes:
    height, width = one.size
    value: dict[str, Any] = {
        "image": picture,
        "video": one.video,
        "frame": one.frame,
        "time": one.time,
        "width": width,
        "height": height,
        "doubt": round(one.doubt, 4),
        "reasons": one.reasons,
        "finds": one.finds,
    }
    return utf8(json.dumps(value, ensure_ascii=False, allow_nan=False)) + b"\n"


def _name(row: Row) -> str:
    return str(row["item"] if row["task"] == "exemplar" else row["label"])
