"""Time stamps that begin anew within a file, made to go on."""

from __future__ import annotations

from typing import Any

from av.packet import Packet

LATE_SECONDS = 10.0
"""Time stamps that fall by more begin anew; by less, they are damaged."""


class GoingOn:
    """Lets time stamps of a stream that begin anew, as in recordings of broadcasts, go on.

    Args:
        tick: seconds of a time stamp's unit.
        usual: units that a packet lasts which does not say it.
    """

    def __init__(self, tick: float, usual: int = 1) -> None:
        self._late, self._usual = LATE_SECONDS / tick, usual
        self._follows: int | None = None
        self._shift = 0

    def see(self, packet: Packet[Any]) -> None:
        """Moves the time stamps of the next packet, where they must."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return
        if self._follows is not None and stamp + self._shift < self._follows - self._late:
            self._shift = self._follows - stamp
        self._follows = stamp + self._shift + (packet.duration or self._usual)
        if self._shift:
            packet.dts = None if packet.dts is None else packet.dts + self._shift
            packet.pts = None if packet.pts is None else packet.pts + self._shift
