"""What of a video could not be read, in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from visionkit.data.problems import Problem


@dataclass
class Loss:
    """What was lost of one video while it was read.

    Attributes:
        source: path or address of the video.
        problems: what is said of it is added here.
        is_stopped: whether it could not be read to its end.
    """

    source: str
    problems: list[Problem] = field(default_factory=list)
    is_stopped: bool = False
    _undecoded: int = 0
    _damaged: int = 0
    _first: dict[str, float] = field(default_factory=dict)

    def undecoded(self, seconds: float) -> None:
        """Counts a packet of data that holds no frame any more.

        Args:
            seconds: from the video's start.
        """
        self._undecoded += 1
        self._first.setdefault("undecoded", seconds)

    def damaged(self, seconds: float) -> None:
        """Counts a frame of which the decoder says that parts are wrong."""
        self._damaged += 1
        self._first.setdefault("damaged", seconds)

    def stopped(self, seconds: float, reason: str, way_out: str) -> None:
        """Says that the video can't be read beyond a place."""
        self.is_stopped = True
        self._say(f"{reason} at {seconds:.2f} s; what comes before was used; {way_out}")

    def short(self, expected: str, found: str) -> None:
        """Says that there is less than the video says."""
        self._say(
            f"it must have {expected} by its own words, got {found}: it was cut short or damaged; "
            "these were used; fetch or record it again for the rest"
        )

    def picture(self) -> None:
        """Says that this is no video, but a picture."""
        self._say("it is a picture, not a video; seen as one frame", level="warning")

    def close(self) -> None:
        """Says what was counted."""
        if self._undecoded:
            self._say(
                f"frames must be decodable, got damaged data: {self._undecoded}, the first at "
                f"{self._first['undecoded']:.2f} s; left out, the rest was used"
            )
        if self._damaged:
            self._say(
                f"frames must be whole, got damaged ones: {self._damaged}, the first at "
                f"{self._first['damaged']:.2f} s; used as they are",
                level="warning",
            )
        self._undecoded = self._damaged = 0

    def _say(self, reason: str, level: Literal["error", "warning"] = "error") -> None:
        self.problems.append(Problem(self.source, None, reason, level))
