"""The tables of docs/scale.md and docs/costs.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import floor, log10
from pathlib import Path

from sluice.eventlog.minute_folders import MAX_CACHED_KEYS

from benchmarks.report.page import markdown
from benchmarks.scale.arithmetic import (
    FLUSHES,
    MAX_SHARDS,
    Plan,
    allowed_shards,
    append_requests,
    datasets_of,
    keys_of_process,
    late_of,
    lists_a_minute,
    panes_a_minute,
    plan_of,
    requests_of,
    shard_needs,
)
from benchmarks.scale.costs import dataflow_hour, month, object_requests
from benchmarks.scale.inputs import Figure, Inputs

DOCS = Path(__file__).parents[2] / "docs"
MINUTES = (10_000, 100_000, 1_000_000, 10_000_000)
"""Events a minute and type."""

PARTS = {
    "pubsub": "Pub/Sub, in and out",
    "retention": "Pub/Sub, 7 days of retention of the topic",
    "streaming_engine": "Dataflow, Streaming Engine",
    "log": "event log in Cloud Storage, more each month",
    "dead_letters": "dead letters, log and table, more each month",
    "requests": "requests to Cloud Storage",
    "rows": "rows in BigQuery, more each month",
    "write": "BigQuery, writing the rows",
    "bookkeeping": "BigQuery, statements about segments",
    "queries": "BigQuery, each day's rows read once, by dbt or monitors",
    "rest": "Cloud Run jobs, images, a secret",
    "workers_published": "Dataflow workers at the published rate",
    "workers_prism": "Dataflow workers at Prism's rate",
}
"""Parts of a month, in the order of the table; of the last two a bill has one."""

BASES = {"vcpu_published": "the published", "vcpu_prism": "Prism's"}
"""What the events/s of a vCPU are taken from."""


def pages(inputs: Inputs) -> dict[Path, dict[str, str]]:
    """Return the blocks of each page, by name."""
    plans = [plan_of(inputs, rate) for rate in inputs.rates]
    scale = {
        "plans": _plans(inputs, plans),
        "panes": _panes(inputs),
        "measured-panes": _measured_panes(inputs),
        "late": _late(inputs, plans),
        "objects": _objects(inputs),
        "requests": _requests(inputs, plans),
        "bigquery": _bigquery(inputs),
        "writes": _writes(inputs, plans),
        "dataflow": _dataflow(inputs),
        "figures": _figures(inputs),
    }
    return {
        DOCS / "scale.md": scale,
        DOCS / "costs.md": {"month": _month(inputs, plans), "prices": _prices(inputs)},
    }


def number(value: float) -> str:
    """Return a number with its three first digits, or all before the point."""
    if value == round(value) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{2 - floor(log10(value))}f}"


def megabytes(value: float) -> str:
    """Return bytes as MB."""
    return number(value / 1e6)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """Return a table; the first `texts` columns are texts, the others are numbers."""
    rule = ["---" if at < texts else "---:" for at in range(len(head))]
    return markdown([head, rule, *rows])


def _by_size(inputs: Inputs, rows: Mapping[str, Sequence[str]], head: str = "") -> str:
    """Return a table with a column for each size."""
    return _table(
        [head, *(f"{rate:,}/s" for rate in inputs.rates)], [[name, *of] for name, of in rows.items()]
    )


def _plans(inputs: Inputs, plans: Sequence[Plan]) -> str:
    rows = {
        "events a minute and type": [number(plan.rate * 60 / inputs.types) for plan in plans],
        "`flush`": [f"{plan.flush} s" for plan in plans],
        "`shards`": [str(plan.shards) for plan in plans],
        "`method` of BigQuery": [f"`{plan.method}`" for plan in plans],
        "segments a day, at most": [number(plan.segments_a_day) for plan in plans],
        "events of a segment, about": [
            number(plan.rate * 60 / inputs.types / plan.shards * min(plan.flush, 60) / 60) for plan in plans
        ],
        "insertions into `_segments` at a time": [number(plan.inserts_at_once) for plan in plans],
        "datasets, and so jobs, by that": [str(datasets_of(inputs, plan)) for plan in plans],
        **{
            f"keys in a process, of {MAX_CACHED_KEYS:,}, at {name} rate": [
                number(keys_of_process(inputs, plan.rate, basis)) for plan in plans
            ]
            for basis, name in BASES.items()
        },
    }
    return _by_size(inputs, rows)


def _panes(inputs: Inputs) -> str:
    flush = 10
    rows = []
    for events in MINUTES:
        needs = shard_needs(inputs, events, flush)
        for shards in dict.fromkeys((1, max(needs), *((MAX_SHARDS,) if events == MINUTES[-1] else ()))):
            size = events / shards * inputs.of("event_bytes")
            rows.append(
                [
                    f"{events:,}",
                    str(shards),
                    number(events / shards * flush / 60),
                    megabytes(size * flush / 60),
                    number(events / 60 / shards * inputs.of("key_microseconds") / 1e6 * 100),
                    number(events / shards),
                    "yes" if max(needs) <= shards else "no",
                    number(lists_a_minute(inputs, shards, flush)),
                    megabytes(size),
                    number(events / shards * inputs.read_again_microseconds / 1e6),
                ]
            )
    head = (
        "events a minute and type",
        "shards",
        "events of a pane",
        "MB of a pane",
        "% of a thread",
        "keys of the folder",
        "within the limits",
        "lists a minute",
        "MB read by a new worker",
        "its CPU s",
    )
    return _table(head, rows, texts=0)


def _measured_panes(inputs: Inputs) -> str:
    rows = [
        [
            f"{pane.events:,}",
            f"{pane.events // 6:,}",
            f"{pane.same_worker:.3f}",
            f"{pane.new_worker:.3f}",
            megabytes(pane.bytes_read),
        ]
        for pane in inputs.panes
    ]
    head = ("events in the folder", "of the pane", "CPU s", "CPU s, new worker", "MB read by it")
    return f"{inputs.panes_source}\n\n{_table(head, rows, texts=0)}"


def _late(inputs: Inputs, plans: Sequence[Plan]) -> str:
    rows = []
    for plan in plans:
        for share in (0.0001, 0.001, 0.01):
            late = late_of(inputs, plan, share, 1)
            rows.append(
                [
                    f"{plan.rate:,}",
                    f"{share:.2%}",
                    number(late.events_a_second),
                    number(late.loads_a_day),
                    number(late.inserts_at_once),
                    megabytes(late.bytes_a_second),
                    number(late.vcpus),
                ]
            )
    head = (
        "events/s",
        "late",
        "late events/s",
        "loads of a table a day",
        "insertions at a time",
        "MB/s read again",
        "vCPUs for it",
    )
    by_hour = MAX_CACHED_KEYS / inputs.of("minutes_in_work") / 3600
    return (
        f"{_table(head, rows, texts=0)}\n\n"
        "With [`logPartition: hour`](contracts.md#event-time) a late event needs no folder of its own, but folders are"
        f" 60 times as large. They stay in the cache up to {number(by_hour)} events/s of a process."
    )


def _objects(inputs: Inputs) -> str:
    rows = [
        [f"{events:,}", *(number(object_requests(inputs, events, store)) for store in ("gcs", "s3"))]
        for events in (100, 1_000, 10_000, 100_000, 1_000_000)
    ]
    gigabytes = inputs.of("event_bytes") * 1e6 / 1e9
    of_month = (
        gigabytes * 1e9 / 2**30 * inputs.usd("gcs_storage"),
        gigabytes * inputs.usd("s3_storage"),
    )
    rows.append(["a month of their bytes", *(number(usd) for usd in of_month)])
    return _table(("events of a segment", "Cloud Storage", "S3"), rows)


def _requests(inputs: Inputs, plans: Sequence[Plan]) -> str:
    every = [requests_of(inputs, plan) for plan in plans]
    at_once = [plan.shards * inputs.types + 1 for plan in plans]
    rows = {
        "creates/s": [number(requests.creates / 60) for requests in every],
        "of them in one second, if all panes fire together": [number(panes) for panes in at_once],
        f"of a bucket of Cloud Storage, {inputs.of('gcs_writes'):,.0f}/s": [
            f"{panes / inputs.of('gcs_writes'):.1%}" for panes in at_once
        ],
        f"of a prefix of S3, {inputs.of('s3_writes'):,.0f}/s": [
            f"{panes / inputs.of('s3_writes'):.1%}" for panes in at_once
        ],
        "lists/s": [number(requests.lists / 60) for requests in every],
        "reads/s, with metadata": [number(requests.gets / 60) for requests in every],
        f"lists and reads, of {inputs.of('gcs_reads'):,.0f}/s": [
            f"{(requests.lists + requests.gets) / 60 / inputs.of('gcs_reads'):.2%}" for requests in every
        ],
    }
    return _by_size(inputs, rows)


def _bigquery(inputs: Inputs) -> str:
    rows = []
    for events in MINUTES:
        cells = []
        for flush in FLUSHES:
            needed, allowed = (
                max(shard_needs(inputs, events, flush)),
                allowed_shards(inputs.types, flush),
            )
            cells.append(f"{needed} of {allowed}" if needed <= allowed else f"**{needed} of {allowed}**")
        rows.append([f"{events:,}", *cells])
    panes = ["panes of a minute", *(str(panes_a_minute(flush)) for flush in FLUSHES)]
    head = ("events a minute and type", *(f"`flush` {flush} s" for flush in FLUSHES))
    return _table(head, [*rows, panes])


def _writes(inputs: Inputs, plans: Sequence[Plan]) -> str:
    sizes = [plan.rate * inputs.of("event_bytes") * inputs.of("row") for plan in plans]
    rows_of = [plan.rate * 60 / inputs.types / plan.shards * min(plan.flush, 60) / 60 for plan in plans]
    rows = {
        "MB/s of rows": [megabytes(size) for size in sizes],
        **{
            f"of {inputs.of(name) / 1e6:,.0f} MB/s, {where}": [
                f"{size / inputs.of(name):.1%}" for size in sizes
            ]
            for name, where in (
                ("append_bytes_region", "one region"),
                ("append_bytes_multi_region", "US or EU"),
            )
        },
        "appends of a segment": [str(append_requests(inputs, number_of)) for number_of in rows_of],
        f"MB/s through Pub/Sub, of {inputs.of('pubsub_bytes') / 1e6:,.0f}": [
            megabytes(plan.rate * (inputs.of("event_bytes") + inputs.of("message_bytes"))) for plan in plans
        ],
    }
    return _by_size(inputs, rows)


def _dataflow(inputs: Inputs) -> str:
    rows = []
    for rate in inputs.rates:
        for basis, name in BASES.items():
            hour = dataflow_hour(inputs, rate, basis)
            rows.append(
                [
                    f"{rate:,}",
                    name,
                    str(hour.workers),
                    f"{hour.of_workers:,.2f}",
                    f"{hour.of_streaming_engine:,.2f}",
                    f"{hour.usd:,.2f}",
                    number(hour.usd / (rate * 3600) * 1e9),
                ]
            )
    head = (
        "events/s",
        "rate of a vCPU",
        "workers",
        "they",
        "Streaming Engine",
        "an hour",
        "a billion events",
    )
    return _table(head, rows, texts=2)


def _month(inputs: Inputs, plans: Sequence[Plan]) -> str:
    months = [month(inputs, plan) for plan in plans]
    rows = {title: [number(of[part]) for of in months] for part, title in PARTS.items()}
    shared = [sum(usd for part, usd in of.items() if not part.startswith("workers")) for of in months]
    for basis, name in BASES.items():
        workers = basis.replace("vcpu", "workers")
        sums = [number(both + of[workers]) for both, of in zip(shared, months, strict=True)]
        rows[f"**all, workers at {name} rate**"] = [f"**{usd}**" for usd in sums]
    return _by_size(inputs, rows, "USD a month")


def _prices(inputs: Inputs) -> str:
    rows = [
        [price.what, f"{Decimal(str(price.usd)):f}", price.unit, price.region, price.source, price.date]
        for price in inputs.prices.values()
    ]
    return markdown(
        [("what", "USD", "for a", "region", "source", "as of"), ("---", "---:", *["---"] * 4), *rows]
    )


def _figures(inputs: Inputs) -> str:
    def rows(kind: str, figures: Mapping[str, Figure]) -> list[list[str]]:
        return [
            [
                kind,
                f"{figure.value:,.10g}",
                figure.unit,
                ", ".join(filter(None, (figure.source, figure.date))),
            ]
            for figure in figures.values()
        ]

    every = [
        *rows("measured", inputs.measured),
        *rows("assumed", inputs.assumed),
        *rows("published", inputs.quotas),
    ]
    return markdown([("", "value", "unit", "source"), ("---", "---:", "---", "---"), *every])
