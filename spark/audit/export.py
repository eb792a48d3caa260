"""Tables of the audit -> CSV files that are the same for the same rows, whichever side computed them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

TABLES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "mart_audit_daily": (("load_date", "file_name"), ("nb_total", "nb_invalid", "error_rate")),
    "mart_audit_rolling": (("load_date", "file_name"), ("error_rate", "rolling_error_rate")),
    "mart_audit_top3": (("load_date", "rank"), ("file_name", "error_rate", "nb_invalid")),
    "central_audit": (
        ("load_date", "revision"),
        ("nb_files", "nb_total", "nb_invalid", "error_rate", "worst_file"),
    ),
}
"""Table -> its key and its other columns."""


def columns_of(table: str) -> tuple[str, ...]:
    """Return the columns of a table, as they are exported."""
    key, others = TABLES[table]
    return key + others


def write_table(folder: Path, table: str, rows: Iterable[Sequence[Any]]) -> None:
    """Write `rows`, which have the columns of `table`, in order of its key; NULL is an empty field."""
    key = len(TABLES[table][0])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{table}.csv"
    temporary = path.with_suffix(".part")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns_of(table))
        writer.writerows(sorted(rows, key=lambda row: tuple(row)[:key]))
    temporary.replace(path)
