"""The embedded warehouse: Parquet segments, and DuckDB views over them."""

from sluice.warehouses.duckdb.connector import DuckDBConnector
from sluice.warehouses.duckdb.warehouse import DuckDBWarehouse

__all__ = ["DuckDBConnector", "DuckDBWarehouse"]
