"""Beam as the books write it: one element per event, the json module, one check after the other.

Same duties; tables are Parquet files from `WriteToParquet`. Run in the product's own environment, on the same
Beam and its default in-process runner.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import duckdb
from apache_beam import window
from apache_beam.options.pipeline_options import PipelineOptions

from benchmarks.measurement.outcome import (
    TABLES,
    Outcome,
    dead_letters_outcome,
    files_outcome,
    main,
    windows_outcome,
)
from benchmarks.peers.rules import SCHEMAS, check, time_of

COUNT_COLUMNS = "{event_type: 'VARCHAR', window_start: 'VARCHAR', events: 'BIGINT'}"


class Validate(beam.DoFn):
    """Line -> (type, time, event, line), or a dead letter."""

    def process(self, line: str) -> Iterator[Any]:
        """Parse and check one line."""
        event_type, event, violations = check(line)
        if violations:
            dead_letter = {"payload": line, "event_type": event_type, "violations": violations}
            yield beam.pvalue.TaggedOutput("dead", json.dumps(dead_letter))
        else:
            yield line, event


def first(pair: tuple[str, Iterable[dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
    """Keep one of the events that have the same line."""
    return pair[0], next(iter(pair[1]))


def by_minute(pair: tuple[str, dict[str, Any]]) -> tuple[str, str]:
    """Return the path of an event's minute, and its line."""
    line, event = pair
    return f"{event['event_type']}/{time_of(event):%Y/%m/%d/%H/%M}", line


def write_minute(pair: tuple[str, Iterable[str]], root: str) -> None:
    """Write the file of one minute."""
    path = Path(root, pair[0], "events.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        file.writelines(line + "\n" for line in pair[1])


def count_row(pair: tuple[str, int], within: Any = beam.DoFn.WindowParam) -> str:
    """Return one row of the counts."""
    start = within.start.to_utc_datetime()
    return json.dumps(
        {"event_type": pair[0], "window_start": f"{start:%Y-%m-%dT%H:%M:%SZ}", "events": pair[1]}
    )


def run(source: Path, out: Path) -> None:
    """Do all the work."""
    with beam.Pipeline(options=PipelineOptions([])) as pipeline:
        lines = pipeline | "Read" >> beam.io.ReadFromText(str(source))
        checked = lines | "Validate" >> beam.ParDo(Validate()).with_outputs("dead", main="good")
        good = checked.good | "By line" >> beam.GroupByKey() | "Remove repeats" >> beam.Map(first)
        (
            good
            | "Key by minute" >> beam.Map(by_minute)
            | "Group minutes" >> beam.GroupByKey()
            | "Write files" >> beam.Map(write_minute, str(out / "files"))
        )
        (
            good
            | "Type and time"
            >> beam.Map(
                lambda pair: window.TimestampedValue((pair[1]["event_type"], 1), time_of(pair[1]).timestamp())
            )
            | "10 seconds" >> beam.WindowInto(window.FixedWindows(10))
            | "Count" >> beam.CombinePerKey(sum)
            | "To rows" >> beam.Map(count_row)
            | "Write counts" >> beam.io.WriteToText(str(out / "counts"))
        )
        for event_type, schema in SCHEMAS.items():
            (
                good
                | f"Only {event_type}"
                >> beam.Filter(lambda pair, name: pair[1]["event_type"] == name, event_type)
                | f"{event_type} row"
                >> beam.Map(lambda pair, names: {name: pair[1][name] for name in names}, schema.names)
                | f"Write {event_type}" >> beam.io.WriteToParquet(str(out / TABLES[event_type]), schema)
            )
        checked.dead | "Write dead letters" >> beam.io.WriteToText(str(out / "dead_letters"))


def tally(out: Path) -> Outcome:
    """Read the outputs back, with DuckDB."""
    connection = duckdb.connect()

    def query(select: str, files: str) -> list[Any]:
        return connection.sql(f"select {select} from {files}").fetchall()

    return {
        **files_outcome(out / "files", re.compile(r"(?P<type>\w+)/(?P<minute>[0-9/]+)/events.json")),
        "rows": {
            event_type: query("count(*)", f"read_parquet('{out}/{table}-*')")[0][0]
            for event_type, table in TABLES.items()
        },
        **windows_outcome(
            query(
                "event_type, window_start::varchar, events",
                f"read_json('{out}/counts-*', columns = {COUNT_COLUMNS})",
            )
        ),
        **dead_letters_outcome(
            query("event_type, [v.code for v in violations]", f"read_json('{out}/dead_letters-*')")
        ),
    }


if __name__ == "__main__":
    main(run, tally)
