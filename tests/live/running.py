"""What tests of whole jobs share: where the product is, and how a warehouse is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

ROOT = Path(__file__).parents[2]


def rows(folder: Path, query: str) -> list[Any]:
    """Return the rows of a query on the warehouse `w.duckdb` in `folder`."""
    with duckdb.connect(str(folder / "w.duckdb")) as connection:
        connection.execute("set timezone = 'UTC'")
        return connection.execute(query).fetchall()
