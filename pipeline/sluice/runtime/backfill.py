"""Fill a column that `sluice tables --apply` has added, in the rows that were loaded before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sluice.clock import Clock, system_clock
from sluice.config.job import Job
from sluice.contracts import EXTRA_COLUMN, Contract
from sluice.errors import ConfigError, StorageError, quote
from sluice.eventlog.log import EventLog
from sluice.eventlog.type_log import TypeLog
from sluice.graph.segment_loader import DAY_LOAD_BYTES, SegmentConverter
from sluice.storage import open_store
from sluice.tooling.tables import fit_to_table
from sluice.warehouses import Warehouse, open_warehouse
from sluice.warehouses.segment_load import SegmentLoad
from sluice.warehouses.segment_records import SegmentRecord, changed_segment

_SEGMENTS_AT_ONCE = 300


@dataclass(slots=True)
class FilledColumn:
    """How many rows of a table were filled; `unfit` have a value in `_extra` that its column does not take."""

    table: str
    column: str
    rows: int = 0
    unfit: int = 0


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
    filled = [
        _fill(warehouse, log, job, contract, column, clock) for contract in fit_to_table(warehouse, contracts)
    ]
    if not any(each.rows or each.unfit for each in filled):
        tables = ", ".join(each.table for each in filled)
        message = (
            f"--backfill: expected rows of {tables} that lack {column} and have it in {EXTRA_COLUMN}, got none: there "
            "is nothing to fill"
        )
        raise ConfigError(message)
    return filled


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
    differences = warehouse.differences(contract)
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
        segment = log.read(_path_of(log, record))
        if segment.id != record.id:
            raise changed_segment(segment.path, record.id, segment.id)
        now = datetime.fromtimestamp(clock(), UTC)
        load = converter.convert(segment, log.appended_at(segment.path), now).load
        filled.unfit += max(0, len(load.row_errors) - record.row_errors)
        loads.append(load)
        size += segment.size
        if size >= DAY_LOAD_BYTES or len(loads) == _SEGMENTS_AT_ONCE:
            filled.rows += warehouse.fill_column(loads, column)
            loads, size = [], 0
    if loads:
        filled.rows += warehouse.fill_column(loads, column)
    return filled


def _loaded(warehouse: Warehouse, event_type: str) -> Iterator[SegmentRecord]:
    for page in warehouse.segment_records():
        yield from (record for record in page if record.event_type == event_type)


def _path_of(log: EventLog, record: SegmentRecord) -> str:
    path = log.find(record.event_type, record.path)
    if path is None:
        message = f"{record.path}: expected the file of segment {record.id}, got none; restore it"
        raise StorageError(message)
    return path
