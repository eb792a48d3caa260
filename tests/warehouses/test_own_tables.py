from __future__ import annotations

from sluice.contracts.reserved import OWN_TABLES
from sluice.warehouses.own_tables import LOADED_AS, own_contracts


def test_own_tables_are_those_of_the_own_contracts() -> None:
    contracts = own_contracts()
    assert tuple(contract.table for contract in contracts) == OWN_TABLES
    assert [contract.event_type for contract in contracts] == list(LOADED_AS)
