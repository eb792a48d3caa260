"""Markers of the embedded warehouse: a segment is loaded if its marker exists."""

from __future__ import annotations

import pyarrow as pa

from sluice.arrow.schema import TIMESTAMP
from sluice.warehouses.segment_load import SegmentLoad
from sluice.warehouses.segment_records import SegmentRecord

MARKER = pa.schema(
    {
        "segment_id": pa.string(),
        "event_type": pa.string(),
        "path": pa.string(),
        "minute": TIMESTAMP,
        "ingested_at": TIMESTAMP,
        "window_start": TIMESTAMP,
        "window_end": TIMESTAMP,
        "events": pa.int64(),
        "counted_as": pa.string(),
        "refused": pa.list_(pa.struct({"line": pa.int64(), "reason": pa.string()})),
    }
)
"""A marker: one row for each window of the segment, or one without a window. `refused` is in the first."""


RECORDED = ("segment_id", "event_type", "path", "events", "refused")
"""Columns of a marker that a SegmentRecord is made of."""


def marker_rows(load: SegmentLoad) -> pa.Table:
    """Return the rows of the marker of a loaded segment."""
    segment = load.segment
    common = {
        "segment_id": segment.id,
        "event_type": segment.event_type,
        "path": segment.path,
        "minute": load.minute,
        "ingested_at": load.ingested_at,
    }
    counts: list[dict[str, object]] = [
        {
            "window_start": count.window_start,
            "window_end": count.window_end,
            "events": count.events,
            "counted_as": count.event_type or segment.event_type,
        }
        for count in load.window_counts
    ] or [{"events": load.events}]
    counts[0]["refused"] = [{"line": line, "reason": reason} for line, reason in load.row_errors]
    return pa.Table.from_pylist([common | count for count in counts], MARKER)


def segment_record(rows: pa.Table) -> SegmentRecord | None:
    """Return what a marker says of its segment, from its RECORDED columns; None if it has no rows."""
    if not rows.num_rows:
        return None
    segment_id, event_type, path = (rows[name][0].as_py() for name in RECORDED[:3])
    refused = sum(len(lists.flatten()) for lists in rows["refused"].chunks)
    return SegmentRecord(segment_id, event_type, path, sum(rows["events"].to_pylist()), refused)
