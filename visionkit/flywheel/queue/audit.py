"""A steady random share of all pictures, whatever their score: what is never doubted is seen, too.

Who only looks at what a model doubts never learns where it is sure and wrong, nor how good it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from heapq import heappop, heappush

import numpy as np

from visionkit.flywheel.queue.columns import BoolArray, Doubts, FloatArray, IntArray


def audit_draws(ids: Sequence[str], *, seed: int = 0, purpose: str = "") -> FloatArray:
    """(N,) float64 in 0..1, even over many ids: a picture's draw follows from its id alone.

    Args:
        ids: of the pictures.
        seed: another one makes other draws.
        purpose: what is drawn, where it is not the audit; 16 bytes at most. Each has draws of its
            own: else who is audited, asked first and tested on would be the same pictures.
    """
    key, person = seed.to_bytes(8, "big", signed=True), purpose.encode()
    texts = (sample_id.encode("utf-8", "surrogatepass") for sample_id in ids)
    hashed = b"".join(
        hashlib.blake2b(text, digest_size=8, key=key, person=person).digest() for text in texts
    )
    return np.frombuffer(hashed, ">u8").astype(np.float64) / 2.0**64


def audit_of(draws: FloatArray, share: float) -> Doubts:
    """The pictures that are audited: those whose draw is below the share."""
    drawn: BoolArray = draws < share
    words = f"Drawn by chance: {100 * share:g} % of all pictures are looked at whatever the score."
    return Doubts("audit", np.where(drawn, 0.5, 0.0), lambda _: words)


def with_audit(order: IntArray, draws: FloatArray, audited: BoolArray) -> IntArray:
    """The order with audited pictures at even distances, so that they come whatever the score.

    None of them comes later than it did: it is due at its old place at the latest, and where
    several wait, the one that is due first is taken.

    Args:
        order: (M,) int64 numbers of pictures, the most urgent first.
        draws: (N,) float64 0..1, by which the even places are given out; of all pictures.
        audited: (N,) bool, of all pictures.
    """
    own = np.flatnonzero(audited[order])
    own = own[np.argsort(draws[order[own]], kind="stable")]
    even = (np.arange(len(own)) + 0.5) * len(order) / max(len(own), 1)
    due = np.minimum(own, even.astype(np.int64))
    coming = sorted(zip(due.tolist(), own.tolist(), strict=True), reverse=True)
    others = iter(np.flatnonzero(~audited[order]).tolist())
    waiting: list[int] = []
    places = []
    for place in range(len(order)):
        while coming and coming[-1][0] <= place:
            heappush(waiting, coming.pop()[1])
        places.append(heappop(waiting) if waiting else next(others))
    return order[np.array(places, np.int64)]
