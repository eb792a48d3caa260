"""Fill a column that `sluice tables --apply` has added, in the rows that were loaded before."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sluice.clock import Clock, system_clock
from sluice.config.job import Job
from sluice.contracts import EXTRA_COLUMN, Contract
from sluice.elements import Segment
from sluice.errors import ConfigError, quote
from sluice.eventlog.log import EventLog
from sluice.eventlog.type_log import TypeLog
from sluice.graph.segment_loader import DAY_LOAD_BYTES, SegmentConverter
from sluice.storage import open_store
from sluice.tooling.tables import fit_to_table
from sluice.warehouses import Warehouse, open_warehouse
from sluice.warehouses.segment_load import SegmentLoad
from sluice.warehouses.segment_records import (
    SegmentRecord,
    absolute,
    changed_segment,
    is_below,
    missing_segment,
)

_LOGGER = logging.getLogger("sluice")

_SEGMENTS_AT_ONCE = 300


@dataclass(slots=True)
class FilledColumn:
    """How many rows of a table were filled; `unfit` have a value in `_extra` that its column does not take.

    `other_logs` are segments that were loaded from the event logs of other jobs, whose rows stay as they are.
    """

    table: str
    column: str
    rows: int = 0
    unfit: int = 0
    other_logs: int = 0


def backfill_column(job: Job, column: str, clock: Clock = system_clock) -> list[FilledColumn]:
    """Fill `column` of each table of `job` that has it: the rows that lack it become what the event log says now.

    Safe to repeat, and to interrupt: what is filled stays, and is not filled again.

    Raises:
        ConfigError: no contract has such a column, a table lacks it, or no row is to be filled.
        StorageError: the event log lacks a segment that is loaded, or has another one in its place.
        WarehouseError: it cannot be reached, or rejects the rows as they are now.

    """
    warehouse = open_warehouse(job.warehouse)
    contracts = _contracts_with(job, column)
    for contract in contracts:
        _check_column(warehouse, contract, column, job)
    log = EventLog(
        open_store(job.files), {name: TypeLog.of(contract) for name, contract in job.contracts.items()}
    )
    fills = [
        _fill(warehouse, log, job, contract, column, clock) for contract in fit_to_table(warehouse, contracts)
    ]
    if not any(fill.rows or fill.unfit for fill in fills):
        tables = ", ".join(fill.table for fill in fills)
        message = (
            f"--backfill: expected rows of {tables} that lack {column} and have it in {EXTRA_COLUMN}, got none: there "
            "is nothing to fill"
        )
        raise ConfigError(message)
    return fills


def _contracts_with(job: Job, column: str) -> list[Contract]:
    """Return the contracts whose tables may have older rows without a value of `column`."""
    optional = {
        name: [prop.name for prop in contract.properties if not prop.required]
        for name, contract in job.contracts.items()
        if "events" in job.load
    }
    contracts = [job.contracts[name] for name, columns in optional.items() if column in columns]
    if not contracts:
        known = ", ".join(sorted({name for columns in optional.values() for name in columns})) or "none"
        where = f"--backfill: expected an optional property of the contracts of {job.path}"
        message = f"{where} ({known}), got {quote(column)}"
        raise ConfigError(message)
    return contracts


def _check_column(warehouse: Warehouse, contract: Contract, column: str, job: Job) -> None:
    (differences,) = warehouse.differences([contract])
    if differences is None or any(
        difference.path == (column,) and difference.effect == "addable" for difference in differences
    ):
        message = (
            f"--backfill: expected the column {contract.table}.{column} in the warehouse, got none; run sluice tables "
            f"{job.path} --apply first"
        )
        raise ConfigError(message)


def _fill(
    warehouse: Warehouse, log: EventLog, job: Job, contract: Contract, column: str, clock: Clock
) -> FilledColumn:
    filled = FilledColumn(contract.table, column)
    converter = SegmentConverter(job, {contract.event_type: contract})
    loads: list[SegmentLoad] = []
    size = 0
    for record in _loaded(warehouse, contract.event_type):
        segment = _segment_of(log, record)
        if segment is None:
            filled.other_logs += 1
            continue
        now = datetime.fromtimestamp(clock(), UTC)
        load = converter.convert(segment, log.appended_at(segment.path), now).load
        filled.unfit += _unfit(warehouse, load, record)
        loads.append(load)
        size += segment.size
        if size >= DAY_LOAD_BYTES or len(loads) == _SEGMENTS_AT_ONCE:
            filled.rows += warehouse.fill_column(loads, column)
            loads, size = [], 0
    if loads:
        filled.rows += warehouse.fill_column(loads, column)
    if filled.other_logs:
        _LOGGER.warning(
            "%s.%s: %d segments of other event logs than %s stay as they were; run this with their jobs as well",
            filled.table,
            column,
            filled.other_logs,
            log.store.url(""),
        )
    return filled


def _unfit(warehouse: Warehouse, load: SegmentLoad, record: SegmentRecord) -> int:
    """Return how many lines of a segment are rows in the table that the contract does not take as they are now."""
    lines = {line for line, _ in load.row_errors}
    if lines and record.row_errors:
        lines -= {line for line, _ in warehouse.row_errors(record.id, load.segment.minute) or ()}
    return len(lines)


def _loaded(warehouse: Warehouse, event_type: str) -> Iterator[SegmentRecord]:
    for page in warehouse.segment_records():
        yield from (record for record in page if record.event_type == event_type)


def _segment_of(log: EventLog, record: SegmentRecord) -> Segment | None:
    """Return a loaded segment, also of a log that was moved since; None if it is one of another log.

    Raises:
        StorageError: it was loaded from this log, which has it no longer, or another one in its place.

    """
    path = log.find(record.event_type, record.path)
    segment = None if path is None else log.read(path)
    if segment is not None and segment.id == record.id:
        return segment
    if not is_below(absolute(record.path), absolute(log.store.url(""))):
        return None
    if segment is None:
        raise missing_segment(record.path, record.id)
    raise changed_segment(segment.path, record.id, segment.id)
