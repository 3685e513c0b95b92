"""How scores, similarities and thresholds are written where people read them."""

from __future__ import annotations

import math

_MOST_DIGITS = 6


def score_text(score: float, *, beside: float | None = None) -> str:
    """The score with two decimals, or with as many as it takes; a dash where it is not defined.

    From 0.99 up two digits stand after the nines: there good finds and thresholds lie close
    together. Only 1 is written as 1.

    Args:
        score: 0..1; a threshold that nothing reaches is infinite.
        beside: what it is compared with in the same text; the two are written so that they
            differ where they do, in six decimals at most.

    >>> score_text(0.834), score_text(0.9973), score_text(1.0), score_text(float("inf"))
    ('0.83', '0.9973', '1.00', '–')
    >>> score_text(0.8341, beside=0.8339)
    '0.8341'
    """
    if not math.isfinite(score):
        return "–"
    digits = _digits(score)
    if beside is not None and math.isfinite(beside) and beside != score:
        digits = max(digits, _digits(beside))
        while digits < _MOST_DIGITS and f"{score:.{digits}f}" == f"{beside:.{digits}f}":
            digits += 1
    return f"{_below_one(score):.{digits}f}"


def _digits(score: float) -> int:
    """Decimals: two, or two after the nines of a score from 0.99 up."""
    if not 0.99 <= score < 1:
        return 2
    nines = math.floor(-math.log10(1 - score) + 1e-9)  # 1 - 0.99 is a little more than 0.01
    return min(nines + 2, _MOST_DIGITS)


def _below_one(score: float) -> float:
    """A score that would be rounded up to 1 is the largest that can be written instead."""
    return min(score, 1 - 10**-_MOST_DIGITS) if score < 1 else score
