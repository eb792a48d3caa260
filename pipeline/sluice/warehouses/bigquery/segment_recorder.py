"""BigQuery: counts and rows of `_segments`, inserted when the rows of the segments are there, each once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import xxhash

from sluice.elements import DEAD_LETTER
from sluice.errors import WarehouseError
from sluice.warehouses.bigquery.jobs import Jobs, parameter, structs, window_structs
from sluice.warehouses.segment_load import SegmentLoad
from sluice.warehouses.segment_records import day_limits
from sluice.warehouses.system_tables import SEGMENTS, WINDOW_COUNTS
from sluice.warehouses.timestamps import from_micros

INSERT_COUNTS = """INSERT INTO `{counts}` (segment_id, event_type, window_start, window_end, events)
SELECT @id, counted.event_type, counted.window_start, counted.window_end, counted.events
FROM UNNEST(@windows) AS counted
WHERE NOT EXISTS (
  SELECT 1 FROM `{counts}` AS known
  WHERE known.window_start BETWEEN @first AND @last AND known.segment_id = @id
);
"""

INSERT_SEGMENT = """INSERT INTO `{segments}`
  (segment_id, event_type, path, minute, ingested_at, events, refused, refusals)
SELECT @id, @event_type, @path, @minute, @ingested_at, @events, @refused, @refusals
FROM UNNEST([1])
WHERE NOT EXISTS (SELECT 1 FROM `{segments}` AS known WHERE known.minute = @minute AND known.segment_id = @id);
"""

CORRECT_COUNTS = """MERGE `{counts}` AS known
USING (
  SELECT one.event_type, one.window_start, one.window_end, one.events FROM UNNEST(@windows) AS one
) AS counted
ON known.window_start BETWEEN @first AND @last AND known.segment_id = @id
  AND known.window_start = counted.window_start AND known.event_type = counted.event_type
WHEN MATCHED AND known.events < counted.events THEN UPDATE SET events = counted.events
WHEN NOT MATCHED THEN INSERT (segment_id, event_type, window_start, window_end, events)
VALUES (@id, counted.event_type, counted.window_start, counted.window_end, counted.events);
"""

CORRECT_SEGMENT = """UPDATE `{segments}`
SET events = @events, refused = @refused, refusals = @refusals, ingested_at = @ingested_at
WHERE minute = @minute AND segment_id = @id AND refused > @refused;
"""

INSERT_COUNTS_OF_DAY = """INSERT INTO `{counts}` (segment_id, event_type, window_start, window_end, events)
SELECT counted.segment_id, counted.event_type, counted.window_start, counted.window_end, counted.events
FROM UNNEST(@windows) AS counted
WHERE counted.segment_id NOT IN (
  SELECT known.segment_id FROM `{counts}` AS known WHERE known.window_start BETWEEN @first AND @last
);
"""

INSERT_SEGMENTS_OF_DAY = """INSERT INTO `{segments}`
  (segment_id, event_type, path, minute, ingested_at, events, refused, refusals)
SELECT loaded.segment_id, loaded.event_type, loaded.path, loaded.minute, loaded.ingested_at, loaded.events, 0,
  CAST([] AS ARRAY<STRUCT<line INT64, reason STRING>>)
FROM UNNEST(@segments) AS loaded
WHERE loaded.segment_id NOT IN (
  SELECT known.segment_id FROM `{segments}` AS known WHERE known.minute BETWEEN @first_minute AND @last_minute
);
"""

SEGMENTS_A_SCRIPT = 300
"""Segments in one script: with six windows each, half a megabyte of parameters, where a request may have 10."""

_WINDOW = {
    "segment_id": "STRING",
    "event_type": "STRING",
    "window_start": "TIMESTAMP",
    "window_end": "TIMESTAMP",
    "events": "INT64",
}
_SEGMENT = {
    "segment_id": "STRING",
    "event_type": "STRING",
    "path": "STRING",
    "minute": "TIMESTAMP",
    "ingested_at": "TIMESTAMP",
    "events": "INT64",
}


class SegmentRecorder:
    """Records segments as loaded in one dataset, `name`. Its exceptions are the client's, and WarehouseError."""

    def __init__(self, jobs: Jobs, name: str) -> None:
        """Connect to nothing yet."""
        self._jobs = jobs
        self._name = name
        self._dataset = name.rpartition(".")[2]

    def record_day(self, loads: Sequence[SegmentLoad]) -> None:
        """Insert the counts and then the rows of `_segments` of segments of one UTC day without row errors."""
        for at in range(0, len(loads), SEGMENTS_A_SCRIPT):
            self._record_together(loads[at : at + SEGMENTS_A_SCRIPT])

    def _record_together(self, loads: Sequence[SegmentLoad]) -> None:
        windows = [row for load in loads for row in _window_rows(load)]
        segments = [_segment_row(load) for load in loads]
        first_minute, last_minute = day_limits(loads[0].minute.date())
        values = {"first_minute": first_minute, "last_minute": last_minute}
        parameters = [structs("segments", _SEGMENT, segments)]
        sql = INSERT_SEGMENTS_OF_DAY
        if windows:
            sql = INSERT_COUNTS_OF_DAY + INSERT_SEGMENTS_OF_DAY
            parameters.append(structs("windows", _WINDOW, windows))
            starts = [window[2] for window in windows]
            values |= {"first": min(starts), "last": max(starts)}
        parameters += [parameter(name, value) for name, value in values.items()]
        ids = [load.segment.id for load in loads]
        self._run(
            f"sluice-{self._dataset}-{SEGMENTS.name}-{len(ids)}-{xxhash.xxh3_128_hexdigest(','.join(ids).encode())}",
            sql,
            parameters,
            lambda: self._are_recorded(loads),
            f"to record {len(ids)} segments of {first_minute:%Y-%m-%d}",
        )

    def _are_recorded(self, loads: Sequence[SegmentLoad]) -> bool:
        first, last = day_limits(loads[0].minute.date())
        sql = f"""SELECT COUNT(DISTINCT segment_id) AS stored FROM `{self._name}.{SEGMENTS.name}`
WHERE minute BETWEEN @first AND @last AND segment_id IN UNNEST(@ids)"""
        ids = [load.segment.id for load in loads]
        return bool(self._jobs.query(sql, first=first, last=last, ids=ids)[0]["stored"] == len(ids))

    def record(self, load: SegmentLoad) -> None:
        """Insert the counts and then the row of `_segments`, each unless it is there."""
        segment = load.segment
        values = {"event_type": segment.event_type, "path": segment.path}
        self._run_for(load, INSERT_COUNTS, INSERT_SEGMENT, values, "", lambda: self._are_recorded([load]))

    def correct(self, load: SegmentLoad) -> None:
        """Raise the counts of a recorded segment, and then its row of `_segments`, to those of `load`.

        Neither is ever lowered: of two workers the one that had fewer rows rejected has the last word. The segment
        counts as loaded now: whoever asks what was loaded since then, as incremental models do, finds the rows.
        """
        refused = len(load.row_errors)
        self._run_for(
            load,
            CORRECT_COUNTS,
            CORRECT_SEGMENT,
            {},
            f"-{refused}",
            lambda: self._refused(load) <= refused,
        )

    def _refused(self, load: SegmentLoad) -> int:
        sql = f"""SELECT refused FROM `{self._name}.{SEGMENTS.name}`
WHERE minute = @minute AND segment_id = @id"""
        rows = self._jobs.query(sql, minute=load.minute, id=load.segment.id)
        return min(int(row["refused"]) for row in rows)

    def _run_for(
        self,
        load: SegmentLoad,
        counts_sql: str,
        segment_sql: str,
        values: Mapping[str, Any],
        part: str,
        is_done: Callable[[], bool],
    ) -> None:
        """Run a statement for the counts of a segment, if it has any, and then one for its row."""
        segment, windows = load.segment, load.window_counts
        values = {
            **values,
            "id": segment.id,
            "minute": load.minute,
            "events": load.events,
            "refused": len(load.row_errors),
            "ingested_at": load.ingested_at,
        }
        sql = segment_sql
        parameters = [structs("refusals", {"line": "INT64", "reason": "STRING"}, load.row_errors)]
        if windows and segment.event_type != DEAD_LETTER:
            sql = counts_sql + segment_sql
            parameters.append(window_structs("windows", windows, segment.event_type))
            values["first"], values["last"] = (from_micros(windows[at].window_start) for at in (0, -1))
        parameters += [parameter(name, value) for name, value in values.items()]
        self._run(
            f"sluice-{self._dataset}-{SEGMENTS.name}-{segment.id}{part}",
            sql,
            parameters,
            is_done,
            f"to record segment {segment.id}",
        )

    def _run(
        self, job_id: str, sql: str, parameters: Sequence[Any], is_done: Callable[[], bool], expected: str
    ) -> None:
        """Run a script of insertions once."""
        from google.cloud.bigquery import QueryJobConfig

        text = sql.format(
            counts=f"{self._name}.{WINDOW_COUNTS.name}", segments=f"{self._name}.{SEGMENTS.name}"
        )
        config = QueryJobConfig(query_parameters=list(parameters))
        failure = self._jobs.run(
            job_id,
            lambda name: self._jobs.client.query(
                text, job_config=config, job_id=name, **self._jobs.retry, job_retry=None
            ),
            is_done,
            expected,
        )
        if failure is not None:
            message = f"{self._name}: expected {expected}: {failure.get('message')}"
            raise WarehouseError(message)


def _segment_row(load: SegmentLoad) -> tuple[Any, ...]:
    """Return the values of `_SEGMENT`."""
    segment = load.segment
    return segment.id, segment.event_type, segment.path, load.minute, load.ingested_at, load.events


def _window_rows(load: SegmentLoad) -> list[tuple[Any, ...]]:
    """Return the values of `_WINDOW` of each window; dead letters are not counted."""
    segment = load.segment
    return [
        (
            segment.id,
            count.event_type or segment.event_type,
            from_micros(count.window_start),
            from_micros(count.window_end),
            count.events,
        )
        for count in load.window_counts
        if segment.event_type != DEAD_LETTER
    ]
