"""Microseconds since 1970, as counts and segments have them -> moments that a database can hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)
"""The end of the last window before the year 10000 is later, and is cut to this."""


def moment(microseconds: int) -> datetime:
    """Return the time so many microseconds after 1970."""
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return LAST
