"""What of a video could not be read, in words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from visionkit.data.problems import Problem


@dataclass(frozen=True)
class Lost:
    """How much of a video could not be read up to a place.

    Attributes:
        undecoded: packets of data that hold no frame any more.
        damaged: frames of which the decoder says that parts are wrong.
        gaps: stretches of which nothing is left that could be decoded.
        first_undecoded, first_damaged: seconds from the video's start, where there are any.
        gap_seconds: of all gaps together.
        gap_since, gap_until: seconds from the video's start between which the first gap lies.
    """

    undecoded: int = 0
    damaged: int = 0
    gaps: int = 0
    first_undecoded: float = 0.0
    first_damaged: float = 0.0
    gap_seconds: float = 0.0
    gap_since: float = 0.0
    gap_until: float = 0.0


@dataclass
class Loss:
    """What was lost of one video while it was read.

    Attributes:
        source: path or address of the video.
        problems: what is said of it is added here.
        is_stopped: whether it could not be read to its end.
        lost: so far.
    """

    source: str
    problems: list[Problem] = field(default_factory=list)
    is_stopped: bool = False
    lost: Lost = field(default_factory=Lost)

    def undecoded(self, seconds: float) -> None:
        """Counts a packet of data that holds no frame any more.

        Args:
            seconds: from the video's start.
        """
        count, first = self.lost.undecoded, self.lost.first_undecoded
        self.lost = replace(
            self.lost, undecoded=count + 1, first_undecoded=first if count else seconds
        )

    def damaged(self, seconds: float) -> None:
        """Counts a frame of which the decoder says that parts are wrong."""
        count, first = self.lost.damaged, self.lost.first_damaged
        self.lost = replace(self.lost, damaged=count + 1, first_damaged=first if count else seconds)

    def gap(self, since: float, until: float) -> None:
        """Counts a stretch of which nothing is left that could be decoded.

        Args:
            since: seconds from the video's start to the last frame before it.
            until: to the first frame behind it.
        """
        lost = self.lost
        first = (lost.gap_since, lost.gap_until) if lost.gaps else (since, until)
        self.lost = replace(
            lost,
            gaps=lost.gaps + 1,
            gap_seconds=lost.gap_seconds + until - since,
            gap_since=first[0],
            gap_until=first[1],
        )

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

    def short_of_pictures(self, expected: int, found: int, why: str) -> None:
        """Says that numbered pictures were not all read."""
        self._say(
            f"it must have {expected} pictures by their numbers, got {found}: {why}, and nothing "
            "behind it was read; these were used; put the picture back, or number the others anew"
        )

    def picture(self) -> None:
        """Says that this is no video, but a picture."""
        self._say("it is a picture, not a video; seen as one frame", level="warning")

    def close(self) -> None:
        """Says what was counted."""
        lost = self.lost
        if lost.undecoded:
            self._say(
                f"frames must be decodable, got damaged data: {lost.undecoded}, the first at "
                f"{lost.first_undecoded:.2f} s; left out, the rest was used"
            )
        if lost.gaps:
            self._say(
                "the whole video must be decodable, got stretches where nothing could be decoded: "
                f"{lost.gaps}, {lost.gap_seconds:.2f} s in all, the first between "
                f"{lost.gap_since:.2f} s and {lost.gap_until:.2f} s; left out, the rest was used"
            )
        if lost.damaged:
            self._say(
                f"frames must be whole, got damaged ones: {lost.damaged}, the first at "
                f"{lost.first_damaged:.2f} s; used as they are",
                level="warning",
            )
        self.lost = Lost()

    def _say(self, reason: str, level: Literal["error", "warning"] = "error") -> None:
        self.problems.append(Problem(self.source, None, reason, level))
