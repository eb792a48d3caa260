"""What a job of some size needs: shards, segments, requests, keys in memory, workers. Limits of Sluice are its own."""

from __future__ import annotations

from math import ceil, exp
from typing import NamedTuple

from sluice.eventlog.minute_folders import MAX_CACHED_KEYS
from sluice.eventlog.type_log import PRESENCE_SECONDS
from sluice.graph.segment_loader import DAY_LOAD_BYTES
from sluice.warehouses.bigquery.append import REQUEST_BYTES
from sluice.warehouses.bigquery.load_rate import (
    LOAD_JOBS_A_DAY,
    MINUTES_A_DAY,
    TABLE_CHANGES_A_DAY,
    loads_a_day,
)

from benchmarks.scale.inputs import Inputs

FLUSHES = (10, 20, 30, 60)
"""Seconds of `windows.flush` that are tried, in this order."""

MAX_SHARDS = 64
"""Of `windows.shards`."""


class ShardNeeds(NamedTuple):
    """How many shards a type needs, by each of three limits of one process."""

    cpu: int
    """The work behind one log key is one thread's."""
    pane: int
    """A pane is in memory whole; it should be no larger than what a batch job loads at once."""
    keys: int
    """The deduplication keys of the folders that are filling stay in the cache."""


def panes_a_minute(flush: int) -> int:
    """Return how many panes one shard of one type has in a minute, at most: the code that checks quotas says it."""
    return loads_a_day(1, 1, flush)[0] // MINUTES_A_DAY


def shard_needs(inputs: Inputs, events: float, flush: int) -> ShardNeeds:
    """Return what `events` a minute and type need."""
    busy = events / 60 * inputs.of("key_microseconds") / 1e6
    pane = events * min(flush, 60) / 60 * inputs.of("event_bytes")
    return ShardNeeds(
        cpu=ceil(busy / inputs.of("key_share")),
        pane=ceil(pane / DAY_LOAD_BYTES),
        keys=ceil(events * inputs.of("minutes_in_work") / MAX_CACHED_KEYS),
    )


def allowed_shards(types: int, flush: int) -> int:
    """Return with how many shards a streaming job may load by load jobs, by BigQuery's quotas."""
    of_a_shard = loads_a_day(1, 1, flush)[0]
    of_dead_letters = of_a_shard
    project = (LOAD_JOBS_A_DAY - of_dead_letters) // (of_a_shard * types)
    return min(TABLE_CHANGES_A_DAY // of_a_shard, project, MAX_SHARDS)


class Plan(NamedTuple):
    """A streaming job of some rate: what to set, and what follows from it."""

    rate: int
    flush: int
    shards: int
    method: str
    segments_a_minute: int
    """Of all types, and one shard of dead letters."""
    inserts_at_once: float
    """INSERT statements that `_segments` would have to run at a time."""

    @property
    def segments_a_day(self) -> int:
        """Return the segments of a day."""
        return self.segments_a_minute * MINUTES_A_DAY


def plan_of(inputs: Inputs, rate: int) -> Plan:
    """Return the shortest `flush` with load jobs if they do, and else with appends, in as few datasets as possible."""
    events = rate * 60 / inputs.types
    plans = []
    for flush in FLUSHES:
        shards = max(shard_needs(inputs, events, flush))
        loads = shards <= allowed_shards(inputs.types, flush)
        segments = panes_a_minute(flush) * (shards * inputs.types + 1)
        at_once = segments / 60 * inputs.of("insert_seconds")
        plans.append(Plan(rate, flush, shards, "load" if loads else "storage_write", segments, at_once))
    by_loads = [plan for plan in plans if plan.method == "load"]
    return by_loads[0] if by_loads else min(plans, key=lambda plan: datasets_of(inputs, plan))


def datasets_of(inputs: Inputs, plan: Plan) -> int:
    """Return how many datasets the insertions into `_segments` need: each has a table of its own."""
    return max(1, ceil(plan.inserts_at_once / inputs.of("inserts_at_once")))


def lists_a_minute(inputs: Inputs, shards: int, flush: int) -> int:
    """Return the list requests of one type: each pane lists the folder, with the segments of all shards so far."""
    pages = (
        max(1, ceil(shards * earlier / inputs.of("listed_names"))) for earlier in range(panes_a_minute(flush))
    )
    return shards * sum(pages)


class Requests(NamedTuple):
    """Requests of a job to its object store, in a minute."""

    lists: int
    creates: int
    gets: int


def requests_of(inputs: Inputs, plan: Plan, basis: str = "vcpu_published") -> Requests:
    """Return the requests without late events; dead letters are one more type, with one shard.

    A pane lists its folder. Before it creates, it looks for the settings of the log, but a process does so only once in
    some seconds. Each `flush` creates a part of the totals. A segment is read for its metadata, and by the other
    processes of its worker, if their panes come next.
    """
    most_checks = workers_of(inputs, plan.rate, basis) * inputs.of("worker_vcpus") * 60 / PRESENCE_SECONDS
    lists = 0.0
    for types, shards in ((inputs.types, plan.shards), (1, 1)):
        checks = min(shards * panes_a_minute(plan.flush), most_checks)
        lists += types * (lists_a_minute(inputs, shards, plan.flush) + checks)
    creates = plan.segments_a_minute + 60 / plan.flush
    gets = plan.segments_a_minute * inputs.of("worker_vcpus")
    return Requests(round(lists), round(creates), round(gets))


class Late(NamedTuple):
    """What late events add to a job."""

    events_a_second: float
    loads_a_day: int
    """Of one table."""
    inserts_at_once: float
    """Of all types, into `_segments`."""
    bytes_a_second: float
    """Read again: the shard of an old minute is read whole."""
    vcpus: float


def late_of(inputs: Inputs, plan: Plan, share: float, hours: int) -> Late:
    """Return what it costs if `share` of the events are late, spread evenly over the last `hours`.

    Each pane of an old minute is a segment. Its folder has left the cache, so the shard's segments are read again.
    """
    of_type = plan.rate * share / inputs.types
    folders = hours * 60 * plan.shards
    panes = folders * (1 - exp(-of_type * plan.flush / folders)) / plan.flush  # a second
    stored = plan.rate * 60 / inputs.types / plan.shards
    events_read = panes * inputs.types * stored
    return Late(
        plan.rate * share,
        round(panes * 86_400),
        panes * inputs.types * inputs.of("insert_seconds"),
        events_read * inputs.of("event_bytes"),
        events_read * inputs.read_again_microseconds / 1e6,
    )


def append_requests(inputs: Inputs, rows: float) -> int:
    """Return the requests of the Storage Write API for a segment: its rows are halved until a part fits."""
    size = rows * inputs.of("event_bytes") * inputs.of("row")
    requests = 1
    while size / requests > REQUEST_BYTES:
        requests *= 2
    return requests


def workers_of(inputs: Inputs, rate: int, basis: str) -> int:
    """Return the workers for a rate, with headroom; `basis` is `vcpu_published` or `vcpu_prism`."""
    return ceil(rate / inputs.of(basis) * inputs.of("headroom") / inputs.of("worker_vcpus"))


def keys_of_process(inputs: Inputs, rate: int, basis: str) -> float:
    """Return the deduplication keys of the folders that are filling, for each process of the workers."""
    processes = workers_of(inputs, rate, basis) * inputs.of("worker_vcpus")
    return rate * 60 * inputs.of("minutes_in_work") / processes
