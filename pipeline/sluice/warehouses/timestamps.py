"""Microseconds since 1970, as counts and segments have them -> times that a database can hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)
"""The last window before the year 10000 ends later, and its end is cut to this."""


def from_micros(microseconds: int) -> datetime:
    """Return the time so many microseconds after 1970-01-01T00:00:00Z."""
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return LATEST
