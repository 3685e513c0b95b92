"""Who does something, where nobody was named."""

from __future__ import annotations

import getpass


def author_of(named: str | None) -> str:
    """The name given, without blanks around it, or that of the user of this machine.

    Raises:
        ValueError: neither is there.
    """
    if named is not None and named.strip():
        return named.strip()
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise ValueError(
            "who does it must be named (author= or reviewer=), got no name from this machine"
        ) from error
