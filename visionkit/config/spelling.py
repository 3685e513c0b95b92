"""What was meant by a name that is misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is spelt most like `name`; None where none is like it.

    >>> nearest("exmplar", ["classification", "exemplar"])
    'exemplar'
    """
    matches = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return matches[0] if matches else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A sentence that names the nearest of `names`, or "" where none is like `name`."""
    close = nearest(name, names)
    return f"; did you mean {close}?" if close else ""
