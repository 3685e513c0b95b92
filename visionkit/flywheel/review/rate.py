"""How much one address may ask in a while: token buckets."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable


class RateLimit:
    """Lets each address do `per_second` things a second on average, and `burst` at once.

    Only the addresses seen last are remembered, so that many of them can't fill the memory.
    """

    def __init__(
        self,
        per_second: float,
        burst: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        remembered: int = 4096,
    ) -> None:
        self._per_second, self._burst = per_second, burst
        self._clock, self._remembered = clock, remembered
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, address: str) -> float:
        """Seconds after which `address` may go on; 0 where it may now, which is counted."""
        with self._lock:
            left = self._left(address)
            if left >= 1:
                self._keep(address, left - 1)
                return 0.0
            self._keep(address, left)
            return (1 - left) / self._per_second

    def is_spent(self, address: str) -> bool:
        """Whether `address` must wait; asking counts nothing."""
        with self._lock:
            return self._left(address) < 1

    def _left(self, address: str) -> float:
        left, then = self._buckets.get(address, (float(self._burst), self._clock()))
        return min(float(self._burst), left + (self._clock() - then) * self._per_second)

    def _keep(self, address: str, left: float) -> None:
        self._buckets[address] = (left, self._clock())
        self._buckets.move_to_end(address)
        if len(self._buckets) > self._remembered:
            self._buckets.popitem(last=False)
