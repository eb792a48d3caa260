from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from sluice.contracts import Contract, Property
from sluice.errors import ConfigError, ContractError
from sluice.tooling.tables import apply_contracts
from sluice.warehouses.duckdb.views import create_table_sql
from sluice.warehouses.duckdb.warehouse import DuckDBWarehouse

from tests.warehouses.duckdb.duckdb_orders import FULL, ORDER, line, load, query, segment
from tests.warehouses.order_segments import DEAD_LETTER


def test_ddl_makes_a_table_with_the_columns_and_types_of_the_view(warehouse: DuckDBWarehouse) -> None:
    view = [row[:2] for row in query(warehouse, "DESCRIBE order_events")]
    with duckdb.connect() as connection:
        connection.execute(create_table_sql(ORDER))
        assert [row[:2] for row in connection.execute("DESCRIBE order_events").fetchall()] == view
        comments = connection.execute(
            "SELECT column_name, comment, is_nullable FROM duckdb_columns() WHERE NOT internal LIMIT 2"
        ).fetchall()
    assert comments == [("order_id", "The order's own id.", False), ("at", None, False)]
    assert query(warehouse, "SELECT comment FROM duckdb_views() WHERE view_name = 'order_events'") == [
        ("What the shop's customers order.",)
    ]


def test_ddl_has_types_and_comments() -> None:
    ddl, comments = create_table_sql(DEAD_LETTER).split("COMMENT ON COLUMN", maxsplit=1)
    assert ddl == textwrap.dedent("""\
        CREATE TABLE "dead_letters" (
            "at" TIMESTAMP WITH TIME ZONE NOT NULL,
            "payload" VARCHAR,
            "_extra" JSON,
            "_event_id" VARCHAR NOT NULL,
            "_segment_id" VARCHAR NOT NULL,
            "_ingested_at" TIMESTAMP WITH TIME ZONE NOT NULL,
            "event_date" DATE NOT NULL
        );
        """)
    assert comments.splitlines()[-1] == (
        """COMMENT ON COLUMN "dead_letters"."event_date" IS 'UTC day of the event, the partition.';"""
    )


def test_property_added_later_is_null_in_older_files(warehouse: DuckDBWarehouse) -> None:
    load(warehouse, ORDER, segment(1, FULL))
    city = Property("address", "object", properties=(Property("zip", "string"), Property("city", "string")))
    properties = tuple(city if prop.name == "address" else prop for prop in ORDER.properties)
    newer = replace(ORDER, version="1.1.0", properties=(Property("channel", "string"), *properties))
    apply_contracts(warehouse, [newer, DEAD_LETTER])
    load(warehouse, newer, segment(2, line(1)[:-1] + b',"channel":"web","address":{"zip":"LV-1"}}'))
    assert query(warehouse, "SELECT channel, address FROM order_events ORDER BY channel NULLS FIRST") == [
        (None, {"zip": None, "city": "Riga"}),
        ("web", {"zip": "LV-1", "city": None}),
    ]


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        (
            replace(DEAD_LETTER, table="event_counts"),
            "dead_letter@1.0.0: table: expected another name than Sluice's own event_counts, got 'event_counts';"
            " rename it",
        ),
        (
            replace(DEAD_LETTER, table="a/b"),
            "dead_letter@1.0.0: table: expected a table name for DuckDB (letters, digits and _, beginning with a"
            " letter), got 'a/b'; rename it",
        ),
        (
            replace(DEAD_LETTER, properties=(Property("Event_Date", "date"),)),
            "dead_letter@1.0.0: property Event_Date: DuckDB has its own column of this name; rename it",
        ),
        (
            replace(
                DEAD_LETTER,
                properties=(
                    Property("o", "object", properties=(Property("a", "date"), Property("A", "date"))),
                ),
            ),
            "dead_letter@1.0.0: property o.A: DuckDB cannot tell it from a; rename one",
        ),
    ],
)
def test_contract_that_duckdb_cannot_store_is_rejected(
    contract: Contract, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ContractError) as error:
        DuckDBWarehouse(str(tmp_path / "w.duckdb")).prepare([contract])
    assert str(error.value) == message
    assert list(tmp_path.iterdir()) == []


def test_folder_that_duckdb_would_read_as_a_column_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "Total=1" / "w.duckdb"
    with pytest.raises(ConfigError) as error:
        DuckDBWarehouse(str(file)).prepare([ORDER])
    assert str(error.value) == f"warehouse: {file}: expected no folder named like a column, got 'Total=1'"
