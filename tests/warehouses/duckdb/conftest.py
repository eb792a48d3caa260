from __future__ import annotations

from pathlib import Path

import pytest
from sluice.retry import RetryPolicy
from sluice.warehouses.duckdb.warehouse import DuckDBWarehouse

from tests.warehouses.duckdb.duckdb_orders import ORDER
from tests.warehouses.order_segments import DEAD_LETTER


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    opened = DuckDBWarehouse(str(tmp_path / "w.duckdb"), RetryPolicy(0))
    opened.prepare([ORDER, DEAD_LETTER])
    return opened
