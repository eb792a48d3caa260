"""Batches of accepted lines on their way into the log, and what is known of the segments that they become."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sluice.config.job import Job
from sluice.config.urls import Url
from sluice.contracts import Contract, Property
from sluice.dead_letters.envelope import redelivery_contract
from sluice.elements import REDELIVERY, EventBatch, LoadRequest, RecordBatch, Segment
from sluice.eventlog.log import EventLog
from sluice.eventlog.type_log import TypeLog
from sluice.graph.append import AppendPane
from sluice.graph.decode import DecodeRecords
from sluice.graph.segment_loader import SegmentConverter
from sluice.graph.shuffle import Spill, pack
from sluice.provenance import FileProvenance
from sluice.retry import RetryPolicy
from sluice.storage import open_store
from sluice.validation.age_limits import AgeLimits
from sluice.validation.deduplication_keys import compile_deduplication_key

NOW = datetime(2025, 2, 8, 14, 0, tzinfo=UTC)
SALE = Contract(
    event_type="sale",
    table="sales",
    id="sale",
    version="1.0.0",
    domain="test",
    description="",
    properties=(Property("price", "decimal", required=True), Property("time", "timestamp", required=True)),
    event_time="time",
)

JOB = Job("test", {"sale": SALE}, Url("none"), Url("files"), Url("duckdb:///w.duckdb"), Url("dead"))


def sale(price: str) -> bytes:
    return b'{"price":%b,"time":"2025-02-08T13:09:00Z"}' % price.encode()


def decoded(*records: bytes) -> tuple[tuple[str, int, int], EventBatch]:
    """Return what decode makes of records of one file: a log key, and the batch that is shuffled."""
    decode = DecodeRecords({"sale": SALE}, None, AgeLimits(600, 86_400, NOW.timestamp()), 1, None, None)
    decode.setup()
    decode.start_bundle()
    batch = RecordBatch(records, FileProvenance("file", 0.0, list(range(len(records)))))
    assert list(decode.process(batch)) == []
    (key, made), *_ = (output.value for output in decode.finish_bundle() if isinstance(output.value, tuple))
    return tuple(key), made


def appended(folder: Path, batch: EventBatch, key: tuple[str, int, int], *, spilled: bool) -> Segment:
    """Return the segment that a batch becomes, shuffled as on one machine, or as on a cluster."""
    log = EventLog(open_store(str(folder / "files")), {"sale": TypeLog.of(SALE)})
    log.open()
    spill = Spill(str(folder)) if spilled else None
    step = AppendPane(log, RetryPolicy(0), spill)
    step.setup()
    outputs = step.process((key, [pack(batch) if spill is None else spill.put(batch)]))
    (request,) = (output for output in outputs if isinstance(output, LoadRequest))
    (segment,) = request.segments
    assert isinstance(segment, Segment)
    return segment


@pytest.mark.parametrize(
    ("prices", "spilled", "plain"),
    [
        (("1.5", "0", "12345678901234567890123456789.123456789"), True, True),
        (("1.5", "1e2"), True, False),
        (("1.5", f"100.{'0' * 38}e0"), True, False),
        (("1.5",), False, False),  # on a cluster, an older version of the job may have accepted it
    ],
)
def test_segment_is_plain_if_this_run_has_accepted_its_lines_without_unusual_values(
    tmp_path: Path, prices: tuple[str, ...], spilled: bool, plain: bool
) -> None:
    key, batch = decoded(*map(sale, prices))
    segment = appended(tmp_path, batch, key, spilled=spilled)
    assert (segment.plain, list(segment.lines)) == (plain, [sale(price) for price in prices])
    convert = SegmentConverter(JOB, {"sale": SALE}).convert
    rows = convert(segment, NOW, NOW).load.rows
    assert rows == convert(replace(segment, keys=b"", plain=False), NOW, NOW).load.rows
    ids = list(map(compile_deduplication_key(SALE), segment.lines))
    assert rows["_event_id"].to_pylist() == [id_.hex() for id_ in ids]


def test_redelivery_has_the_same_id_in_its_table_whoever_loads_it() -> None:
    line = b'{"letter_id":"ab","attempt":2,"redelivered_at":"2025-02-08T13:09:00Z","status":"accepted","job":"test"}'
    contract = redelivery_contract()
    stored = Segment("s", REDELIVERY, "p", 0, [line])
    new = replace(stored, keys=b"another key, that of the log")
    convert = SegmentConverter(JOB, {REDELIVERY: contract}).convert
    assert convert(new, NOW, NOW).load.rows == convert(stored, NOW, NOW).load.rows
