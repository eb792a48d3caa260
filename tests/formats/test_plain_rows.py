"""Rows of CSV that the native core converts, against Python, which defines what is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sluice.contracts import Contract, Property, ValueType
from sluice.formats import plain_rows
from sluice.formats.csv_conversion import RowConverter
from sluice.provenance import CsvDialect

from tests.native import require_native_core

TYPES: tuple[ValueType, ...] = (
    "string",
    "uuid",
    "integer",
    "float",
    "decimal",
    "boolean",
    "timestamp",
    "date",
)
PROPERTIES = (
    *(Property(value_type, value_type) for value_type in TYPES),
    Property("of", "object", properties=(Property("sku", "string"), Property("price", "decimal"))),
)
SALE = Contract("sale", "sale", "sale", "1", "test", "", PROPERTIES, None)
OTHER = Contract("other", "other", "other", "1", "test", "", PROPERTIES[:3], None)
COLUMNS = (*TYPES, "of.sku", "of.price", "100% more")
TEXTS = (
    *(
        "",
        " ",
        "a",
        "Ä b",
        'say "x"',
        "a\\b",
        "a\tb",
        "\x7f\x01\b\f",
        "\x00",
        "a\rb",
        "a\nb",
        "\ufeff",
        "%s",
        "null",
    ),
    *(
        "0",
        "-0",
        "01",
        "+1",
        "12",
        "-3.50",
        "1.",
        ".5",
        "1e5",
        "9" * 18,
        "9" * 19,
        "9" * 29,
        "9" * 30,
        "1,5",
        " 7",
    ),
    *("true", "TRUE", "yes", "no", "1", "0 ", "2025-01-08", "2025-1-8", "2025-13-99", "2025-01-08T10:00:00"),
    *("2025-01-08 10:00:00", "2025-01-08T10:00:00.123Z", "2025-01-08T10:00:00.Z", "2025-01-08T10:00:00+0100"),
    *(
        "2025-01-08T10:00:00-01:30",
        "2025-01-08T10:00",
        "٣",
        "0a0a0a0a-0000-4000-8000-000000000001",
        "sale",
        "other",
    ),
)


@pytest.fixture(autouse=True)
def _core() -> None:
    require_native_core()


def check(dialect: CsvDialect, contracts: Sequence[Contract], records: Sequence[bytes]) -> list[Any]:
    """Assert that rows become the same with the core and without; return what Python alone has left to it."""
    by_type = {contract.event_type: contract for contract in contracts}
    route = "string" if len(contracts) > 1 else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_rows, "native_core", lambda: None)
        expected = RowConverter(dialect, by_type, route).convert(records)
    others: list[Any] = []

    class Counted(RowConverter):
        def _convert(self, records: Sequence[bytes]) -> Any:
            others.extend(records)
            return super()._convert(records)

    assert Counted(dialect, by_type, route).convert(records) == expected
    return others


def field(text: str, delimiter: str, quoted: bool) -> str:
    needs = quoted or any(each in text for each in ('"', delimiter, "\n", "\r"))
    return '"{}"'.format(text.replace('"', '""')) if needs else text


@settings(max_examples=300)
@given(
    data=st.data(),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["", "utf-8", "cp1252"]),
    contracts=st.sampled_from([(SALE,), (SALE, OTHER), (OTHER,)]),
)
def test_rows_are_converted_as_without_the_core(
    data: st.DataObject, delimiter: str, encoding: str, contracts: Sequence[Contract]
) -> None:
    columns = data.draw(st.permutations(COLUMNS))[: data.draw(st.integers(1, len(COLUMNS)))]
    texts = st.sampled_from(TEXTS) | st.text(max_size=3)
    rows = []
    for _ in range(data.draw(st.integers(1, 4))):
        fields = [field(data.draw(texts), delimiter, data.draw(st.booleans())) for _ in columns]
        row = delimiter.join(fields).encode() + data.draw(st.sampled_from([b"", b"", b"\r"]))
        at = data.draw(st.integers(0, 3 * len(row)))
        broken = data.draw(st.sampled_from([b'"', delimiter.encode(), b"\xff", b"x", b"\r"]))
        rows.append(row if at > len(row) else row[:at] + broken + row[at:])
    commas = data.draw(st.sampled_from([(), ("decimal",), ("string",)]))
    check(CsvDialect(tuple(columns), delimiter, encoding, commas), contracts, rows)


@example('a"b', 1)
@example('"a" ', 1)
@example("", 1)
@example("a,b,", 1)
@example("a", 0)
@given(row=st.text(',"ab\r', max_size=8), taken=st.just(0))
def test_quotes_mean_what_they_mean_to_python(row: str, taken: int) -> None:
    others = check(CsvDialect(("a", "b"), ",", ""), (OTHER,), [row.encode(), b"1,2"])
    assert b"1,2" not in others
    assert taken == 0 or row.encode() in others


@pytest.mark.parametrize(
    ("value_type", "text"),
    [
        ("string", 'say "x", \\, \t and Ä'),
        ("uuid", "0A0a0a0a-0000-4000-8000-000000000001"),
        ("integer", "-12"),
        ("float", "3.50"),
        ("decimal", "-0.10"),
        ("boolean", "yes"),
        ("timestamp", "2025-01-08 10:00:00.5"),
        ("timestamp", "2025-01-08T10:00:00+02:00"),
        ("timestamp", "2025-01-08"),
        ("date", "2025-01-08"),
        ("date", ""),
    ],
)
def test_plain_values_are_taken(value_type: str, text: str) -> None:
    row = field(text, ",", quoted=not text).encode()
    assert check(CsvDialect((value_type, "more"), ",", ""), (SALE,), [row + b",x", row + b",\r"]) == []


def test_rows_of_several_contracts_are_taken() -> None:
    records = [b"sale,2", b"other,3", b"unknown,4"]
    assert check(CsvDialect(("string", "integer"), ",", ""), (SALE, OTHER), records) == [b"unknown,4"]
