"""How a DuckDB warehouse is named: `duckdb:///PATH.duckdb`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from sluice.config.connectors import Connector
from sluice.config.options import option
from sluice.errors import ConfigError, quote
from sluice.warehouses.duckdb.warehouse import DuckDBWarehouse

_WILDCARDS = "*?[]"


def _path(text: str, where: str) -> str:
    """Return a path with a suffix and without what DuckDB takes for wildcards."""
    wildcards = sorted(set(text) & set(_WILDCARDS))
    if wildcards or not Path(text).suffix:
        expected = f"a path with a suffix, such as .duckdb, and without {' '.join(_WILDCARDS)}"
        message = f"{where}: expected {expected}, got {quote(text)}"
        raise ConfigError(message)
    return text


@dataclass(frozen=True, kw_only=True)
class DuckDBConnector(Connector[DuckDBWarehouse]):
    """Parquet segments in a folder, and a DuckDB file with views over them."""

    schemes = ("duckdb",)
    shape = "duckdb:///PATH.duckdb"
    place = re.compile(r"/(?P<path>.+)", re.DOTALL)
    options_after = ""
    has_authority = False

    path: str = option(
        "DuckDB file; the segments are in the folder of the same name without suffix",
        example="out/warehouse.duckdb",
        parse=_path,
        part=True,
    )

    def open(self) -> DuckDBWarehouse:
        """Return the warehouse."""
        return DuckDBWarehouse(os.path.abspath(self.path))
