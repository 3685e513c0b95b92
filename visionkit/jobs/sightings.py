"""When a bundle's items and classes were seen in videos, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from visionkit.jobs.terminal import say_table
from visionkit.scores import score_text

_SHOWN = 60
_TITLES = {
    "exemplar": ("Items found", "item"),
    "classification": ("Classes of frames", "class"),
    "localization": ("Objects located", "class"),
}


@dataclass
class Sighting:
    """How often and when one name was seen.

    Attributes:
        first, last: video and time in seconds.
        finds, frames, videos: how many, and in how many frames and videos.
        best: highest score.
    """

    first: tuple[str, float]
    last: tuple[str, float]
    finds: int = 0
    frames: int = 0
    videos: int = 0
    best: float = 0.0


class Sightings:
    """All that was seen, by task and name, row by row."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], Sighting] = {}

    def see(self, row: Mapping[str, Any]) -> None:
        """Takes a row of the results; they come video by video, in the order of time."""
        if row.get("assumed") is False:
            return
        place = (row["video"], row["time"])
        name = row.get("item", row.get("label"))
        sighting = self.found.setdefault((row["task"], str(name)), Sighting(place, ("", -1.0)))
        sighting.finds += 1
        sighting.frames += place != sighting.last
        sighting.videos += place[0] != sighting.last[0]
        sighting.last = place
        sighting.best = max(sighting.best, row.get("score") or 0.0)

    def say(self, videos: int) -> None:
        """Prints a table a head, what was seen in most frames first.

        Args:
            videos: how many were watched; times are shown of one.
        """
        for task, (title, kind) in _TITLES.items():
            seen = [(name, found) for (head, name), found in self.found.items() if head == task]
            if not seen:
                continue
            seen.sort(key=lambda entry: (-entry[1].frames, entry[0]))
            times = ["first seen", "last seen"] if videos == 1 else ["videos"]
            columns = [kind, "frames", "finds", *times, "best score"]
            say_table(title, columns, [_row(*entry, videos) for entry in seen[:_SHOWN]])


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock(3725.25), clock(5)
    ('1:02:05.2', '0:05.0')
    """
    minutes, rest = divmod(round(seconds * 10), 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def _row(name: str, found: Sighting, videos: int) -> tuple[str, ...]:
    times = (clock(found.first[1]), clock(found.last[1])) if videos == 1 else (str(found.videos),)
    return (name, str(found.frames), str(found.finds), *times, score_text(found.best))
