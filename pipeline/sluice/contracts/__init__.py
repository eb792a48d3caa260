"""Data contracts: ODCS YAML in, frozen `Contract` objects out. The contract is the only schema."""

from sluice.contracts.model import (
    INT64_MAX,
    INT64_MIN,
    REPAIR_RULES,
    SCALAR_KINDS,
    Contract,
    Identity,
    Kind,
    LogPartition,
    Mask,
    Property,
    Scalar,
    load_contract,
    load_contracts,
)

__all__ = [
    "INT64_MAX",
    "INT64_MIN",
    "REPAIR_RULES",
    "SCALAR_KINDS",
    "Contract",
    "Identity",
    "Kind",
    "Property",
    "Mask",
    "Scalar",
    "LogPartition",
    "load_contract",
    "load_contracts",
]
