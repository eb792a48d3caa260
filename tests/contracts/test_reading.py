"""Contracts from YAML: settings of an event type, files and folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from sluice.contracts import load_contract, load_contracts
from sluice.errors import ContractError

from tests.contracts.sale import HEAD, YAML, C, P, write

MISTAKES = [
    (
        "name: due",
        "name: _due",
        f"{P}[7].name: '_due' begins with an underscore, which is reserved for Sluice; rename it",
    ),
    (
        "eventTime, value: at",
        "eventTime, value: due",
        f"{C}.eventTime: expected a required timestamp (at), got 'due'",
    ),
    (
        "timestamp, required: true",
        "timestamp",
        f"{C}.eventTime: expected a required timestamp (no property is one), got 'at'",
    ),
    (
        "value: properties}",
        "value: id}",
        f"{C}.identity: expected one of content, properties, delivery, export, got 'id'",
    ),
    (
        ", unique: true",
        "",
        f"{C}.identity: expected a property with `unique: true` for identity properties, got none",
    ),
    (
        ", required: true, unique: true",
        ", unique: true",
        f"{C}.identity: expected unique properties to be required, got optional id",
    ),
    (
        "[shop, id]",
        "[shop, tags]",
        f"{C}.clusterBy: expected some of id, at, shop, count, price, paid, due, kind,"
        " level, product, got 'tags'",
    ),
    (
        "[shop, id]",
        "[shop, shop]",
        f"{C}.clusterBy: expected at most 4 different names, got ['shop', 'shop']",
    ),
    (
        "property: clusterBy",
        "property: cluster",
        f"{C}[2].property: 'cluster' is not known; did you mean clusterBy?",
    ),
    (
        "{property: clusterBy, value: [shop, id]}",
        "{property: logPartition, value: week}",
        f"{C}.logPartition: expected one of minute, hour, day, got 'week'",
    ),
    (
        "{property: clusterBy, value: [shop, id]}",
        "{property: eventTimeDefault, value: now}",
        f"{C}.eventTimeDefault: expected one of arrival, got 'now'",
    ),
    (
        "{property: clusterBy, value: [shop, id]}",
        "{property: onConflict, value: keep_last}",
        f"{C}.onConflict: expected one of keep_first, keep_both, got 'keep_last'",
    ),
    (
        "{property: identity, value: properties}",
        "{property: onConflict, value: keep_both}",
        f"{C}.onConflict: expected identity properties, whose events can conflict, got content; remove this key",
    ),
    (
        "{property: eventTime, value: at}",
        "{property: eventTimeDefault, value: arrival}",
        f"{C}.eventTime: expected the timestamp that `eventTimeDefault` fills, got nothing",
    ),
    (
        "{property: clusterBy, value: [shop, id]}",
        "{property: repair, value: text_around}",
        f"{C}.repair: expected a list of rules, got 'text_around'",
    ),
    (
        "{property: clusterBy, value: [shop, id]}",
        "{property: repair, value: [text_around, text_around]}",
        f"{C}.repair[1]: 'text_around' is listed twice; remove one",
    ),
    (
        "{property: clusterBy, value: [shop, id]}",
        "{property: repair, value: [guess]}",
        f"{C}.repair[0]: expected one of text_around, single_quotes, bare_words, literals, trailing_commas,"
        " missing_commas, missing_braces, cut_off, control_characters, key_value, escaped, or name and pattern of"
        " a rule with another name, got 'guess'",
    ),
    (
        "{property: clusterBy, value: [shop, id]}",
        "{property: repair, value: [{name: own, pattern: '('}]}",
        f"{C}.repair[0].pattern: expected a regular expression of RE2, got '(': missing ): (; RE2 has no look-around"
        r" and no back-references; write what stands there, as in (?:\W|$)",
    ),
    (
        "{property: clusterBy, value: [shop, id]}",
        "{property: repair, value: [{name: own, pattern: '(?P<color>.)'}]}",
        f"{C}.repair[0].pattern: expected groups, named as some of id, at, shop, count, price, weight, paid, due,"
        " kind, level, extra, buyer, tags, product; got color",
    ),
    (
        "properties: [{name: id, logicalType: string}]",
        "customProperties: [{property: flatten, value: true}], properties: [{name: Id, logicalType: string}]",
        f"{P}[11]: 'Id' cannot be a column: reserved for Sluice, or used by {P}[0]; rename it",
    ),
    (
        "value: [finance]",
        "value: finance",
        "customProperties.consumers: expected a list of names, got 'finance'",
    ),
    (
        "physicalName: sales",
        "physicalName: 1-sales",
        "schema[0].physicalName: expected letters, digits and '_', at most 128, beginning with a letter, got '1-sales'",
    ),
    (
        "name: sale\n",
        "name: ../sale\n",
        "schema[0].name: expected letters, digits, '_', '-' and '.', at most 128, beginning with a letter or digit"
        " and not ending with a dot, got '../sale'",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_mistake_is_reported_with_file_key_and_fix(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in YAML
    path = write(tmp_path, YAML.replace(old, new, 1))
    with pytest.raises(ContractError) as raised:
        load_contract(path)
    assert str(raised.value) == f"{path}: {message}"


def test_custom_properties_of_schema_and_properties_are_read(tmp_path: Path) -> None:
    own = "{name: own, pattern: '(?P<shop>.)'}"
    said = f"""\
      - {{property: logPartition, value: day}}
      - {{property: eventTimeDefault, value: arrival}}
      - {{property: repair, value: [key_value, {own}]}}
    properties:
"""
    due = "name: due, customProperties: [{property: aliases, value: [until, by]}], "
    text = YAML.replace("    properties:\n", said, 1).replace("name: due, ", due)
    contract = load_contract(write(tmp_path, text))
    assert (contract.log_partition, contract.event_time_from_arrival) == ("day", True)
    assert contract.repair == (("key_value", None), ("own", "(?P<shop>.)"))
    assert contract.properties[7].aliases == ("until", "by")


def test_custom_properties_with_an_earlier_name_are_read_under_the_present_one(tmp_path: Path) -> None:
    earlier = """\
      - {property: folder, value: hour}
      - {property: stamp, value: arrival}
      - {property: salvage, value: [key_value]}
    properties:
"""
    due = "name: due, classification: restricted, customProperties: [{property: protect, value: drop}], "
    text = YAML.replace("    properties:\n", earlier, 1).replace("name: due, ", due)
    contract = load_contract(write(tmp_path, text))
    assert (contract.log_partition, contract.event_time_from_arrival) == ("hour", True)
    assert contract.repair == (("key_value", None),)
    assert contract.properties[7].mask == "drop"


def test_folder_is_read_in_the_order_of_its_files(tmp_path: Path) -> None:
    write(tmp_path, YAML, "b.odcs.yaml")
    write(tmp_path, YAML.replace("name: sale\n", "name: refund\n").replace("sales", "refunds"), "a.odcs.yaml")
    write(tmp_path, "no contract", "other.yaml")
    (tmp_path / "deeper").mkdir()
    write(tmp_path / "deeper", "no contract", "c.odcs.yaml")
    assert list(load_contracts(str(tmp_path))) == ["refund", "sale"]
    assert list(load_contracts(str(tmp_path / "a.odcs.yaml"))) == ["refund"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (YAML, "schema[0].name: 'sale' is already used by {a}: schema[0]; rename one"),
        (
            YAML.replace("name: sale\n", "name: refund\n"),
            "schema[0].physicalName: 'sales' is already used by {a}: schema[0]; rename one",
        ),
    ],
)
def test_event_type_or_table_that_another_contract_has_is_rejected(
    tmp_path: Path, text: str, message: str
) -> None:
    first, second = write(tmp_path, YAML, "a.odcs.yaml"), write(tmp_path, text, "b.odcs.yaml")
    with pytest.raises(ContractError) as raised:
        load_contracts(str(tmp_path))
    assert str(raised.value) == f"{second}: {message.format(a=first)}"


def test_path_without_a_contract_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="(?m)expected a folder of contracts named"):
        load_contracts(str(tmp_path))
    with pytest.raises(
        ContractError, match=r"(?m)x\.yaml: expected a contract, got: No such file or directory$"
    ):
        load_contracts(str(tmp_path / "x.yaml"))
    with pytest.raises(ContractError, match=r"(?m)expected a data contract \(ODCS v3.2.0\), got 'text'$"):
        load_contract(write(tmp_path, "text"))
    with pytest.raises(ContractError, match="(?m)schema: expected one object, got 0$"):
        load_contract(write(tmp_path, HEAD[: HEAD.index("schema:")]))
    with pytest.raises(ContractError, match="(?m)expected YAML in UTF-8, got a mistake: "):
        (tmp_path / "latin.odcs.yaml").write_bytes(b"id: \xff")
        load_contracts(str(tmp_path / "latin.odcs.yaml"))


@pytest.mark.parametrize(
    ("names", "owner"),
    [
        (["id"], 0),
        (["Shop"], 2),
        (["until", "AT"], 1),
        (["buyer.id"], "11].properties[0"),
        (["due"], None),
        (["until", "until"], None),
    ],
)
def test_alias_that_another_property_has_is_refused(
    tmp_path: Path, names: list[str], owner: int | str | None
) -> None:
    """A CSV column of that name would be either's."""
    due = f"name: due, customProperties: [{{property: aliases, value: {names}}}], "
    file = write(tmp_path, YAML.replace("name: due, ", due))
    if owner is None:
        assert load_contract(file).properties[7].aliases == tuple(names)
        return
    with pytest.raises(ContractError) as raised:
        load_contract(file)
    assert str(raised.value) == (
        f"{file}: {P}[7].customProperties.aliases: {names[-1]!r} is already a name of {P}[{owner}]; remove one"
    )


def test_alias_of_two_properties_is_refused(tmp_path: Path) -> None:
    text = YAML
    for name in ("due", "kind"):
        text = text.replace(
            f"name: {name}, ", f"name: {name}, customProperties: [{{property: aliases, value: [X]}}], "
        )
    file = write(tmp_path, text)
    with pytest.raises(ContractError) as raised:
        load_contract(file)
    assert str(raised.value) == (
        f"{file}: {P}[8].customProperties.aliases: 'X' is already a name of {P}[7]; remove one"
    )


EXPORTED = Path(__file__).parent / "exported"


@pytest.mark.parametrize(
    ("name", "types", "notes"),
    [
        (
            "datacontract_cli",
            {
                "order_id": "uuid",
                "ordered_at": "timestamp",
                "email": "string",
                "total": "decimal",
                "quantity": "integer",
                "lines": "array",
            },
            [f"{P}[1]: has no logicalType: it is read as timestamp, as its physicalType says"],
        ),
        (
            "openmetadata",
            {
                "customer_id": "integer",
                "born_on": "date",
                "segments": "array",
                "preferences": "json",
                "created_at": "timestamp",
            },
            [f"{P}[2].items: is missing: the items are read as strings"],
        ),
        (
            "entropy_data",
            {"payment_id": "string", "paid_at": "timestamp", "amount": "decimal"},
            [f"{P}[1].logicalType: date with a format that has a time is read as timestamp"],
        ),
        (
            "odcs_3_2",
            {"product_id": "string", "legacy_code": "string", "status": "string", "counts": "json"},
            [
                f"{P}[3].map: is not checked by Sluice: any object is a map, and is stored as JSON",
                f"{P}[4].semanticType: measure is computed from columns: it is none of the table",
            ],
        ),
    ],
)
def test_contract_of_another_tool_loads_and_what_is_not_as_it_says_is_noted(
    name: str, types: dict[str, str], notes: list[str]
) -> None:
    file = str(EXPORTED / f"{name}.odcs.yaml")
    found: list[str] = []
    (contract,) = load_contracts(file, found).values()
    assert {prop.name: prop.type for prop in contract.properties} == types
    assert [note for note in found if "is not used by Sluice" not in note and f"{P}[" in note][
        : len(notes)
    ] == [f"{file}: {note}" for note in notes]
