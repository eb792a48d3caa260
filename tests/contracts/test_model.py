"""Contracts: the columns of their table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sluice.contracts import Identity, Property, load_contract

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


@pytest.mark.parametrize(
    ("identity", "finds_conflicts"),
    [("content", False), ("properties", True), ("delivery", True), ("export", False)],
)
def test_events_of_one_key_can_differ_unless_the_key_is_their_content(
    identity: Identity, finds_conflicts: bool
) -> None:
    contract = replace(load_contract("schemas/backend_events/order.odcs.yaml"), identity=identity)
    assert contract.finds_conflicts is finds_conflicts
