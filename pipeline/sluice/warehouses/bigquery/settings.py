"""What a URL of BigQuery says besides the place, and how often a live job may load."""

from __future__ import annotations

import re
from math import ceil
from typing import Any
from urllib.parse import parse_qsl

from sluice.config.durations import duration
from sluice.errors import ConfigError
from sluice.warehouses.bigquery.tables import TIME_TRAVEL_HOURS

TABLE_CHANGES_A_DAY = 30_000
"""Changes of partitions that a table partitioned by a column takes in a day; every load job is one."""

LOAD_JOBS_A_DAY = 100_000
"""Load jobs that a project may start in a day. https://cloud.google.com/bigquery/quotas"""

MINUTES_A_DAY = 1440
SECONDS_AN_HOUR = 3600
TRAVELS = range(48, TIME_TRAVEL_HOURS + 1, 24)
"""Hours of time travel that a dataset can have."""

METHODS = ("load", "storage_write")
"""How rows come into tables: by load jobs, each segment once, or by appends, within seconds and at least once."""

_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")


def check_rate(types: int, shards: int, flush: float) -> None:
    """Refuse a live job that would load more often than BigQuery allows.

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
    """Return how many load jobs a live job makes in a day at most: of one table, and of all.

    Events of a minute are let go every `flush` seconds while it lasts, and once more at its end.
    """
    of_a_shard = MINUTES_A_DAY * (ceil(60 / flush) + 1)
    table = of_a_shard * shards
    return table, table * types + of_a_shard  # dead letters have one shard


def _fits(types: int, shards: int, flush: float) -> bool:
    table, project = loads_a_day(types, shards, flush)
    return table <= TABLE_CHANGES_A_DAY and project <= LOAD_JOBS_A_DAY


def read_settings(query: str) -> dict[str, Any]:
    """Read what stands after the `?` of a URL into fields of BigQueryWarehouse.

    Raises:
        ConfigError: a setting is unknown, or has no value that it can have.

    """
    found: dict[str, Any] = {}
    labels: dict[str, str] = {}
    tags: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        where = f"warehouse: {key}"
        kind, _, name = key.partition(".")
        if key == "location":
            found[key] = value
        elif key == "method":
            found[key] = _method(value, where)
        elif key == "partition_expiration":
            found[key] = duration(value, where)
        elif key == "time_travel":
            found[key] = _time_travel(value, where)
        elif kind == "label" and _LABEL.fullmatch(name) and _LABEL_VALUE.fullmatch(value):
            labels[name] = value
        elif kind == "policy_tag" and name:
            tags[name] = value
        else:
            known = (
                "location, method, partition_expiration, time_travel, label.NAME, policy_tag.CLASSIFICATION"
            )
            message = f"{where}: expected one of {known} (labels: a-z, 0-9, _ and -), got {key}={value}"
            raise ConfigError(message)
    return found | {"labels": tuple(labels.items()), "policy_tags": tuple(tags.items())}


def _method(value: str, where: str) -> str:
    if value not in METHODS:
        message = f"{where}: expected {' or '.join(METHODS)}, got {value!r}"
        raise ConfigError(message)
    return value


def _time_travel(value: str, where: str) -> int:
    hours = duration(value, where) / SECONDS_AN_HOUR
    if hours not in TRAVELS:
        message = f"{where}: expected whole days from 2d to 7d, got {value!r}"
        raise ConfigError(message)
    return int(hours)
