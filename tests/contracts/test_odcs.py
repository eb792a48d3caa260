"""ODCS documents: YAML and keys that the standard does not allow."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from sluice.contracts import load_contract, load_contracts
from sluice.contracts.odcs_document import SchemaProperty
from sluice.errors import ContractError

from tests.contracts.sale import HEAD, YAML, P, write

MISTAKES = [
    ("DataContract", "Contract", "kind: expected DataContract, got 'Contract'"),
    ("id: shop-sale", "id: [a]", "id: expected a text, got ['a']"),
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
    ("old", "new", "problem"),
    [
        ("domain: shop", "domain: shop\nowner: me", "owner: unknown key; expected one of "),
        ("domain: shop", "doman: shop", "doman: unknown key; did you mean domain?"),
        ("name: sale\n", "name: sale\n    table: x\n", "schema[0].table: unknown key; expected one of "),
        (
            "name: due, ",
            "name: due, nullable: true, ",
            "schema[0].properties[7].nullable: unknown key; expected one of ",
        ),
        (
            "{value: a}",
            "{valeu: a}",
            "schema[0].properties[8].enum[0].valeu: unknown key; did you mean value?",
        ),
        ("items: {", "items: {min: 3, ", "schema[0].properties[12].items.min: unknown key; expected one of "),
        (
            "to: products.id",
            "too: products.id",
            "schema[0].properties[13].relationships[0].too: unknown key; did you mean to?",
        ),
    ],
)
def test_unknown_key_is_rejected_at_any_depth(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = write(tmp_path, YAML.replace(old, new, 1))
    with pytest.raises(ContractError, match=f"^{re.escape(f'{path}: {problem}')}"):
        load_contract(path)


@pytest.mark.parametrize(
    "described",
    ["team: {nam: x}", "price: {priceAmount: much}", "servers: [{server: a, topic: b}]", "roles: [[x]]"],
)
def test_what_only_describes_the_data_may_be_in_the_words_of_other_tools(
    tmp_path: Path, described: str
) -> None:
    path = write(tmp_path, YAML.replace("domain: shop", f"domain: shop\n{described}", 1))
    assert load_contract(path).event_type == "sale"


@pytest.mark.parametrize("version", ["v3.0.0", "v3.0.2", "v3.1.0", "v3.2.0", "v3.2.7"])
def test_versions_of_the_standard_with_the_same_keys_are_read(tmp_path: Path, version: str) -> None:
    assert load_contract(write(tmp_path, YAML.replace("v3.2.0", version))).event_type == "sale"


@pytest.mark.parametrize("version", ["v2.2.2", "v3.3.0", "v3.0", "3.0.2", "v3.0.0-preview", "4"])
def test_other_versions_of_the_standard_are_refused(tmp_path: Path, version: str) -> None:
    path = write(tmp_path, YAML.replace("v3.2.0", version))
    with pytest.raises(ContractError) as raised:
        load_contract(path)
    got = version if version == "4" else repr(version)
    assert str(raised.value) == f"{path}: apiVersion: expected v3.0, v3.1 or v3.2, as in v3.2.0, got {got}"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("name: due, ", "name: due, required: maybe, ", "expected true or false, got 'maybe'"),
        ("name: due, ", "name: due, tags: x, ", "expected a list, got 'x'"),
        ("name: due, ", "name: due, tags: [[x]], ", "expected a text, got ['x']"),
        ("name: due, ", "name: due, primaryKeyPosition: first, ", "expected an integer, got 'first'"),
        ("name: due, ", "name: due, logicalTypeOptions: 1, ", "expected keys and values, got 1"),
        ("name: due, ", "name: due, primaryKeyPosition: 1.5, ", "expected an integer, got 1.5"),
        ("name: due, ", "name: due, unique: 2, ", "expected true or false, got 2"),
        (
            "name: due, ",
            "name: due, enum: [a], ",
            "schema[0].properties[7].enum[0]: expected keys and values, got 'a'",
        ),
        ("name: due, ", "name: due, map: [], ", "expected keys and values, got []"),
        (
            "name: due, ",
            "name: due, tags: [~], ",
            "schema[0].properties[7].tags[0]: expected a text, got nothing",
        ),
        ("to: products.id", "to: 5", "schema[0].properties[13].relationships[0].to: expected a text, got 5"),
        (
            "to: products.id",
            "to: [5]",
            "schema[0].properties[13].relationships[0].to[0]: expected a text, got 5",
        ),
    ],
)
def test_wrong_kind_of_value_is_reported_in_our_own_words(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    path = write(tmp_path, YAML.replace(old, new, 1))
    with pytest.raises(ContractError) as raised:
        load_contract(path)
    assert str(raised.value).endswith(f": {problem}")


BOOLEANS = [field.name for field in msgspec.structs.fields(SchemaProperty) if field.type == bool | None]


@pytest.mark.parametrize("key", BOOLEANS)
@pytest.mark.parametrize(
    ("value", "got"),
    [
        ("[true]", "[True]"),
        ("{a: 1}", "a mapping"),
        ("1", "1"),
        ("0.0", "0.0"),
        ("'y'", "'y'"),
        ("'1'", "'1'"),
    ],
)
def test_where_a_boolean_belongs_nothing_else_is_taken(
    key: str, value: str, got: str, tmp_path: Path
) -> None:
    assert "required" in BOOLEANS
    value = "{name: due, logicalType: date, %s: %s}" % (key, value)
    path = write(tmp_path, YAML.replace("{name: due, logicalType: date}", value, 1))
    with pytest.raises(ContractError) as raised:
        load_contract(path)
    assert str(raised.value) == f"{path}: {P}[7].{key}: expected true or false, got {got}"


def test_booleans_and_integers_may_be_texts_as_other_tools_write_them(tmp_path: Path) -> None:
    text = YAML.replace("name: due, ", "name: due, required: 'True', primaryKeyPosition: '-1', ", 1)
    due = next(prop for prop in load_contract(write(tmp_path, text)).properties if prop.name == "due")
    assert due.required


def test_keys_that_have_no_effect_are_noted_once_each(tmp_path: Path) -> None:
    text = YAML.replace(
        "domain: shop", "domain: shop\ntags: [a]\nservers: [{server: x, type: kafka}]\nroles: []", 1
    )
    text = text.replace(
        "name: due, ", "name: due, primaryKey: true, primaryKeyPosition: -1, partitioned: false, "
    )
    text = text.replace("name: paid, ", "name: paid, primaryKey: true, quality: [{metric: nullValues}], ")
    notes: list[str] = []
    path = write(tmp_path, text)
    load_contracts(path, notes)
    assert notes == [
        f"{path}: schema[0].properties[6].primaryKey: primaryKey is not used by Sluice",
        f"{path}: schema[0].properties[6].quality: quality is not used by Sluice",
        f"{path}: servers: servers is not used by Sluice",
    ]


def test_custom_properties_of_other_tools_are_noted(tmp_path: Path) -> None:
    notes: list[str] = []
    path = write(
        tmp_path,
        YAML.replace(
            "- {property: eventTime", "- {property: business-key, value: [id]}\n      - {property: eventTime"
        ),
    )
    load_contracts(path, notes)
    assert notes == [f"{path}: schema[0].customProperties[0].property: business-key is not used by Sluice"]


def test_contract_without_domain_and_tables_is_named_by_its_folder_and_its_types(tmp_path: Path) -> None:
    text = YAML.replace("domain: shop\n", "").replace("    physicalName: sales\n", "")
    folder = tmp_path / "my shop"
    folder.mkdir()
    notes: list[str] = []
    path = write(folder, text)
    (contract,) = load_contracts(path, notes).values()
    assert (contract.domain, contract.table) == ("my_shop", "sale")
    assert notes == [
        f"{path}: domain: is my_shop, as the folder of the file, since the contract names none",
    ]


def test_name_of_a_topic_is_not_that_of_a_table(tmp_path: Path) -> None:
    notes: list[str] = []
    path = write(
        tmp_path, YAML.replace("physicalName: sales", "physicalName: sales.avro.v1\n    physicalType: topic")
    )
    assert load_contracts(path, notes)["sale"].table == "sale"
    assert notes == [
        f"{path}: schema[0].physicalName: is that of a topic, so its table is called sale, as the event type"
    ]


@pytest.mark.parametrize(
    ("schema", "note"),
    [
        ("schema: []\n", "schema: is empty, so no record has this contract"),
        ("", "schema: is empty, so no record has this contract"),
        ("schema: [{name: x}]\n", "schema[0]: has no properties, so its records are not known"),
    ],
)
def test_contract_without_properties_describes_no_record(tmp_path: Path, schema: str, note: str) -> None:
    notes: list[str] = []
    path = write(tmp_path, HEAD.partition("schema:")[0] + schema)
    assert load_contracts(path, notes) == {}
    assert notes == [f"{path}: {note}"]
