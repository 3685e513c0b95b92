"""Who does something, where nobody was named."""

from __future__ import annotations

import getpass


def author_of(named: str | None) -> str:
    """The name given, or that of the user of this machine.

    Raises:
        ValueError: neither is there.
    """
    if named is not None and named.strip():
        return named
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise ValueError("author must be named, since this machine knows no user") from error
