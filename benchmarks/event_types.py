"""Measure latency and memory of a streaming job that has many event types, whose events come hours late.

`.venv/bin/python -m benchmarks.event_types` feeds the same load to a job of 3 and to one of 50 event types, and writes
the block `types` of docs/performance.md; `--types 3,10 --seconds 20 --no-docs` is a quick look. The contracts are those
of `schemas/backend_events` under other names, with a property `sent_at`: events are late, so latency counts from then.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import yaml
from sluice.contracts import LogPartition

from benchmarks import kafka_feed
from benchmarks.live import DATA_FOLDER, LIFETIME, LiveBenchmark, page_path
from benchmarks.report import live_page, page
from benchmarks.report.live_page import Loaded
from devservers import kafka

_CONTRACTS = Path(__file__).resolve().parent.parent / "schemas" / "backend_events"
_SENT = re.compile(rb'"sent_at":"([^"]+)"')
_HOUR = 3600.0


def main() -> int:
    """Read the command line, measure each number of types, print and write the numbers."""
    options = _options()
    out = options.data / "event_types"
    shutil.rmtree(out, ignore_errors=True)
    (out / "kafka").mkdir(parents=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        kafka.start(out / "kafka", LIFETIME) as broker,
    ):
        benchmark = LiveBenchmark(options, broker, out, Path(scratch))
        loaded = {number: _load(benchmark, out, options, number) for number in options.types}
    block = live_page.types_block(options, loaded)
    print(f"\n{block}", flush=True)
    if options.docs is not None:
        page.write(options.docs, {"types": block})
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--types", default="3,50", metavar="A,B", help="numbers of event types; default: 3,50"
    )
    parser.add_argument("--rate", type=int, default=200, metavar="N", help="events a second")
    parser.add_argument("--hours", type=float, default=10, metavar="N", help="that events are late, at most")
    parser.add_argument(
        "--log-partition",
        default="minute",
        choices=get_args(LogPartition),
        help="event time in one folder of the event log, as contracts have it; default: minute",
    )
    parser.add_argument("--seconds", type=int, default=300, metavar="N", help="of each load")
    parser.add_argument("--flush", type=int, default=10, metavar="N", help="seconds")
    parser.add_argument("--data", type=Path, default=DATA_FOLDER, metavar="DIR", help="where all files go")
    parser.add_argument("--docs", type=Path, default=page_path(), metavar="FILE")
    parser.add_argument("--no-docs", dest="docs", action="store_const", const=None)
    options = parser.parse_args()
    options.types = [int(number) for number in options.types.split(",")]
    options.data = options.data.resolve()
    return options


def _load(benchmark: LiveBenchmark, out: Path, options: argparse.Namespace, types: int) -> Loaded:
    contracts = out / f"contracts-{types}"
    write_contracts(contracts, types, options.log_partition)
    late = options.hours * _HOUR
    return benchmark.load(f"types-{types}", options.rate, contracts=contracts, late=late, time_of=_SENT)


def write_contracts(folder: Path, number: int, log_partition: LogPartition) -> None:
    """Write contracts of `number` event types into `folder`: those of the backend in turn, each with `sent_at`."""
    folder.mkdir(parents=True)
    models = [path.read_text() for path in sorted(_CONTRACTS.glob("*.odcs.yaml"))]
    for index in range(number):
        contract = yaml.safe_load(models[index % len(models)])
        name = f"{contract['schema'][0]['name']}_{index + 1:02}"
        contract["id"] = f"benchmark-{name}"
        contract["schema"] = [_schema(contract["schema"][0], name, log_partition)]
        (folder / f"{name}.odcs.yaml").write_text(yaml.safe_dump(contract, sort_keys=False))


def _schema(schema: dict[str, object], name: str, log_partition: LogPartition) -> dict[str, object]:
    properties, custom = schema["properties"], schema["customProperties"]
    assert isinstance(properties, Sequence)
    assert isinstance(custom, Sequence)
    sent_at = {
        "name": kafka_feed.SENT_AT,
        "logicalType": "timestamp",
        "required": True,
        "description": "When it was published.",
    }
    event_type = {**properties[0], "enum": [{"value": name}]}
    return {
        **schema,
        "name": name,
        "physicalName": f"{name}_events",
        "customProperties": [*custom, {"property": "logPartition", "value": log_partition}],
        "properties": [event_type, *properties[1:], sent_at],
    }


if __name__ == "__main__":
    sys.exit(main())
