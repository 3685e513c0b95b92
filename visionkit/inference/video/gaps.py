"""Stretches of a video of which nothing is left, over which demuxers go without a word.

A pause between two time stamps says nothing: recordings of screens hold still for seconds, and
that is no damage. In a Matroska file whatever lies between two blocks must be elements, too; where
it is not, the file was destroyed there, and what it held is lost.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from av.packet import Packet
from av.video.stream import VideoStream

from visionkit.inference.video.matroska import is_sound

_LEAST_SECONDS, _LEAST_FRAMES = 0.2, 3
"""Pauses of more are looked at; frames that are stored ahead of others make smaller ones."""


class Gap(NamedTuple):
    """A stretch of which nothing can be read, in time stamps: the frame before it and behind it."""

    since: int
    until: int


class Gaps:
    """Finds the gaps of a Matroska file, from packet to packet.

    Args:
        path: of the file; None finds none.
        tick: seconds of a time stamp's unit.
        usual: units from one frame to the next, about.
    """

    def __init__(self, path: str | Path | None, tick: float, usual: int) -> None:
        self._path = None if path is None else Path(path).expanduser()
        self._least = max(_LEAST_SECONDS / tick, _LEAST_FRAMES * usual)
        self._reached: int | None = None
        self._place: int | None = None
        self._found: list[Gap] = []

    def see(self, packet: Packet[VideoStream]) -> None:
        """Looks for a gap before the next packet."""
        stamp, before, place = packet.pts, self._reached, self._place
        self._place = packet.pos
        if stamp is None:
            return
        self._reached = stamp if before is None else max(before, stamp)
        if before is not None and stamp - before > self._least and self._is_broken(place):
            self._found.append(Gap(before, stamp))

    def begun(self, stamp: int | None = None) -> list[Gap]:
        """The gaps that begin before a frame, those given before left out; all for None.

        Packets are seen before the frames in front of them are decoded, and what lies behind the
        frame that a run goes on from is not to be counted before it.
        """
        if not self._found:
            return []
        begun = [gap for gap in self._found if stamp is None or gap.since < stamp]
        self._found = self._found[len(begun) :]
        if stamp is None:
            return begun
        # The first packet behind a gap need not be of the first frame.
        return [Gap(gap.since, min(gap.until, stamp)) for gap in begun]

    def _is_broken(self, place: int | None) -> bool:
        """Whether anything between the last packet and the one before it is no element."""
        if self._path is None or place is None or self._place is None:
            return False
        if not 0 <= place < self._place:
            return False
        with suppress(OSError), self._path.open("rb") as file:  # gone meanwhile: nothing is known
            return not is_sound(file, place, self._place)
        return False
