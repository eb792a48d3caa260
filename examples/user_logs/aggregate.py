"""Writes aggregated_logs.csv: total events by event_type, and the most active user_id, all of them if several."""

from __future__ import annotations

import sys

import duckdb

WAREHOUSE = "out/user_logs/warehouse.duckdb"
OUTPUT = "aggregated_logs.csv"

QUERY = """
with
by_type as (
    select 'events_by_type' as metric, event_type as name, count(*) as events
    from customer_logs
    group by event_type
),
by_user as (
    select 'most_active_user' as metric, user_id as name, count(*) as events
    from customer_logs
    group by user_id
    qualify rank() over (order by count(*) desc) = 1
)
select * from by_type
union all
select * from by_user
order by metric, events desc, name
"""


def main(warehouse: str = WAREHOUSE, output: str = OUTPUT) -> None:
    """Ask `warehouse`, a DuckDB file of Sluice, and write `output`."""
    try:
        with duckdb.connect(warehouse, read_only=True) as connection:
            connection.sql(QUERY).write_csv(output)
    except duckdb.Error as error:
        sys.exit(f"{warehouse}: cannot write {output}: {str(error).splitlines()[0]}")
    print(f"{output}: written")


if __name__ == "__main__":
    main(*sys.argv[1:3])
