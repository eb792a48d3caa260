from __future__ import annotations

from pathlib import Path

from sluice.warehouses.duckdb.parquet_files import write_atomically
from sluice.warehouses.duckdb.warehouse import DuckDBWarehouse

from tests.warehouses.duckdb.duckdb_orders import ORDER, line, load, query, segment


def test_views_do_not_see_hidden_files(warehouse: DuckDBWarehouse) -> None:
    load(warehouse, ORDER, segment(1, line(0)))
    (hidden,) = (warehouse.folder / "order_events" / "event_date=2025-02-08").iterdir()
    hidden.with_name(f".{hidden.name}.0123456789abcdef.tmp").write_bytes(b"half")
    assert query(warehouse, "SELECT count(*) FROM order_events") == [(1,)]


def test_writing_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    write_atomically(path, b"first, which is longer")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]
