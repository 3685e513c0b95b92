"""The indices of a video's frames, by the time stamps of its packets."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from av.packet import Packet
from av.video.stream import VideoStream


@dataclass
class Numbers:
    """The indices of frames, by the time stamps of all packets.

    Attributes:
        packets: from the video's start to the last that was seen.
    """

    packets: int = 0
    _passed: int = 0
    _last: int = -1
    _waiting: list[int] = field(default_factory=list)
    _reached: int | None = None

    def start(self, packets: int, discarded: int) -> None:
        """Says what comes before the next packet, and how much of it is never shown."""
        self.packets, self._passed = packets, packets - discarded
        self._last = self._passed - 1

    def see(self, packet: Packet[VideoStream]) -> None:
        """Counts a packet."""
        self.packets += 1
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and not packet.is_discard:
            heapq.heappush(self._waiting, stamp)
            self._reached = stamp

    def number(self, stamp: int | None) -> int:
        """The index of a frame of that time stamp; frames come in the order of their times."""
        while stamp is not None and self._waiting and self._waiting[0] < stamp:
            heapq.heappop(self._waiting)
            self._passed += 1
        self._last = max(self._passed, self._last + 1) if stamp is not None else self._last + 1
        return self._last

    def reached(self, seconds: Callable[[int], float]) -> float:
        """About where in the video reading is, in seconds."""
        return 0.0 if self._reached is None else max(seconds(self._reached), 0.0)
