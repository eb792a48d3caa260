"""Properties from YAML: every type, and every mistake with its place and its fix."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sluice.contracts import Property, load_contract, load_contracts
from sluice.contracts.model import FromSource
from sluice.contracts.odcs import KeyPath
from sluice.contracts.odcs_document import CustomProperty, EnumValue, SchemaProperty
from sluice.contracts.property_reading import read_properties
from sluice.errors import ContractError

from tests.contracts.sale import YAML, P, write


def test_property_of_every_type_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, YAML)
    contract = load_contract(path)
    assert contract.properties == (
        Property("id", "uuid", required=True, unique=True),
        Property("at", "timestamp", required=True, description="When."),
        Property("shop", "string", min_length=1, max_length=9, pattern="^[a-z]+"),
        Property("count", "integer", minimum=1, maximum=9),
        Property("price", "decimal"),
        Property("weight", "float", minimum=0.5),
        Property("paid", "boolean", classification="restricted"),
        Property("due", "date"),
        Property("kind", "string", enum=("a", "b")),
        Property("level", "integer", enum=(1, 2)),
        Property("extra", "json"),
        Property("buyer", "object", properties=(Property("id", "string"),)),
        Property("tags", "array", max_length=3, items=Property("item", "string", required=True)),
        Property("product", "string", references="products.id"),
    )
    assert (contract.event_type, contract.table, contract.label) == ("sale", "sales", "shop-sale@2.1.0")
    assert (contract.domain, contract.description) == ("shop", "Something was sold.")
    assert (contract.event_time, contract.identity) == ("at", "properties")
    assert (contract.cluster_by, contract.consumers, contract.path) == (("shop", "id"), ("finance",), path)


ANY_VALUE = st.sampled_from(
    [
        *([True], [], {"a": 1}, True, False, -1, 0, 1, 1.5, 2.0, 5e-324, 1e308, 10**90, float("nan")),
        *("", "x", "uuid", "email", "u8", "double", "dd.MM.yyyy", "UTC", "00:00:00", "9999-12-31", "^a"),
        *(date(1, 1, 1), date(2025, 1, 1), datetime(2025, 1, 1, tzinfo=UTC)),
    ]
)
OPTIONS = (
    "format minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength pattern minItems maxItems"
    " uniqueItems minProperties maxProperties required timezone defaultTimezone"
).split()
TYPES = "string integer number boolean timestamp date time object array map".split()


@settings(max_examples=1000)
@given(
    logical=st.sampled_from(TYPES),
    physical=st.sampled_from([None, "DECIMAL(38,9)", "double"]),
    options=st.dictionaries(st.sampled_from(OPTIONS), ANY_VALUE, max_size=3),
    enum=st.lists(ANY_VALUE, max_size=2),
    custom=st.dictionaries(
        st.sampled_from(["mask", "fromSource", "aliases", "nullable"]), ANY_VALUE, max_size=1
    ),
)
def test_any_values_of_options_are_read_or_refused(
    logical: str, physical: str | None, options: dict[str, Any], enum: list[Any], custom: dict[str, Any]
) -> None:
    prop = SchemaProperty(
        name="x",
        logicalType=logical,
        physicalType=physical,
        logicalTypeOptions=options,
        enum=[EnumValue(value=value) for value in enum] or None,
        customProperties=[CustomProperty(property=name, value=value) for name, value in custom.items()],
    )
    try:
        (found,) = read_properties(KeyPath("f"), [prop])
    except ContractError as error:
        assert str(error).startswith("f: [0]")
    else:
        assert found.name == "x"


def filled(value: str) -> tuple[str, str]:
    """Return an edit that gives `due`, a date, a `fromSource`."""
    return "name: due, ", f"name: due, customProperties: [{{property: fromSource, value: {value}}}], "


FILLED = f"{P}[7].customProperties.fromSource"
RULE = "expected address, for a string, or one of {pattern: …} and {folderKey: …}"


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("{pattern: '_(?P<due>[0-9]{8})'}", FromSource(pattern="_(?P<due>[0-9]{8})")),
        ("{folderKey: dt}", FromSource(folder_key="dt")),
    ],
)
def test_property_that_is_filled_from_the_source_is_read(
    value: str, rule: FromSource, tmp_path: Path
) -> None:
    contract = load_contract(write(tmp_path, YAML.replace(*filled(value))))
    assert contract.from_source == (Property("due", "date", from_source=rule),)


def test_source_property_is_the_address(tmp_path: Path) -> None:
    address = "customProperties: [{property: fromSource, value: address}]"
    member = f"      - {{name: _source, logicalType: string, {address}}}\n"
    contract = load_contract(write(tmp_path, f"{YAML.rstrip()}\n{member}"))
    assert contract.from_source == (Property("_source", "string", from_source=FromSource()),)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("address", f"{FILLED}: {RULE}, got 'address'"),
        ("{}", f"{FILLED}: {RULE}, got a mapping"),
        ("{name: x}", f"{FILLED}: {RULE}, got a mapping"),
        ("{folderKey: a/b}", f"{FILLED}.folderKey: expected a text, of a key without '/' and '=', got 'a/b'"),
        ("{folderKey: 1}", f"{FILLED}.folderKey: expected a text, of a key without '/' and '=', got 1"),
        ("{pattern: '.*'}", f"{FILLED}.pattern: expected one named group, (?P<due>…), got '.*'"),
        ("{pattern: '(?P<x>.)'}", f"{FILLED}.pattern: expected one named group, (?P<due>…), got '(?P<x>.)'"),
        (
            "{pattern: '(?P<due>.'}",
            f"{FILLED}.pattern: expected a regular expression of RE2, got '(?P<due>.': missing ): (?P<due>.",
        ),
    ],
)
def test_mistake_in_what_fills_a_property_is_reported(value: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, YAML.replace(*filled(value)))
    with pytest.raises(ContractError) as caught:
        load_contract(path)
    assert str(caught.value) == f"{path}: {message}"


def test_property_of_another_type_cannot_be_filled(tmp_path: Path) -> None:
    edit = "name: paid, ", "name: paid, customProperties: [{property: fromSource, value: {folderKey: x}}], "
    path = write(tmp_path, YAML.replace(*edit))
    with pytest.raises(ContractError) as caught:
        load_contract(path)
    expected = "expected it on a property of the event itself of type string, integer, date, timestamp"
    assert str(caught.value) == f"{path}: {P}[6].customProperties.fromSource: {expected}"


LOGICAL = "string, integer, number, boolean, timestamp, date, time, object, array, map"
MISTAKES = [
    ("logicalType: date", "logicalType: dat", f"{P}[7].logicalType: expected one of {LOGICAL}, got 'dat'"),
    (", logicalType: date", "", f"{P}[7].logicalType: expected one of {LOGICAL}, got nothing"),
    (
        "minLength: 1",
        "minlength: 1",
        f"{P}[2].logicalTypeOptions.minlength: unknown key; did you mean minLength?",
    ),
    (
        "format: uuid",
        "format: uuid, maxLength: 9",
        f"{P}[0].logicalTypeOptions.maxLength: unknown key; expected one of format",
    ),
    (
        "name: due, logicalType: date",
        "name: due, logicalType: date, logicalTypeOptions: {from: x}",
        f"{P}[7].logicalTypeOptions.from: unknown key; expected one of minimum, maximum",
    ),
    (
        "minimum: 1,",
        "minimum: 10,",
        f"{P}[3].logicalTypeOptions: expected the minimum at most the maximum, got 10 and 9",
    ),
    (
        "minLength: 1",
        "minLength: 10",
        f"{P}[2].logicalTypeOptions: expected the minimum at most the maximum, got 10 and 9",
    ),
    (
        "minLength: 1",
        "minLength: -1",
        f"{P}[2].logicalTypeOptions.minLength: expected an integer of at least 0, got -1",
    ),
    (
        "minLength: 1",
        "minLength: 2025-01-10",
        f"{P}[2].logicalTypeOptions.minLength: expected an integer of at least 0, got datetime.date(2025, 1, 10)",
    ),
    (
        "minimum: 1,",
        "minimum: 2025-01-10,",
        f"{P}[3].logicalTypeOptions.minimum: expected an integer of 64 bits, got datetime.date(2025, 1, 10)",
    ),
    (
        "minimum: 1,",
        "minimum: one, exclusiveMinimum: 0,",
        f"{P}[3].logicalTypeOptions.minimum: expected an integer of 64 bits, got 'one'",
    ),
    (
        "minimum: 1,",
        "format: u8, minimum: [1],",
        f"{P}[3].logicalTypeOptions.minimum: expected an integer of 64 bits, got [1]",
    ),
    (
        "minimum: 1,",
        "minimum: 1.5,",
        f"{P}[3].logicalTypeOptions.minimum: expected an integer of 64 bits, got 1.5",
    ),
    (
        "minimum: 1,",
        "minimum: 9223372036854775808,",
        f"{P}[3].logicalTypeOptions.minimum: expected an integer of 64 bits, got 9223372036854775808",
    ),
    ("minimum: 0.5", "minimum: .inf", f"{P}[5].logicalTypeOptions.minimum: expected a number, got inf"),
    (
        "^[a-z]+",
        "^[a-z+",
        f"{P}[2].logicalTypeOptions.pattern: expected a portable regular expression for 'shop',"
        " got '^[a-z+': missing ]: [a-z+",
    ),
    (
        "^[a-z]+",
        "^(?=a)[a-z]+",
        f"{P}[2].logicalTypeOptions.pattern: expected a portable regular expression for 'shop', got"
        " '^(?=a)[a-z]+': '(?=' is not portable between JavaScript, Rust and Python; write (?:…) for a group, and all"
        " that a text may be in place of look-around",
    ),
    ("[{value: a}, {value: b}]", "[{value: a}, {value: 1}]", f"{P}[8].enum[1].value: expected string, got 1"),
    (
        "[{value: 1}, {value: 2}]",
        "[{value: 1}, {value: true}]",
        f"{P}[9].enum[1].value: expected integer, got True",
    ),
    (
        "[{value: a}, {value: b}]",
        "[{value: a}, {value: a}]",
        f"{P}[8].enum[1].value: 'a' is listed twice; remove one",
    ),
    ("[{value: a}, {value: b}]", "[]", f"{P}[8].enum: expected at least one value, got none"),
    (
        "paid, logicalType: boolean",
        "paid, logicalType: boolean, enum: [{value: true}]",
        f"{P}[6].enum: expected it on a string or an integer without logicalTypeOptions; remove one of them",
    ),
    (
        "[{value: a}, {value: b}]",
        "[a, b]",
        "schema[0].properties[8].enum[0]: expected keys and values, got 'a'",
    ),
    ("name: due", "name: ID", f"{P}[7].name: 'ID' is already used by {P}[0]; rename one"),
    ("name: due, ", "", f"{P}[7].name: expected a name without quotes and backslashes, got nothing"),
    (
        "items: {logicalType: string}",
        "items: {logicalType: string, required: false}",
        f"{P}[12].items.required: expected true or nothing (arrays hold no nulls), got False",
    ),
    (
        "properties: [{name: id, logicalType: string}]",
        "properties: []",
        f"{P}[11].properties: expected a list of properties, of an object only",
    ),
    (
        "[{name: id, logicalType: string}]",
        "[{name: id, logicalType: string, unique: true}]",
        f"{P}[11].properties[0].unique: expected it on a scalar property of the event itself; remove it",
    ),
    (
        "name: due, ",
        "name: due, customProperties: [{property: masc, value: hash}], ",
        f"{P}[7].customProperties[0].property: 'masc' is not known; did you mean mask?",
    ),
    (
        "name: due, ",
        "name: due, customProperties: [{property: mask, value: hash}], ",
        f"{P}[7].classification: expected restricted beside mask, got nothing",
    ),
    (
        "name: due, ",
        "name: due, classification: restricted, customProperties: [{property: mask, value: rot13}], ",
        f"{P}[7].customProperties.mask: expected one of hash, drop, truncate_ip, got 'rot13'",
    ),
    (
        "name: due, ",
        "name: due, classification: restricted, customProperties: [{property: mask, value: hash}], ",
        f"{P}[7].customProperties.mask: expected drop, got hash, which is for strings; the property is date",
    ),
    (
        "name: id, ",
        "name: id, classification: restricted, customProperties: [{property: mask, value: drop}], ",
        f"{P}[0].customProperties.mask: expected an optional property, as drop leaves nothing of it; "
        "make it optional, or hash it",
    ),
    (
        "name: id, ",
        "name: id, classification: restricted, customProperties: [{property: mask, value: truncate_ip}], ",
        f"{P}[0].customProperties.mask: expected hash, got truncate_ip, which does not tell unique values apart",
    ),
    (
        "name: due, ",
        "name: due, customProperties: [{property: flatten, value: true}], ",
        f"{P}[7].customProperties.flatten: expected true, on an object of the event itself",
    ),
    (
        "name: due, ",
        "name: due, required: true, customProperties: [{property: nullable, value: false}], ",
        f"{P}[7].customProperties.nullable: expected false, on an optional property",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        (
            "name: due, ",
            "name: due, physicalName: due_date, ",
            f"{P}[7].physicalName: is not used by Sluice: the column is called due",
        ),
        (
            "{to: products.id}",
            "{to: products}",
            f"{P}[13].relationships: are not used by Sluice, but for one alone with `to: table.column`",
        ),
        (
            "{to: products.id}",
            "{to: [a.b, c.d]}",
            f"{P}[13].relationships: are not used by Sluice, but for one alone with `to: table.column`",
        ),
        (
            "name: due, logicalType: date",
            "name: due, logicalType: time",
            f"{P}[7].logicalType: time is stored as text",
        ),
        (
            "decimal(38, 9)",
            "DECIMAL(10,2)",
            f"{P}[4].physicalType: DECIMAL(10,2) is stored as DECIMAL(38,9), which has room for more digits",
        ),
    ],
)
def test_what_has_another_effect_than_it_may_seem_is_noted(
    tmp_path: Path, old: str, new: str, note: str
) -> None:
    assert old in YAML
    path = write(tmp_path, YAML.replace(old, new, 1))
    notes: list[str] = []
    load_contracts(path, notes)
    assert notes == [f"{path}: {note}"]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_mistake_is_reported_with_file_key_and_fix(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in YAML
    path = write(tmp_path, YAML.replace(old, new, 1))
    with pytest.raises(ContractError) as raised:
        load_contract(path)
    assert str(raised.value) == f"{path}: {message}"
