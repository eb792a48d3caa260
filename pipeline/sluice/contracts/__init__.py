"""Data contracts: ODCS YAML in, frozen `Contract` objects out. The contract is the only schema."""

from sluice.contracts.model import (
    INT64_MAX,
    INT64_MIN,
    SALVAGE_RULES,
    SCALAR_KINDS,
    Contract,
    Identity,
    Kind,
    Property,
    Protect,
    Scalar,
    Span,
    load_contract,
    load_contracts,
)

__all__ = [
    "INT64_MAX",
    "INT64_MIN",
    "SALVAGE_RULES",
    "SCALAR_KINDS",
    "Contract",
    "Identity",
    "Kind",
    "Property",
    "Protect",
    "Scalar",
    "Span",
    "load_contract",
    "load_contracts",
]
