"""What a warehouse and its jobs look like, asked other than through the code under test."""

from __future__ import annotations

from google.cloud import bigquery
from sluice.warehouses.bigquery.warehouse import BigQueryWarehouse


def state(client: bigquery.Client, warehouse: BigQueryWarehouse) -> tuple[int, int, int]:
    """Return how many rows, counted events and recorded segments there are."""
    rows = client.query_and_wait(
        f"SELECT (SELECT COUNT(*) FROM `{warehouse.name}.order_events` WHERE at >= TIMESTAMP '2000-01-01'),"
        f" (SELECT COALESCE(SUM(events), 0) FROM `{warehouse.name}.event_counts`),"
        f" (SELECT COUNT(*) FROM `{warehouse.name}._segments`)"
    )
    (row,) = [tuple(row.values()) for row in rows]
    return row[0], row[1], row[2]


def job_ids(client: bigquery.Client, warehouse: BigQueryWarehouse) -> list[tuple[str, bool]]:
    """Return the jobs of the one segment in the order of their ids, and whether they failed."""
    prefix = f"sluice-{warehouse.dataset}-"
    failures = {
        job.job_id.removeprefix(prefix): job.error_result is not None
        for job in client.list_jobs(max_results=10_000)
        if job.job_id.startswith(prefix)
    }
    return sorted(failures.items())
