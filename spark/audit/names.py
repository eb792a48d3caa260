"""Names of the daily files -> the day that they are of, and what the audit calls their records."""

from __future__ import annotations

import re
from datetime import date

FILE_NAME = re.compile(
    r"(?P<kind>events|transactions)_(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})(?P<part>_.*)?\.csv(?:\.gz)?",
    re.DOTALL,
)
"""The name of a daily file; other files are none of the audit's."""


def own_file_name(name: str) -> str:
    """Return the name of an events file without `events_<date>_`, if it has a part, and without `.gz`."""
    match = FILE_NAME.fullmatch(name)
    if match is not None and match["part"] is not None:
        name = name[match.end("date") + 1 :]
    return name.removesuffix(".gz")


def load_date_of(name: str) -> date | None:
    """Return the day in the name of a daily file; None if there is none."""
    match = FILE_NAME.fullmatch(name)
    try:
        return date.fromisoformat(match["date"]) if match is not None else None
    except ValueError:  # 2025-02-30
        return None
