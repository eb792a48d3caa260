"""How often a streaming job may load into BigQuery, and how old the events may be."""

from __future__ import annotations

from math import ceil

from sluice.errors import ConfigError

TABLE_CHANGES_A_DAY = 30_000
"""Changes of partitions that a table partitioned by a column takes in a day; every load job is one."""

LOAD_JOBS_A_DAY = 100_000
"""Load jobs that a project may start in a day. https://cloud.google.com/bigquery/quotas"""

MINUTES_A_DAY = 1440
SECONDS_A_DAY = 86_400


def check_rate(types: int, shards: int, flush: float) -> None:
    """Check that a streaming job does not load more often than BigQuery allows.

    Args:
        types: event types of the job; the table of dead letters is added.
        shards: writers of one type and minute.
        flush: seconds of `windows.flush`.

    Raises:
        ConfigError: with the figures, and the shortest `flush` that would do.

    """
    if _fits(types, shards, flush):
        return
    table, project = loads_a_day(types, shards, flush)
    enough = next((f"use {s}s or more" for s in range(1, 61) if _fits(types, shards, s)), "")
    message = (
        f"windows.flush: {flush:g}s (event types: {types}, shards: {shards}) makes up to {table:,} loads"
        f" a day of one table and {project:,} of all; BigQuery takes {TABLE_CHANGES_A_DAY:,} and"
        f" {LOAD_JOBS_A_DAY:,}; {enough or 'use fewer shards or split the job'}"
    )
    raise ConfigError(message)


def loads_a_day(types: int, shards: int, flush: float) -> tuple[int, int]:
    """Return how many load jobs a streaming job makes in a day at most: of one table, and of all.

    Events of a minute are written every `flush` seconds while it lasts, and once more at its end.
    """
    of_a_shard = MINUTES_A_DAY * (ceil(60 / flush) + 1)
    table = of_a_shard * shards
    return table, table * types + of_a_shard  # dead letters have one shard


def _fits(types: int, shards: int, flush: float) -> bool:
    table, project = loads_a_day(types, shards, flush)
    return table <= TABLE_CHANGES_A_DAY and project <= LOAD_JOBS_A_DAY


def check_age(age: float, expiration: float | None) -> None:
    """Check that events of this age are not dropped as soon as they are loaded.

    A partition is a day of events. BigQuery drops it `expiration` seconds after the day began.

    Raises:
        ConfigError: with both figures.

    """
    if expiration is not None and age > expiration:
        message = (
            f"windows.allowed_lateness: expected at most the partition_expiration of the warehouse, which is "
            f"{expiration / SECONDS_A_DAY:g}d, got {age / SECONDS_A_DAY:g}d; BigQuery would drop older events when "
            "they are loaded"
        )
        raise ConfigError(message)
