"""The tables of a job: whether they are as its contracts want them, and what is done where they are not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sluice.config.job import Job
from sluice.contracts import Contract, path_text
from sluice.errors import ConfigError
from sluice.warehouses import Warehouse
from sluice.warehouses.own_tables import LOADED_AS, own_contracts
from sluice.warehouses.schema_diff import Difference, missing_columns, without_columns


def contracts_of(job: Job) -> list[Contract]:
    """Return the contracts whose tables the warehouse of `job` holds, those of Sluice itself last."""
    events = job.contracts.values() if "events" in job.load else ()
    return [*events, *(own for own in own_contracts() if LOADED_AS[own.event_type] in job.load)]


def fit_to_table(warehouse: Warehouse, contracts: Sequence[Contract]) -> list[Contract]:
    """Return each contract as its table takes it: without optional columns that the table does not have.

    What such a column would hold is then in `_extra`. The tables must be there.

    Raises:
        ConfigError: rows of a contract cannot be loaded into its table.
        WarehouseError: the warehouse cannot be reached.

    """
    fitted = []
    for contract, found in with_differences(warehouse, contracts):
        differences = found or []
        incompatible = [difference for difference in differences if difference.effect == "incompatible"]
        if incompatible:
            where = contract.path or contract.label
            more = (
                f" ({len(incompatible) - 1} more: see sluice tables --diff)" if len(incompatible) > 1 else ""
            )
            message = f"{where}: table {incompatible[0]}; alter the table, or load into another one{more}"
            raise ConfigError(message)
        fitted.append(without_columns(contract, missing_columns(differences)))
    return fitted


def with_differences(
    warehouse: Warehouse, contracts: Sequence[Contract]
) -> Iterable[tuple[Contract, list[Difference] | None]]:
    """Return each contract with how its table differs, see `Warehouse.differences`; None if there is no table.

    Raises:
        WarehouseError: the warehouse cannot be reached.

    """
    return zip(contracts, warehouse.differences(contracts), strict=True)


@dataclass(frozen=True, slots=True)
class Changes:
    """What was done to the tables of a job, and how they still differ."""

    applied: Sequence[str]
    remaining: Sequence[str]


def create_tables(warehouse: Warehouse, contracts: Sequence[Contract]) -> Changes:
    """Create the tables that are missing; others stay as they are."""
    missing = [
        contract for contract, differences in with_differences(warehouse, contracts) if differences is None
    ]
    warehouse.prepare(contracts)
    return Changes([f"{contract.table}: created" for contract in missing], [])


def compare_tables(warehouse: Warehouse, contracts: Sequence[Contract]) -> Changes:
    """Change nothing; tell how the tables differ."""
    remaining: list[str] = []
    for contract, differences in with_differences(warehouse, contracts):
        remaining += [f"{contract.table}: no such table"] if differences is None else map(str, differences)
    return Changes([], remaining)


def apply_contracts(warehouse: Warehouse, contracts: Sequence[Contract]) -> Changes:
    """Create tables that are missing and add columns that may be null; nothing else is ever changed.

    A table that a run could not load into is left alone.
    """
    applied = list(create_tables(warehouse, contracts).applied)
    remaining: list[str] = []
    for contract, found in with_differences(warehouse, contracts):
        differences = found or []
        usable = all(difference.effect != "incompatible" for difference in differences)
        if usable and (paths := missing_columns(differences)):
            warehouse.add_columns(contract, paths)
            differences = warehouse.differences([contract])[0] or []
            added = set(paths) - set(missing_columns(differences))
            applied += [f"{contract.table}.{path_text(path)}: added" for path in paths if path in added]
        remaining += [
            f"{difference}: {_why_remaining(difference, usable=usable)}" for difference in differences
        ]
    return Changes(applied, remaining)


def _why_remaining(difference: Difference, *, usable: bool) -> str:
    if difference.effect == "addable":
        return (
            "the warehouse was asked to add it, and has not"
            if usable
            else "not added, as no run can load into this table"
        )
    works = "a run works" if difference.effect == "tolerated" else "no run can load"
    return f"left, as only columns that may be null are added; {works}"
