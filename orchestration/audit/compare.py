"""usage: scripts/audit-parity A B: compares the four tables of the audit in two folders, such as OUT/spark and OUT/dbt.

Rows are compared by their keys, texts and counts exactly, and error rates within 1e-9. It prints each difference, and
ends with 0 if there is none, with 1 if there are some, and with 2 if a table cannot be read.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spark.audit.export import TABLES, columns_of

TOLERANCE = 1e-9
"""Greatest difference of two error rates that count as equal."""

_RATES = frozenset({"error_rate", "rolling_error_rate"})
_SHOWN = 20

Row = Mapping[str, str]


@dataclass(frozen=True)
class Difference:
    """One difference of a table: a row that one side lacks, or a column whose values differ."""

    table: str
    key: tuple[str, ...]
    column: str
    """Empty if a whole row is missing."""
    left: str | None
    right: str | None

    def describe(self, left: str, right: str) -> str:
        """Return the difference in one line; `left` and `right` are the names of the two sides."""
        key = ", ".join(
            f"{name} {value}" for name, value in zip(TABLES[self.table][0], self.key, strict=True)
        )
        if not self.column:
            lacking = right if self.right is None else left
            return f"{self.table}: {key}: no such row in {lacking}"
        return f"{self.table}: {key}: {self.column}: {left} has {_show(self.left)}, {right} has {_show(self.right)}"


def compare_folders(left: Path, right: Path) -> dict[str, list[Difference]]:
    """Return the differences of each table, in order of keys.

    Raises:
        OSError: a table is not there.
        ValueError: a table has other columns, or a key twice; names the file.

    """
    return {table: compare_rows(table, read_rows(left, table), read_rows(right, table)) for table in TABLES}


def read_rows(folder: Path, table: str) -> dict[tuple[str, ...], Row]:
    """Return the rows of a table by key."""
    path = folder / f"{table}.csv"
    rows: dict[tuple[str, ...], Row] = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != columns_of(table):
            message = f"{path}: expected the columns {', '.join(columns_of(table))}, got {reader.fieldnames}"
            raise ValueError(message)
        for row in reader:
            key = tuple(row[name] for name in TABLES[table][0])
            if key in rows:
                message = f"{path}: expected each key once, got {key} twice"
                raise ValueError(message)
            rows[key] = row
    return rows


def compare_rows(
    table: str, left: Mapping[tuple[str, ...], Row], right: Mapping[tuple[str, ...], Row]
) -> list[Difference]:
    """Return the differences of two tables (key -> row), in order of keys."""
    differences = []
    for key in sorted({*left, *right}):
        if key not in left or key not in right:
            sides = ("row", None) if key in left else (None, "row")
            differences.append(Difference(table, key, "", *sides))
            continue
        for column in TABLES[table][1]:
            values = left[key][column], right[key][column]
            if not _is_equal(column, *values):
                differences.append(Difference(table, key, column, *values))
    return differences


def _is_equal(column: str, left: str, right: str) -> bool:
    if left == right:
        return True
    if column not in _RATES or not left or not right:
        return False
    return abs(float(left) - float(right)) <= TOLERANCE


def _show(value: str | None) -> str:
    return value or "NULL"


def print_differences(differences: Mapping[str, Sequence[Difference]], left: Path, right: Path) -> None:
    """Print a line for each table, and the first differences of each."""
    for table, of_table in differences.items():
        print(f"{table}: {f'{len(of_table)} differences' if of_table else 'equal'}")
        for difference in of_table[:_SHOWN]:
            print(f"  {difference.describe(left.name, right.name)}")
        if len(of_table) > _SHOWN:
            print(f"  and {len(of_table) - _SHOWN} more")


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare two folders, and end with the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/audit-parity",
        description="Compare the four tables of the audit in two folders: keys, counts and texts exactly, "
        "error rates within 1e-9. Ends with 1 if there are differences.",
    )
    parser.add_argument("left", type=Path, help="folder of the tables of one side, such as OUT/spark")
    parser.add_argument("right", type=Path, help="folder of those of the other side, such as OUT/dbt")
    options = parser.parse_args(arguments)
    try:
        differences = compare_folders(options.left, options.right)
    except (OSError, ValueError, csv.Error) as error:
        print(f"audit-parity: {error}", file=sys.stderr)
        sys.exit(2)
    print_differences(differences, options.left, options.right)
    sys.exit(1 if any(differences.values()) else 0)


if __name__ == "__main__":
    main()
