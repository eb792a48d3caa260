"""How the tables of a job differ from its contracts."""

from __future__ import annotations

from typing import cast

from sluice.config.job import Job
from sluice.errors import ConfigError
from sluice.tooling.monitors.results import Result
from sluice.tooling.monitors.tables import Tables
from sluice.tooling.tables import contracts_of, with_differences
from sluice.warehouses import Warehouse


def judge_drift(job: Job | None, tables: Tables) -> list[Result]:
    """Return a verdict for each table of a job: usual, or one for each difference from its contract.

    Raises:
        ConfigError: there is no job.
        WarehouseError: the warehouse cannot be reached.

    """
    if job is None:
        message = "expected a job, whose tables are compared, got none; add job"
        raise ConfigError(message)
    warehouse = cast(Warehouse, tables)
    results = []
    for contract, differences in with_differences(warehouse, contracts_of(job)):
        said = ["there is no such table"] if differences is None else list(map(str, differences))
        results += [_drifted(contract.table, text) for text in said]
        if not said:
            results.append(Result(metric=contract.table, day=None, kind=None))
    return results


def _drifted(table: str, said: str) -> Result:
    return Result(
        metric=table,
        day=None,
        kind="drift",
        severity=1.0,
        explanation=f"table {table} differs from its contract: {said}",
    )
