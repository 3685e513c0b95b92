"""The time as it is written into a catalog."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> str:
    """ISO 8601 time in UTC, to the millisecond; later times are greater as texts, too."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
