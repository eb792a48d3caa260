"""CSV: rows, their bytes and lines; layouts; and rows as JSON."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.contracts import load_contract
from sluice.elements import CsvDialect
from sluice.formats.csv_rows import MAX_ROW_LINES, Cut, RowConverter, detect_layout, find_cuts, read_rows

SCHEMAS = Path(__file__).parents[2] / "schemas/commerce"
SALE = load_contract(str(SCHEMAS / "sale.odcs.yaml"))
LOG = load_contract(str(SCHEMAS / "customer_log.odcs.yaml"))
HEADER = ("sale_id", "product_id", "user_id", "quantity", "unit_price", "sale_date")


def rows(data: bytes, size: int = 7, delimiter: str = ",") -> list[tuple[bytes, int, int]]:
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    return [
        row
        for block in read_rows(chunks, delimiter)
        for row in zip(block.records, block.offsets, block.lines, strict=True)
    ]


def convert(
    *records: bytes, header: tuple[str, ...] = HEADER, delimiter: str = ",", encoding: str = ""
) -> list[object]:
    lines, broken = RowConverter(CsvDialect(header, delimiter, encoding), {"sale": SALE}, None).convert(
        records
    )
    return [
        (broken[index].code, broken[index].expected, broken[index].got)
        if index in broken
        else json.loads(line)
        for index, line in enumerate(lines)
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"h\n1\n2\n", [(b"1", 2, 2), (b"2", 4, 3)]),
        (b"h\r\n1\r\n\r\n2", [(b"1\r", 3, 2), (b"2", 8, 4)]),
        (b"\xef\xbb\xbfh\n1\n", [(b"1", 5, 2)]),
        (b'\xef\xbb\xbf"h\nh"\n1\n', [(b"1", 9, 3)]),
        (b'h\n"a\nb",1\n2\n', [(b'"a\nb",1', 2, 2), (b"2", 10, 4)]),
        (b'h\n"a\r\n""b""\n",1\n2\n', [(b'"a\r\n""b""\n",1', 2, 2), (b"2", 16, 5)]),
        (b'h\n1,"a\n",2,"b\nc"\n3\n', [(b'1,"a\n",2,"b\nc"', 2, 2), (b"3", 17, 5)]),
        (b'h\n1,"a\n2,b\n3,c\n', [(b'1,"a', 2, 2), (b"2,b", 7, 3), (b"3,c", 11, 4)]),
        (b'h\n1,"a\n2,"b"\n3,"c\nd"\n', [(b'1,"a', 2, 2), (b'2,"b"', 7, 3), (b'3,"c\nd"', 13, 4)]),
        (b'h\n1,12" TV\n2,b\n', [(b'1,12" TV', 2, 2), (b"2,b", 11, 3)]),
        (b'h\n1,"a"b\n2,b\n', [(b'1,"a"b', 2, 2), (b"2,b", 9, 3)]),
        (b"h\n", []),
        (b"", []),
        (b"h", []),
    ],
)
def test_rows_keep_their_bytes_and_their_place(data: bytes, expected: list[tuple[bytes, int, int]]) -> None:
    for size in (1, 2, 3, 7, 100):
        assert rows(data, size) == expected


def test_a_quote_that_never_closes_takes_no_rows_with_it() -> None:
    data = b'h\n"a\n' + b"x\n" * (MAX_ROW_LINES + 5)
    found = rows(data, 4096)
    assert [record for record, _, _ in found[:2]] == [b'"a', b"x"]
    assert len(found) == MAX_ROW_LINES + 6


FIELDS = st.text(st.sampled_from('ab,;"\n\r '), max_size=6)


@given(st.lists(st.lists(FIELDS, min_size=2, max_size=2), min_size=1, max_size=8), st.integers(1, 9))
def test_what_a_writer_wrote_is_read_back(table: list[list[str]], size: int) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([["h", "i"], *table])
    found = rows(text.getvalue().encode(), size)
    assert [next(csv.reader([record.decode()])) for record, _, _ in found] == table
    assert [text.getvalue().encode()[at : at + len(record)] for record, at, _ in found] == [
        r for r, _, _ in found
    ]


@given(
    st.lists(st.sampled_from([b'"', b",", b"a", b"\n", b"\r", b'""', b'",', b'"\n']), max_size=30),
    st.integers(1, 9),
)
def test_any_bytes_are_all_there(pieces: list[bytes], size: int) -> None:
    data = b"h\n" + b"".join(pieces)
    joined = b"\n".join(record for record, _, _ in rows(data, size))
    kept = [line for line in data.split(b"\n")[1:] if line not in (b"", b"\r")]
    assert [line for line in joined.split(b"\n") if line not in (b"", b"\r")] == kept
    assert rows(data, size) == rows(data, 1000)


def test_cuts_lie_between_rows() -> None:
    body = b"".join(b'%d,"a\nb"\n%d,c\n' % (number, number) for number in range(300))
    data = b"h,i\n" + body
    chunks = [data[at : at + 50] for at in range(0, len(data), 50)]
    cuts = find_cuts(chunks, ",", 500)
    assert len(cuts) > 5
    stops = [*(cut.offset for cut in cuts[1:]), len(data)]
    found = []
    for cut, stop in zip(cuts, stops, strict=True):
        tail = [data[max(cut.offset - 1, 0) :]]
        for block in read_rows(tail, ",", Cut(*cut), stop):
            found += list(zip(block.records, block.offsets, block.lines, strict=True))
    assert found == rows(data)


@pytest.mark.parametrize(
    ("head", "dialect"),
    [
        (b"a,b\n1,2\n", CsvDialect(("a", "b"), ",", "")),
        (b"a;b\n1,5;2,5\n", CsvDialect(("a", "b"), ";", "")),
        (b"a\tb,c\n1\t2\n", CsvDialect(("a", "b,c"), "\t", "")),
        (b"a|b|c\n1|2|3\n", CsvDialect(("a", "b", "c"), "|", "")),
        (b"name;note\nx;a,b\ny;c,d\n", CsvDialect(("name", "note"), ";", "")),
        (b'"a,b";c\n1;2\n', CsvDialect(("a,b", "c"), ";", "")),
        (b"a\n1\n", CsvDialect(("a",), ",", "")),
        (b"\xef\xbb\xbfa,b\n1,\xc3\xa9\n", CsvDialect(("a", "b"), ",", "utf-8")),
        (b"a,b\n1,caf\xe9\n", CsvDialect(("a", "b"), ",", "cp1252")),
        (b"pr\xe9nom;b\n1;2\n", CsvDialect(("pr\u00e9nom", "b"), ";", "cp1252")),
        (b" a , \n1,2\n", CsvDialect(("a", "column_2"), ",", "")),
        (b"", None),
        (b"\n\n", None),
    ],
)
def test_layouts(head: bytes, dialect: CsvDialect | None) -> None:
    assert detect_layout(head, True) == dialect


def test_texts_become_what_the_contract_says() -> None:
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
def test_numbers_are_never_guessed(text: str, value: object) -> None:
    [row] = convert(f"1;2;3;4;{text};x".encode(), delimiter=";")
    assert isinstance(row, dict)
    assert row["unit_price"] == value


def test_rows_that_are_none_say_why() -> None:
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


def test_encodings() -> None:
    header = ("sale_id", "note")
    assert convert(b"1,caf\xe9 \x80", header=header) == [{"sale_id": "1", "note": "caf\u00e9 \u20ac"}]
    assert convert("1,caf\u00e9".encode(), header=header) == [{"sale_id": "1", "note": "caf\u00e9"}]
    assert convert(b"1,\x93a\x94", header=header, encoding="cp1252") == [
        {"sale_id": "1", "note": "\u201ca\u201d"}
    ]
    assert convert(b"1,caf\xe9", header=header, encoding="utf-8") == [
        ("not_csv", "text in UTF-8", "byte 0xe9 (byte 5)")
    ]


def test_columns_are_found_by_their_names() -> None:
    header = ("Sale ID", "customer_id", "user_id", "Unit-Price", "100%", "Total")
    assert convert(b"1,2,3,4,5,6", header=header) == [
        {"sale_id": "1", "customer_id": "2", "user_id": "3", "unit_price": 4, "100%": "5", "amount": 6}
    ]
    assert convert(b"7", header=("customer_id",)) == [{"user_id": "7"}]
    assert convert(b"1,2", header=("sale_id", "Sale_Id")) == [
        ("not_csv", "a header that names each column once", "Sale_Id several times")
    ]


def test_columns_of_objects() -> None:
    dialect = CsvDialect(("user_id", "device", "metadata.page", "metadata.campaign"), ",", "")
    lines, broken = RowConverter(dialect, {"customer_log": LOG}, None).convert([b"U1,mobile,/,x"])
    assert (lines, broken) == (
        [b'{"user_id":"U1","metadata":{"device":"mobile","page":"/","campaign":"x"}}'],
        {},
    )
    clash = CsvDialect(("metadata", "device"), ",", "")
    _, broken = RowConverter(clash, {"customer_log": LOG}, None).convert([b"{},x"])
    assert broken[0].got == "metadata several times"


def test_rows_of_several_contracts_are_told_apart() -> None:
    orders = load_contract(str(SCHEMAS.parent / "backend_events/inventory.odcs.yaml"))
    dialect = CsvDialect(("event_type", "quantity_change", "quantity"), ",", "")
    converter = RowConverter(dialect, {"inventory": orders, "sale": SALE}, "event_type")
    lines, _ = converter.convert([b"inventory,1,2", b"sale,1,2", b"other,1,2"])
    assert lines == [
        b'{"event_type":"inventory","quantity_change":1,"quantity":"2"}',
        b'{"event_type":"sale","quantity_change":"1","quantity":2}',
        b'{"event_type":"other","quantity_change":"1","quantity":"2"}',
    ]
