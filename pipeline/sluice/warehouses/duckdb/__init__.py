"""The embedded warehouse: Parquet segments, and DuckDB views over them."""
