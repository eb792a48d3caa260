"""Where the records of a batch came from, as tests look at it."""

from __future__ import annotations

from sluice.elements import RecordBatch
from sluice.provenance import Origin


def origins_of(batch: RecordBatch) -> list[Origin]:
    return [batch.origin(index) for index in range(len(batch.records))]


def offsets_of(batch: RecordBatch) -> list[int]:
    return [origin.offset for origin in origins_of(batch) if origin.offset is not None]


def message_ids_of(batch: RecordBatch) -> list[str]:
    return [origin.message_id for origin in origins_of(batch) if origin.message_id is not None]
