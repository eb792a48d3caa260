"""Contracts: the columns of their table."""

from __future__ import annotations

from pathlib import Path

from sluice.contracts import Property, load_contract

from tests.contracts.sale import YAML, write


def test_members_of_a_flattened_object_are_columns(tmp_path: Path) -> None:
    old = "properties: [{name: id, logicalType: string}]"
    new = "properties: [{name: mail, logicalType: string, required: true}]"
    flat = f"customProperties: [{{property: flatten, value: true}}], {new}"
    contract = load_contract(write(tmp_path, YAML.replace(old, flat)))
    nested = Property(
        "buyer", "object", properties=(Property("mail", "string", required=True),), flatten=True
    )
    assert contract.properties[11] == nested
    assert contract.columns[11] == Property("mail", "string")
    assert len(contract.columns) == len(contract.properties)
