"""CSV rows as lines of JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from sluice.contracts import Contract, load_contract
from sluice.elements import Violation
from sluice.formats.csv_conversion import RowConverter
from sluice.provenance import CsvDialect

SCHEMAS = Path(__file__).parents[2] / "schemas/commerce"
SALE = load_contract(str(SCHEMAS / "sale.odcs.yaml"))
LOG = load_contract(str(SCHEMAS / "customer_log.odcs.yaml"))
HEADER = ("sale_id", "product_id", "user_id", "quantity", "unit_price", "sale_date")


def convert(
    *records: bytes,
    header: tuple[str, ...] = HEADER,
    delimiter: str = ",",
    encoding: str = "",
    decimal_commas: tuple[str, ...] = (),
) -> list[object]:
    dialect = CsvDialect(header, delimiter, encoding, decimal_commas)
    lines, broken = RowConverter(dialect, {"sale": SALE}, None).convert(records)
    return [
        (broken[index].code, broken[index].expected, broken[index].got)
        if index in broken
        else json.loads(line)
        for index, line in enumerate(lines)
    ]


def test_texts_become_values_of_the_declared_types() -> None:
    sale = {"sale_id": "1", "product_id": "2", "user_id": "3", "quantity": 4, "unit_price": 5.5}
    assert convert(b"1,2,3,4,5.50,2025-01-10") == [{**sale, "sale_date": "2025-01-10T00:00:00Z"}]
    assert convert(b"1,2,3,+04, 5.50 ,2025-01-10 10:30") == [{**sale, "sale_date": "2025-01-10 10:30:00Z"}]
    assert convert(b"1,2,3,4,5.5,2025-01-10T10:30:00+02:00") == [
        {**sale, "sale_date": "2025-01-10T10:30:00+02:00"}
    ]
    assert convert(b'1,"2","3",,,') == [
        {
            "sale_id": "1",
            "product_id": "2",
            "user_id": "3",
            "quantity": None,
            "unit_price": None,
            "sale_date": None,
        }
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12,50", 12.5),
        ("1.234,50", 1234.5),
        ("1,234.50", 1234.5),
        ("-.5", -0.5),
        ("1e2", 100.0),
        ("007.10", 7.1),
        ("5.", 5),
        ("1,234", "1,234"),
        ("1.234.567", "1.234.567"),
        ("12 EUR", "12 EUR"),
        ("", None),
        ("  ", None),
        ("NaN", "NaN"),
    ],
)
def test_ambiguous_number_stays_a_string(text: str, value: object) -> None:
    [row] = convert(f"1;2;3;4;{text};x".encode(), delimiter=";")
    assert isinstance(row, dict)
    assert row["unit_price"] == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.234,50", 1234.5),
        ("1.234", "1.234"),
        (" -12.345 ", " -12.345 "),
        ("0.125", 0.125),
        ("1234.567", 1234.567),
        ("12.5", 12.5),
        ("1.2345", 1.2345),
        ("999", 999),
        ("", None),
        ("1\u00a0234,50", "1\u00a0234,50"),
        ("1\u2009234,50", "1\u2009234,50"),
        ("\u22125,00", "\u22125,00"),
        ("5 %", "5 %"),
        ("\u20ac5,00", "\u20ac5,00"),
        ("\uff15", "\uff15"),
    ],
)
def test_number_in_a_column_with_decimal_commas_is_never_guessed(text: str, value: object) -> None:
    dialect_of_column = {"delimiter": ";", "decimal_commas": ("unit_price",)}
    rows = [f"1;2;3;4;{text};x".encode(), b"1;2;3;4;2,5;x"]
    first, second = convert(*rows, **dialect_of_column)  # type: ignore[arg-type]  # of several types
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert (first["unit_price"], second["unit_price"]) == (value, 2.5)


@pytest.mark.parametrize("encoding", ["", "utf-8", "cp1252"])
def test_row_in_utf8_is_never_decoded_as_anything_else(encoding: str) -> None:
    header = ("sale_id", "note")
    windows = ("not_csv", "text in UTF-8", "byte 0xe9 (byte 5)")
    assert convert("1,é".encode(), b"1,caf\xe9", b"1,\xc3\xa9 \xe9", header=header, encoding=encoding) == [
        {"sale_id": "1", "note": "é"},
        windows if encoding == "utf-8" else {"sale_id": "1", "note": "café"},
        ("not_csv", "text in UTF-8", "byte 0xe9 (byte 5)"),
    ]


def test_carriage_return_belongs_to_a_field_only_in_quotes() -> None:
    header = ("sale_id", "note")
    assert convert(b'1,"a\rb"', b"1,a\rb", b"1,a\r", b'1,"a\r\n\rb"\r', header=header) == [
        {"sale_id": "1", "note": "a\rb"},
        ("not_csv", "fields with line breaks only in quotes", "a carriage return outside quotes"),
        {"sale_id": "1", "note": "a"},
        {"sale_id": "1", "note": "a\r\n\rb"},
    ]


def test_field_over_the_limit_is_a_broken_row() -> None:
    header = ("sale_id", "note")
    assert convert(b"1," + b"x" * (1 << 20), b"1," + b"x" * ((1 << 20) + 1), b"1,\0", header=header) == [
        {"sale_id": "1", "note": "x" * (1 << 20)},
        ("not_csv", "fields of at most 1048576 characters", "a longer one"),
        {"sale_id": "1", "note": "\0"},
    ]


def test_broken_row_is_reported_with_its_reason() -> None:
    assert convert(
        b"1,2,3", b"1,2,3,4,5,6,7", b'1,2,3,4,5,"x', b'1,2,3,4,5,"x"y', b"1,2,3,4,5,\x81\xff", b"1,2,3,4,5,6"
    ) == [
        ("not_csv", "6 fields, as in the header", "3"),
        ("not_csv", "6 fields, as in the header", "7"),
        ("not_csv", "fields whose quotes are closed, and doubled within", "unexpected end of data"),
        ("not_csv", "fields whose quotes are closed, and doubled within", "',' expected after '\"'"),
        ("not_csv", "text in Windows-1252", "byte 0x81 (byte 10)"),
        {"sale_id": "1", "product_id": "2", "user_id": "3", "quantity": 4, "unit_price": 5, "sale_date": "6"},
    ]


def test_row_is_decoded_by_the_encoding_of_its_dialect() -> None:
    header = ("sale_id", "note")
    assert convert(b"1,caf\xe9 \x80", header=header) == [{"sale_id": "1", "note": "caf\u00e9 \u20ac"}]
    assert convert("1,caf\u00e9".encode(), header=header) == [{"sale_id": "1", "note": "caf\u00e9"}]
    assert convert(b"1,\x93a\x94", header=header, encoding="cp1252") == [
        {"sale_id": "1", "note": "\u201ca\u201d"}
    ]
    assert convert(b"1,caf\xe9", header=header, encoding="utf-8") == [
        ("not_csv", "text in UTF-8", "byte 0xe9 (byte 5)")
    ]


def test_column_is_found_by_any_of_its_names() -> None:
    header = ("Sale ID", "customer_id", "user_id", "Unit-Price", "100%", "Total")
    assert convert(b"1,2,3,4,5,6", header=header) == [
        {"sale_id": "1", "customer_id": "2", "user_id": "3", "unit_price": 4, "100%": "5", "amount": 6}
    ]
    assert convert(b"7", header=("customer_id",)) == [{"user_id": "7"}]
    assert convert(b"1,2", header=("sale_id", "Sale_Id")) == [
        ("not_csv", "a header with one column for each property", "sale_id, Sale_Id for sale_id")
    ]


def test_columns_outside_the_contract_may_share_a_name() -> None:
    header = ("note", "sale_id", "note", "note_2", "Note", "note")
    assert convert(b"1,2,3,4,5,6", header=header) == [
        {"note": "1", "sale_id": "2", "note_3": "3", "note_2": "4", "Note": "5", "note_4": "6"}
    ]


@pytest.mark.parametrize(
    ("properties", "header", "line"),
    [
        # A property of a column's own name comes before one whose name is only similar.
        (("a b", "a-b", "a_b"), ("a b", "a-b", "a_b"), {"a b": "0", "a-b": "1", "a_b": "2"}),
        (("a b", "a-b", "a_b"), ("a_b", "A B", " A-b "), {"a_b": "0", "a b": "1", "a-b": "2"}),
        (("a b", "a-b", "a_b"), ("a-b",), {"a-b": "0"}),
        (("a_b",), ("a b",), {"a_b": "0"}),
        (("a_b",), ("A  -b",), {"a_b": "0"}),
        (("a b", "a-b"), ("a_b",), {"a_b": "0"}),  # it may be either, so it is neither
        (("other", "a_b"), ("a b", "a_b"), {"other": "0", "a_b": "1"}),  # `a b` is an alias of `other`
        (("other", "a_b"), ("a b",), {"other": "0"}),
        (("\u00e9t\u00e9",), ("E\u0301te\u0301",), {"\u00e9t\u00e9": "0"}),  # accents as of a Mac
        ((), ("a b", "a-b", "a_b", "A_B"), {"a b": "0", "a-b": "1", "a_b": "2", "A_B": "3"}),
        ((), ("column_1", "x", "column_1"), {"column_1": "0", "x": "1", "column_1_2": "2"}),
        (("a_b",), ("a b", "a-b", "a_b"), "a b, a-b, a_b for a_b"),
        (("a_b",), ("a_b", "x", "a_b"), "a_b, a_b for a_b"),
        (("a_b",), ("A_b", "a_B"), "A_b, a_B for a_b"),
        (("\u00e9",), ("\u00e9", "e\u0301"), "\u00e9, e\u0301 for \u00e9"),
        (("a_b",), ("a_b",) * 7, "a_b, a_b, a_b, a_b, a_b, … for a_b"),
    ],
)
def test_columns_with_similar_names_are_kept_apart_or_rejected(
    properties: tuple[str, ...],
    header: tuple[str, ...],
    line: str | dict[str, str],
    routed: bool,
    tmp_path: Path,
) -> None:
    contracts = {"sale": contract_of(properties, tmp_path), **({"log": LOG} if routed else {})}
    columns, row = ((*header, "Event Type"), ["sale"]) if routed else (header, [])
    converter = RowConverter(CsvDialect(columns, ",", ""), contracts, "event_type")
    [text], broken = converter.convert([",".join((*map(str, range(len(header))), *row)).encode()])
    if isinstance(line, str):
        assert broken == {0: Violation("not_csv", "", "a header with one column for each property", line)}
        assert text == b""
    else:
        assert not broken
        assert json.loads(text) == {**line, **({"Event Type": "sale"} if routed else {})}


@pytest.fixture(params=[False, True], ids=["one contract", "routed"])
def routed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def contract_of(properties: tuple[str, ...], folder: Path) -> Contract:
    """Return the contract of sales with these properties, all strings, beside its event time."""
    document = yaml.safe_load((SCHEMAS / "sale.odcs.yaml").read_text("utf-8"))
    schema = document["schema"][0]
    schema["customProperties"] = [{"property": "eventTime", "value": "time"}]
    schema["properties"] = [{"name": "time", "logicalType": "timestamp", "required": True}]
    for name in properties:
        aliases = [{"property": "aliases", "value": ["a b"]}] if name == "other" else []
        schema["properties"].append({"name": name, "logicalType": "string", "customProperties": aliases})
    path = folder / "sale.odcs.yaml"
    path.write_text(yaml.safe_dump(document))
    return load_contract(str(path))


@pytest.mark.parametrize(
    ("header", "route"),
    [
        (("event_type",), 0),
        (("Event Type", "x"), 0),
        (("x", "EVENT-TYPE"), 1),
        (("event type", "event_type"), 1),
        (("event type", "event-type"), None),
        (("event_type", "event_type"), None),
        (("x",), None),
    ],
)
def test_row_is_routed_by_the_only_column_that_may_be_meant(
    header: tuple[str, ...], route: int | None
) -> None:
    converter = RowConverter(CsvDialect(header, ",", ""), {"sale": SALE, "log": LOG}, "event_type")
    assert converter._route == route


def test_columns_of_an_object_are_nested() -> None:
    dialect = CsvDialect(("user_id", "device", "metadata.page", "metadata.campaign"), ",", "")
    lines, broken = RowConverter(dialect, {"customer_log": LOG}, None).convert([b"U1,mobile,/,x"])
    assert (lines, broken) == (
        [b'{"user_id":"U1","metadata":{"device":"mobile","page":"/","campaign":"x"}}'],
        {},
    )
    clash = CsvDialect(("metadata", "device"), ",", "")
    _, broken = RowConverter(clash, {"customer_log": LOG}, None).convert([b"{},x"])
    assert broken[0].got == "metadata, device for metadata"


def test_row_is_converted_by_the_contract_that_it_is_routed_to() -> None:
    orders = load_contract(str(SCHEMAS.parent / "backend_events/inventory.odcs.yaml"))
    dialect = CsvDialect(("event_type", "quantity_change", "quantity"), ",", "")
    converter = RowConverter(dialect, {"inventory": orders, "sale": SALE}, "event_type")
    lines, _ = converter.convert([b"inventory,1,2", b"sale,1,2", b"other,1,2"])
    assert lines == [
        b'{"event_type":"inventory","quantity_change":1,"quantity":"2"}',
        b'{"event_type":"sale","quantity_change":"1","quantity":2}',
        b'{"event_type":"other","quantity_change":"1","quantity":"2"}',
    ]
