"""What event types, tables and properties can be called, for every warehouse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sluice.contracts import load_contract, load_contracts, path_text
from sluice.contracts.names import fold_event_type, fold_name
from sluice.contracts.odcs import show
from sluice.contracts.reserved import RESERVED_EVENT_TYPES, RESERVED_TABLES
from sluice.elements import INTERNAL_TYPES
from sluice.errors import ContractError
from sluice.warehouses.system_tables import RESERVED_NAMES

from tests.contracts.sale import YAML, P, write
from tests.names import ALLOWED_NAMES


def problem(folder: Path, text: str) -> str:
    file = write(folder, text)
    with pytest.raises(ContractError) as raised:
        load_contracts(file)
    assert "\n" not in str(raised.value)
    return str(raised.value).removeprefix(f"{file}: ")


def quoted(name: str) -> str:
    """Return a text as YAML writes it in double quotes: of pairs of surrogates it makes no character."""
    return json.dumps(name, ensure_ascii=max(name, default="") < "\U00010000")


def named(name: str) -> str:
    """Return the contract with a property of this name, which YAML writes as JSON does."""
    return YAML.replace("name: due", f"name: {quoted(name)}")


@pytest.mark.parametrize("change", [str, str.upper, str.title], ids=["as it is", "upper", "title"])
@pytest.mark.parametrize("name", sorted(RESERVED_EVENT_TYPES))
def test_event_type_of_the_product_is_refused_in_any_case(tmp_path: Path, name: str, change: type) -> None:
    text = YAML.replace("name: sale\n", f"name: {change(name)}\n")
    assert problem(tmp_path, text) == (
        f"schema[0].name: {change(name)!r} is an event type of Sluice itself, like all, dead_letter, quarantine,"
        " redelivery, source_file, unknown, unparsable; rename it"
    )


@pytest.mark.parametrize("name", ["dead-letter", "Dead.Letter"])
def test_event_type_that_makes_the_same_folder_or_macro_is_refused(tmp_path: Path, name: str) -> None:
    assert "is an event type of Sluice itself" in problem(
        tmp_path, YAML.replace("name: sale\n", f"name: {name}\n")
    )


@pytest.mark.parametrize("change", [str, str.upper, str.title], ids=["as it is", "upper", "title"])
@pytest.mark.parametrize("name", sorted(RESERVED_TABLES))
def test_table_of_the_product_is_refused_in_any_case(tmp_path: Path, name: str, change: type) -> None:
    assert problem(tmp_path, YAML.replace("sales", change(name))) == (
        f"schema[0].physicalName: {change(name)!r} is a table of Sluice itself, like _event_counts, _load_lock,"
        " _refusals, _segments, dead_letter_status, dead_letters, event_counts, redeliveries, source_files; rename it"
    )


def test_all_names_of_the_product_are_reserved() -> None:
    assert RESERVED_EVENT_TYPES > INTERNAL_TYPES
    assert RESERVED_TABLES == {*RESERVED_NAMES, "dead_letters", "redeliveries", "source_files"}


def test_contract_of_the_product_itself_may_have_its_names(tmp_path: Path) -> None:
    text = YAML.replace("name: sale\n", "name: dead_letter\n").replace("sales", "dead_letters")
    assert load_contract(write(tmp_path, text), internal=True).table == "dead_letters"
    with pytest.raises(ContractError):
        load_contract(write(tmp_path, text))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "-a", "a.", "_a", "ž", "a'", "a`", "a" * 129])
def test_event_type_with_another_form_is_refused(tmp_path: Path, name: str) -> None:
    text = YAML.replace("name: sale\n", f'name: "{name}"\n')
    got = show(name)
    assert problem(tmp_path, text) == (
        "schema[0].name: expected letters, digits, '_', '-' and '.', at most 128, beginning with a letter or digit"
        f" and not ending with a dot, got {got}"
    )


@pytest.mark.parametrize(
    ("event_type", "table", "message"),
    [
        ("SALE", "x", "schema[0].name: 'SALE' is already used by {a}: schema[0]; rename one"),
        ("sa.le", "x", None),
        ("x", "Sales", "schema[0].physicalName: 'Sales' is already used by {a}: schema[0]; rename one"),
        (
            "x",
            "SALES_once",
            "schema[0].physicalName: 'sales_once' is also the name of BigQuery's view of each event once, beside the"
            " table of {a}: schema[0]; rename one",
        ),
    ],
)
def test_contracts_whose_names_fall_together_are_refused(
    tmp_path: Path, event_type: str, table: str, message: str | None
) -> None:
    first = write(tmp_path, YAML, "a.odcs.yaml")
    other = YAML.replace("name: sale\n", f"name: {event_type}\n").replace("sales", table)
    second = write(tmp_path, other, "b.odcs.yaml")
    if message is None:
        assert list(load_contracts(str(tmp_path))) == ["sale", event_type]
        return
    with pytest.raises(ContractError) as raised:
        load_contracts(str(tmp_path))
    assert str(raised.value) == f"{second}: {message.format(a=first)}"


@pytest.mark.parametrize("name", ALLOWED_NAMES)
def test_property_may_have_any_visible_name(tmp_path: Path, name: str) -> None:
    contract = load_contract(write(tmp_path, named(name)))
    assert contract.properties[7].name == name


def test_allowed_names_are_all_different() -> None:
    assert len({fold_name(name) for name in ALLOWED_NAMES}) == len(ALLOWED_NAMES)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "expected a name without quotes and backslashes, got ''"),
        ('a"b', "expected a name without quotes and backslashes, got 'a\"b'"),
        ("a\\b", "expected a name without quotes and backslashes, got 'a\\\\b'"),
        ("[]", "'[]' stands for the items of an array; rename it"),
        *(
            (f"a{character}", f"expected a name of visible characters, got U+{ord(character):04X} in {shown}")
            for character, shown in [
                ("\n", "'a\\n'"),
                ("\t", "'a\\t'"),
                ("\x7f", "'a\\x7f'"),
                ("\x85", "'a\\x85'"),
                ("\u200b", "'a\\u200b'"),
                ("\u202e", "'a\\u202e'"),
                ("\u2028", "'a\\u2028'"),
                ("\ufeff", "'a\\ufeff'"),
            ]
        ),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_property_with_a_name_that_cannot_be_seen_or_quoted_is_refused(
    tmp_path: Path, name: str, message: str, nested: bool
) -> None:
    text = YAML.replace("[{name: id,", f"[{{name: {quoted(name)},") if nested else named(name)
    place = f"{P}[11].properties[0].name" if nested else f"{P}[7].name"
    assert problem(tmp_path, text) == f"{place}: {message}"


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_no_warehouse_can_store_is_refused_anywhere(tmp_path: Path, text: str) -> None:
    character = max(text, key=lambda character: character in "\0\ud800")
    expected = (
        f"expected YAML, got a mistake: the character U+{ord(character):04X} cannot be stored; remove it"
    )
    assert problem(tmp_path, named(text)).endswith(expected)
    assert problem(tmp_path, YAML.replace("Something was sold.", quoted(text))).endswith(expected)


@pytest.mark.parametrize(
    "name", ["_id", "_ID", "_extra", "_Ingested_At", "_segment_id", "_event_id", "_repaired", "_", "\uff3fid"]
)
def test_property_with_a_name_of_sluice_is_refused(tmp_path: Path, name: str) -> None:
    assert problem(tmp_path, named(name)) == (
        f"{P}[7].name: {name!r} begins with an underscore, which is reserved for Sluice; rename it"
    )


@pytest.mark.parametrize("name", ["Shop", "SHOP", "shop\u200d", "\u017fhop"])
def test_properties_that_cannot_be_told_apart_are_refused(tmp_path: Path, name: str) -> None:
    assert problem(tmp_path, named(name)) == f"{P}[7].name: {name!r} is already used by {P}[2]; rename one"


def test_composed_and_decomposed_names_cannot_be_told_apart() -> None:
    assert fold_name("e\u0301") == fold_name("\u00c9") == "\u00e9"
    assert fold_event_type("a-B.c") == "a_b_c"


def test_value_that_counts_leave_out_cannot_be_counted_by(tmp_path: Path) -> None:
    text = YAML.replace("{value: b}]", "{value: dead_letter}], required: true").replace(
        "property: clusterBy, value: [shop, id]", "property: countBy, value: kind"
    )
    assert problem(tmp_path, text) == (
        "schema[0].customProperties.countBy: 'kind' has the value 'dead_letter', which event_counts leaves out;"
        " rename the value"
    )


def test_path_with_dots_in_a_name_differs_from_a_path_of_members() -> None:
    assert path_text(("a.b",)) == '"a.b"'
    assert path_text(("a", "b")) == "a.b"
    assert path_text(("a", "[]", "b c", "d[]")) == 'a[]."b c"."d[]"'


@pytest.mark.parametrize("name", ["shop", "my-shop", "a.b", "Shop_1", "1st", "x" * 128])
def test_domain_that_names_folders_is_read(tmp_path: Path, name: str) -> None:
    text = YAML.replace("domain: shop", f"domain: {name}")
    assert load_contract(write(tmp_path, text)).domain == name


@pytest.mark.parametrize(
    "name",
    [".", "..", "../x", "a/b", "a b", "-a", "a.", "_a", "ž", "a'", "a`", 'a"', "a\n", "{{ x }}", "x" * 129],
)
def test_domain_with_another_form_is_refused(tmp_path: Path, name: str) -> None:
    assert problem(tmp_path, YAML.replace("domain: shop", f"domain: {quoted(name)}")) == (
        "domain: expected letters, digits, '_', '-' and '.', at most 128, beginning with a letter or digit and not "
        f"ending with a dot, got {show(name)}"
    )


@pytest.mark.parametrize("name", ['a"b', "a\\b", "\u200b", "a\nb", "[]", "\x7f"])
def test_name_of_items_is_checked_as_that_of_a_property(tmp_path: Path, name: str) -> None:
    items = f"items: {{name: {quoted(name)}, logicalType: string}}"
    message = problem(tmp_path, YAML.replace("items: {logicalType: string}", items))
    assert message.startswith(f"{P}[12].items.name: ")


def test_items_may_have_a_name_or_none(tmp_path: Path) -> None:
    items = "items: {name: tag, logicalType: string}"
    contract = load_contract(write(tmp_path, YAML.replace("items: {logicalType: string}", items)))
    assert contract.properties[12].items is not None
    assert contract.properties[12].items.name == "tag"
