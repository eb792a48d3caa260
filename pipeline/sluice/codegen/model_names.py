"""The names that the contracts of all domains get in one dbt project, where each must be there once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sluice.codegen.dbt import model_name
from sluice.codegen.dbt_latest import has_latest, latest_name
from sluice.contracts import Contract


def model_name_problems(contracts: Iterable[Contract]) -> Iterator[str]:
    """Yield a line for each contract that makes a model or a macro of the name that another one makes.

    dbt, and the file systems of some machines, do not tell names apart that differ in case alone.
    """
    owners: dict[str, Contract] = {}
    for contract in contracts:
        names = [("macro", f"{model_name(contract.domain, contract)}_columns")]
        if has_latest(contract):
            names.append(("model", latest_name(contract)))
        for what, name in names:
            owner = owners.setdefault(name.casefold(), contract)
            if owner is not contract:
                yield (
                    f"{contract.path}: {contract.event_type}: expected a dbt {what} of its own, got {name}, which "
                    f"{owner.event_type} ({owner.path}) has as well; rename one event type"
                )
