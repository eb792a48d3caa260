"""One job's log and warehouse, and the graph that runs over them, again and again, on any runner."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import apache_beam as beam
import duckdb
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_stream
from apache_beam.transforms.window import TimestampedValue
from sluice.config.job import Job, Windows
from sluice.config.urls import Url
from sluice.contracts import Contract, Property
from sluice.dead_letters.envelope import dead_letter_contract, redelivery_contract
from sluice.dead_letters.log import DeadLetterLog
from sluice.elements import DEAD_LETTER, REDELIVERY, SOURCE_FILE, RecordBatch
from sluice.eventlog.log import EventLog
from sluice.eventlog.source_manifest import SourceManifest, source_file_contract
from sluice.eventlog.type_log import TypeLog
from sluice.graph.acknowledge import CompleteAcks
from sluice.graph.build import build, build_load
from sluice.graph.ledger import Report, make_report
from sluice.graph.run_context import RunContext
from sluice.graph.totals import read_totals
from sluice.graph.windowing import Windowing
from sluice.provenance import FileProvenance
from sluice.retry import RetryPolicy
from sluice.run_state import RunHandle
from sluice.storage import open_store
from sluice.tooling.tables import contracts_of, fit_to_table
from sluice.validation.age_limits import AgeLimits
from sluice.warehouses import open_warehouse

MINUTE = int(datetime(2025, 2, 8, 13, 9, tzinfo=UTC).timestamp())
HOUR = 3600
CONTRACTS = {
    name: Contract(
        event_type=name,
        table=f"{name}_events",
        id=name,
        version="1.0.0",
        domain="test",
        description="",
        properties=(
            Property("event_type", "string", required=True, enum=(name,)),
            Property("id", "integer", required=True),
            Property("time", "timestamp", required=True),
        ),
        event_time="time",
    )
    for name in ("click", "view")
}


def event(identity: int, at: float, kind: str = "click") -> bytes:
    time = datetime.fromtimestamp(at, UTC).isoformat()
    return json.dumps({"event_type": kind, "id": identity, "time": time}).encode()


class GraphRun:
    """A job in `folder`, whose graph can be run; `runner` is Beam's options that choose one."""

    def __init__(self, folder: Path, live: bool, runner: Sequence[str] = ("--runner=FnApiRunner",)) -> None:
        self.folder = folder
        self.live = live
        self.runner = runner
        self.job = Job(
            name="test",
            contracts=CONTRACTS,
            route_by="event_type",
            source=Url("none"),
            files=Url(str(folder / "files")),
            warehouse=Url(f"duckdb:///{folder}/w.duckdb"),
            dead_letters=Url(str(folder / "dead")),
            windows=Windows(max_skew=60, allowed_lateness=HOUR),
        )
        self.dead_letter_contract = dead_letter_contract()
        self.log = EventLog(
            open_store(self.job.files), {name: TypeLog.of(contract) for name, contract in CONTRACTS.items()}
        )
        self.dead_letters = DeadLetterLog.at(self.job.dead_letters)
        self.warehouse = open_warehouse(self.job.warehouse)
        self.runs = 0

    def run(self, *batches: RecordBatch) -> Report:
        """Run the graph over batches: at once if bounded, else each as it arrives."""
        source = arriving(batches) if self.live else beam.Create(batches)
        return self._run(lambda pipeline, run: build(pipeline | "Read" >> source, self.job, run))

    def load(self) -> Report:
        """Run the graph that loads what the warehouse lacks of the log."""
        return self._run(lambda pipeline, run: build_load(pipeline, self.job, run))

    def _run(self, attach: Callable[[beam.Pipeline, RunContext], object]) -> Report:
        self.runs += 1
        totals = self.folder / f"totals{self.runs}"
        contracts = contracts_of(self.job)
        self.warehouse.prepare(contracts)
        tables = {contract.event_type: contract for contract in fit_to_table(self.warehouse, contracts)}
        handle = RunHandle()
        run = RunContext(
            log=self.log,
            dead_letters=self.dead_letters,
            warehouse=self.warehouse,
            manifest=SourceManifest.at(str(self.folder / "files")),
            tables={
                **self.job.contracts,
                DEAD_LETTER: self.dead_letter_contract,
                REDELIVERY: redelivery_contract(),
                SOURCE_FILE: source_file_contract(),
                **tables,
            },
            ages=AgeLimits(60, HOUR, started=None if self.live else MINUTE + HOUR),
            event_windowing=Windowing(self.live, flush=5, lateness=HOUR),
            dead_letter_windowing=Windowing(self.live, flush=5, lateness=100 * HOUR),
            totals_url=str(totals),
            clock=lambda: MINUTE + HOUR,
            retry=RetryPolicy(0),
            handle=handle,
            acknowledge=CompleteAcks(handle),
        )
        with beam.Pipeline(options=PipelineOptions(list(self.runner), streaming=self.live)) as pipeline:
            attach(pipeline, run)
        return make_report(read_totals(str(totals)), job="test", run_id="r", started=0, seconds=1)

    def stored(self, log: str = "files") -> list[bytes]:
        return [line for _, text in self.segments(log).items() for line in text.splitlines()]

    def segments(self, log: str = "files") -> Mapping[str, bytes]:
        root = self.folder / log
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*.json"))
            if path.name != "_log.json"
        }

    def sql(self, query: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.folder / "w.duckdb"), read_only=True) as connection:
            return connection.sql(query).fetchall()


def batch(*records: bytes, arrival: float, offset: int = 0) -> RecordBatch:
    return RecordBatch(records, FileProvenance("topic", arrival, range(offset, offset + len(records))))


def arriving(batches: Sequence[RecordBatch]) -> test_stream.TestStream:
    """Return batches that come with the watermark at their arrival, six seconds of processing time apart."""
    stream = test_stream.TestStream()
    for batch in batches:
        stream = stream.advance_watermark_to(batch.arrival).add_elements(
            [TimestampedValue(batch, batch.arrival)]
        )
        stream = stream.advance_processing_time(6)
    return stream.advance_watermark_to_infinity()
