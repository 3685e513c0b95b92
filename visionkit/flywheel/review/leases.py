"""Which picture lies before whom, so that no two people are given the same one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable


class Leases:
    """Pictures that are given out for a while.

    A lease ends by itself: a browser that was closed gives nothing back.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._held: dict[str, tuple[str, float]] = {}

    def holder(self, sample_id: str) -> str | None:
        """Who has the picture now; None where nobody has."""
        entry = self._held.get(sample_id)
        return entry[0] if entry is not None and entry[1] > self._clock() else None

    def take(self, sample_id: str, holder: str) -> bool:
        """Whether the picture is now the holder's, for the full time, and not another's."""
        if self.holder(sample_id) not in (None, holder):
            return False
        self._held[sample_id] = (holder, self._clock() + self._seconds)
        return True

    def keep_only(self, holder: str, sample_ids: Iterable[str]) -> None:
        """Renews those of `sample_ids` that are the holder's or free, and gives back the others."""
        kept = set(sample_ids)
        now = self._clock()
        self._held = {
            sample_id: entry
            for sample_id, entry in self._held.items()
            if entry[1] > now and (entry[0] != holder or sample_id in kept)
        }
        for sample_id in kept:
            self.take(sample_id, holder)

    def give_back(self, sample_id: str, holder: str) -> None:
        """Ends the holder's lease; another's stays."""
        if self.holder(sample_id) in (None, holder):
            self._held.pop(sample_id, None)

    def others(self, holder: str) -> int:
        """How many pictures lie before other people."""
        now = self._clock()
        return sum(name != holder and until > now for name, until in self._held.values())
