"""What a job of some size costs: an hour of Dataflow, a month of each part, a million events in an object store."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from benchmarks.scale.arithmetic import Plan, requests_of, workers_of
from benchmarks.scale.inputs import Inputs

GIB, TIB = 2**30, 2**40
DAY = 86_400
RETENTION_DAYS = 7
"""Of a topic: the default of Terraform's `topics`."""

STATEMENTS = 4
"""Of a streaming job for each segment: two look-ups in `_segments`, and the insertions of counts and of its row."""


class Hour(NamedTuple):
    """An hour of Dataflow, in USD."""

    workers: int
    of_workers: float
    of_streaming_engine: float

    @property
    def usd(self) -> float:
        """Return the sum."""
        return self.of_workers + self.of_streaming_engine


def dataflow_hour(inputs: Inputs, rate: int, basis: str) -> Hour:
    """Return what an hour costs at a rate. Streaming Engine takes what is read, and what is grouped, packed."""
    worker = (
        inputs.of("worker_vcpus") * inputs.usd("vcpu_hour")
        + inputs.of("worker_memory") * inputs.usd("memory_hour")
        + inputs.of("worker_disk") * inputs.usd("disk_hour")
    )
    data = rate * 3600 * inputs.of("event_bytes") * (1 + 1 / inputs.of("packed"))
    workers = workers_of(inputs, rate, basis)
    return Hour(workers, workers * worker, data / GIB * inputs.usd("streaming_engine"))


def object_requests(inputs: Inputs, events_a_segment: int, store: str) -> float:
    """Return what the requests for a million events cost: two lists, a create, and a look at the metadata a segment."""
    written, read = {"gcs": ("gcs_class_a", "gcs_class_b"), "s3": ("s3_put", "s3_get")}[store]
    segment = (3 * inputs.usd(written) + inputs.usd(read)) / 1000
    return segment * 1_000_000 / events_a_segment


def month(inputs: Inputs, plan: Plan) -> dict[str, float]:
    """Return the USD of the first month, by part; both rates of a vCPU have their workers."""
    seconds = inputs.days * DAY
    events = plan.rate * seconds
    stored = events * inputs.of("event_bytes")
    rows = stored * inputs.of("row")
    messages = events * (inputs.of("event_bytes") + inputs.of("message_bytes"))
    letters = events * inputs.of("rejected") * inputs.of("dead_letter_bytes")
    requests = requests_of(inputs, plan)
    minutes = seconds / 60
    hours = {basis: dataflow_hour(inputs, plan.rate, basis) for basis in ("vcpu_published", "vcpu_prism")}
    return {
        "pubsub": 2 * messages / TIB * inputs.usd("pubsub"),
        "retention": messages * RETENTION_DAYS / inputs.days / GIB * inputs.usd("pubsub_retention"),
        "workers_published": hours["vcpu_published"].of_workers * inputs.days * 24,
        "workers_prism": hours["vcpu_prism"].of_workers * inputs.days * 24,
        "streaming_engine": hours["vcpu_prism"].of_streaming_engine * inputs.days * 24,
        "log": stored / GIB * inputs.usd("gcs_storage"),
        "dead_letters": letters / GIB * (inputs.usd("gcs_storage") + inputs.usd("bigquery_storage")),
        "requests": minutes
        / 1000
        * (
            (requests.lists + requests.creates) * inputs.usd("gcs_class_a")
            + requests.gets * inputs.usd("gcs_class_b")
        ),
        "rows": rows / GIB * inputs.usd("bigquery_storage"),
        "write": rows / GIB * inputs.usd("bigquery_append") if plan.method == "storage_write" else 0.0,
        "bookkeeping": bookkeeping_bytes(inputs, plan) / TIB * inputs.usd("bigquery_queries"),
        "queries": rows / TIB * inputs.usd("bigquery_queries"),
        "rest": rest(inputs),
    }


def bookkeeping_bytes(inputs: Inputs, plan: Plan) -> float:
    """Return the bytes of a month that are billed for the statements about segments.

    A statement reads the ids and times of the day so far, half a day's on average: 42 bytes a row. Counts have a row
    for each window of ten seconds.
    """
    least = inputs.of("least_query_bytes")
    segments = max(least, plan.segments_a_day / 2 * 42)
    counts = max(least, plan.segments_a_day / 2 * 42 * ceil(plan.flush / 10))
    return plan.segments_a_day * inputs.days * ((STATEMENTS - 1) * segments + counts)


def rest(inputs: Inputs) -> float:
    """Return what does not grow with the rate, as long as the scheduled jobs take no longer."""
    seconds = inputs.of("scheduled_jobs") * inputs.of("scheduled_minutes") * 60 * inputs.days
    return (
        seconds * inputs.usd("cloud_run_vcpu")
        + seconds * inputs.of("scheduled_memory") * inputs.usd("cloud_run_memory")
        + inputs.of("images") * inputs.usd("images")
        + inputs.usd("secret")
    )
