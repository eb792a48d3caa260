"""usage: show.py WAREHOUSE.duckdb: what a run has loaded into the embedded warehouse, in plain SQL."""

from __future__ import annotations

import sys

import duckdb
from rich.table import Table
from sluice.cli.console import wide_console

QUESTIONS = {
    "events in 10-second windows (six windows of event_counts)": """
        pivot (
            select strftime(window_start at time zone 'UTC', '%Y-%m-%d %H:%M:%S') as window_start, event_type, events
            from event_counts
        ) on event_type using sum(events) order by window_start desc limit 6
    """,
    "top reasons for rejection (dead_letters)": """
        select code, coalesce(event_type, '?') || '.' || regexp_replace(reason.path, '[0-9]+', '*', 'g') as property,
               count(distinct letter_id) as dead_letters, any_value(reason.expected) as expected,
               any_value(reason.got) as got
        from (select *, unnest(violations) as reason from dead_letters)
        group by all order by dead_letters desc, code, property limit 8
    """,
    "revenue by status (order_events)": """
        select status, count(*) as orders, sum(total_amount)::decimal(18, 2) as total_amount
        from order_events group by status order by status
    """,
}


def main() -> None:
    """Print the answer to each question as a table."""
    console = wide_console()
    with duckdb.connect(sys.argv[1], read_only=True) as connection:
        for title, sql in QUESTIONS.items():
            answer = connection.sql(sql)
            table = Table(*answer.columns, title=title)
            for row in answer.fetchall():
                table.add_row(*("" if value is None else str(value)[:44] for value in row))
            console.print(table)


if __name__ == "__main__":
    main()
