"""ODCS documents: YAML and keys that the standard does not allow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sluice.contracts import load_contract
from sluice.errors import ContractError

from tests.contracts.sale import YAML, write

MISTAKES = [
    ("DataContract", "Contract", "kind: expected DataContract, got 'Contract'"),
    ("id: shop-sale", "id: [a]", "id: input should be a valid string, got ['a']"),
    (
        "id: shop-sale",
        "id: x\nid: y",
        "line 4, column 1: expected YAML, got a mistake: the key 'id' is given twice, first in line 3; "
        "remove one",
    ),
    (
        "id: shop-sale",
        "id: 'x",
        "line 31, column 1: expected YAML, got a mistake: found unexpected end of stream",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_mistake_is_reported_with_file_key_and_fix(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in YAML
    path = write(tmp_path, YAML.replace(old, new, 1))
    with pytest.raises(ContractError) as raised:
        load_contract(path)
    assert str(raised.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("domain: shop", "domain: shop\nowner: me", "owner"),
        ("name: sale\n", "name: sale\n    table: x\n", "schema[0].table"),
        ("name: due, ", "name: due, nullable: true, ", "schema[0].properties[7].nullable"),
        ("{value: a}", "{valeu: a}", "schema[0].properties[8].enum[0].valeu"),
        ("items: {", "items: {min: 3, ", "schema[0].properties[12].items.min"),
        ("to: products.id", "too: products.id", "schema[0].properties[13].relationships[0].too"),
        ("domain: shop", "domain: shop\nteam: {nam: x}", "team.nam"),
    ],
)
def test_unknown_key_is_rejected_at_any_depth(tmp_path: Path, old: str, new: str, where: str) -> None:
    path = write(tmp_path, YAML.replace(old, new, 1))
    with pytest.raises(
        ContractError, match=f"^{re.escape(f'{path}: {where}: unknown key; expected one of ')}"
    ):
        load_contract(path)
