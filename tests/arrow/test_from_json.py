from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.arrow import from_json
from sluice.arrow.from_json import (
    find_unknown,
    read_lines,
    read_plain,
    read_with_unknown,
    rewrite_lines,
    to_table,
)
from sluice.arrow.schema import arrow_schema
from sluice.contracts import Contract, Identity, Property, ValueType
from sluice.formats.delivery import delivery_of, with_delivery, without_delivery
from sluice.formats.source_member import with_source
from sluice.provenance import Origin

from tests.arrow.order_lines import NOW, ORDER, START, rows, segment


def one_property(value_type: ValueType, *, required: bool = False) -> Contract:
    properties = (Property("p", value_type, required=required),)
    return Contract("t", "t", "t", "1.0.0", "d", "", properties, None)


def table(contract: Contract, *lines: bytes) -> tuple[pa.Table, list[tuple[int, str]]]:
    return to_table(contract, segment(*lines), [f"{index:032x}" for index in range(len(lines))], NOW)


def test_segment_becomes_a_table_with_the_schema_of_its_contract() -> None:
    made, row_errors = table(
        ORDER,
        START + b',"items":[{"product_id":"BEC49AB4-6fc8-40d2-982c-ba01600a6732","price":87.66}],'
        b'"address":{"city":"Riga"},"count":3,"ratio":0.1,"total":87.660,"paid":true,"day":"2025-02-09"}',
        START + b"}",
    )
    assert row_errors == []
    assert made.schema.equals(arrow_schema(ORDER), check_metadata=True)
    at = datetime(2025, 2, 8, 13, 9, tzinfo=UTC)
    added = {"_extra": None, "_segment_id": "5e" * 16, "_ingested_at": NOW}
    item = {"product_id": "BEC49AB4-6fc8-40d2-982c-ba01600a6732", "price": Decimal("87.660000000")}
    rest = {"address": {"city": "Riga"}, "count": 3, "ratio": 0.1, "total": Decimal("87.660000000")}
    full = {"items": [item], **rest, "paid": True, "day": date(2025, 2, 9)}
    assert made.to_pylist() == [
        {"event_type": "order", "at": at, **full, **added, "_event_id": "0" * 32},
        {
            "event_type": "order",
            "at": at,
            **dict.fromkeys(full),
            **added,
            "_event_id": "0" * 31 + "1",
            "_ingested_at": NOW + timedelta(microseconds=1),
        },
    ]


@pytest.mark.parametrize("members", [b"", b',"foo":1', b',"_source":"mine"', b',"day":"2025-13-01"'])
def test_source_of_an_export_is_in_columns_of_its_own(members: bytes) -> None:
    contract = replace(ORDER, identity="export")
    first = with_source(START + b"}", Origin("a.csv", 5.0, offset=0))
    lines = [first, with_source(START + members + b"}", Origin("a.csv", 5.0, offset=7))]
    last = with_source(START + b"}", Origin("kafka://b/t", 6.5, partition=1, offset=9))
    made, row_errors = table(contract, *lines, last)
    assert made.schema.equals(arrow_schema(contract), check_metadata=True)
    rows = [row for row in (0, 1, 2) if row not in {index for index, _ in row_errors}]
    assert len(rows) == 3 - (b"day" in members)
    arrived = [datetime.fromtimestamp(seconds, UTC) for seconds in (5.0, 5.0, 6.5)]
    assert made["_arrived_at"].to_pylist() == [arrived[row] for row in rows]
    sources = ("a.csv", "a.csv", "kafka://b/t/1")
    assert made["_source"].to_pylist() == [sources[row] for row in rows]
    assert made["_position"].to_pylist() == [(0, 7, 9)[row] for row in rows]
    assert made["_ingested_at"].to_pylist() == [NOW + timedelta(microseconds=row) for row in rows]
    extras = {b',"foo":1': '{"foo":1}', b',"_source":"mine"': '{"_source":"mine"}'}
    assert made["_extra"].to_pylist() == [(None, extras.get(members), None)[row] for row in rows]


def test_segment_without_lines_becomes_an_empty_table() -> None:
    made, row_errors = table(ORDER)
    assert (made.num_rows, row_errors) == (0, [])
    assert made.schema.equals(arrow_schema(ORDER), check_metadata=True)


EXTRAS = [
    (b',"foo": 1.10', '{"foo":1.10}'),
    (b',"foo":null', '{"foo":null}'),
    (b',"foo": {"b" : [ 1e400, "\\u00e9 x" ], "a":-0.0}', '{"foo":{"b":[1e400,"\\u00e9 x"],"a":-0.0}}'),
    (b',"b":1,"a":2,"b":3', '{"b":3,"a":2}'),
    (b',"address":{"city":"Riga","zip":"LV-1"}', '{"address":{"zip":"LV-1"}}'),
    (
        b',"items":[{"product_id":"a","price":1},{"product_id":"a","price":1,"foo":1.10}]',
        '{"items":{"1":{"foo":1.10}}}',
    ),
    (b',"items":[],"items":null,"x":"\\u0000"', '{"x":"\\u0000"}'),
    ((',"\u00fc\\"":"' + "\u65e5" + '"').encode(), '{"\u00fc\\"":"\u65e5"}'),
    (b',"d":' + b"[" * 300 + b"]" * 300, '{"d":' + "[" * 300 + "]" * 300 + "}"),
    (b',"address":{"city":"a","city":"b"}', None),
]


@pytest.mark.parametrize(("members", "expected"), EXTRAS)
def test_members_outside_the_contract_are_in_extra(members: bytes, expected: str | None) -> None:
    made, row_errors = table(ORDER, START + b"}", START + members + b"}", START + b',"count":7}')
    assert row_errors == []
    assert made["_extra"].to_pylist() == [None, expected, None]
    assert made["count"].to_pylist() == [None, None, 7]


VALUES: list[tuple[ValueType, bytes, Any]] = [
    ("timestamp", b'"2025-02-08t13:09:00z"', datetime(2025, 2, 8, 13, 9, tzinfo=UTC)),
    ("timestamp", b'"2025-02-08 13:09:00.5"', datetime(2025, 2, 8, 13, 9, 0, 500000, tzinfo=UTC)),
    ("timestamp", b'"2025-02-08T13:09:00.1234567Z"', datetime(2025, 2, 8, 13, 9, 0, 123457, tzinfo=UTC)),
    ("timestamp", b'"2025-02-08T23:59:59.9999999Z"', datetime(2025, 2, 9, tzinfo=UTC)),
    ("timestamp", b'"2025-02-08T13:09:00+01:30"', datetime(2025, 2, 8, 11, 39, tzinfo=UTC)),
    ("timestamp", b'"2025-02-08t13:09:00-0130"', datetime(2025, 2, 8, 14, 39, tzinfo=UTC)),
    ("timestamp", b'"1969-12-31T23:59:59.999999Z"', datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ("decimal", b"1e2", Decimal("100.000000000")),
    ("decimal", b"1.5E-8", Decimal("0.000000015")),
    ("decimal", b"0e99999", Decimal("0E-9")),
    ("decimal", b"0.10000000000", Decimal("0.100000000")),
    (
        "decimal",
        b"-99999999999999999999999999999.999999999",
        Decimal("-99999999999999999999999999999.999999999"),
    ),
    ("decimal", b"null", None),
    ("string", b'"a\\u0000b \\ud83d\\ude00"', "a\0b \U0001f600"),
    ("string", b'""', ""),
    ("float", b"5e-324", 5e-324),
    ("float", b"12345678901234567890123", 1.2345678901234568e22),
    ("integer", b"-9223372036854775808", -(2**63)),
    ("date", b'"2024-02-29"', date(2024, 2, 29)),
    ("json", b'{ "a" : [1.10, 1e999, null] }', '{"a":[1.10,1e999,null]}'),
    ("json", b'"x"', '"x"'),
    ("json", b"null", None),
]


@pytest.mark.parametrize(("value_type", "text", "expected"), VALUES)
def test_value_is_exact_by_each_way_of_reading(value_type: ValueType, text: bytes, expected: Any) -> None:
    made, row_errors = table(
        one_property(value_type), b'{"p":%b}' % text, b'{"p":%b,"unknown":1}' % text, b"{}"
    )
    assert (made["p"].to_pylist(), row_errors) == ([expected, expected, None], [])
    alone, row_errors = table(one_property(value_type), b'{"p":%b}' % text)
    assert (alone["p"].to_pylist(), row_errors) == ([expected], [])


REFUSED: list[tuple[ValueType, bytes, str]] = [
    ("integer", b'{"p":9223372036854775808}', "Expected `int` <= 9223372036854775807 - at `$.p`"),
    ("decimal", b'{"p":1e-10}', "p: expected a number that DECIMAL(38,9) holds exactly, got 1e-10"),
    ("decimal", b'{"p":null}', "the row cannot be converted to the contract's columns"),
    ("string", b'{"p":1}', "Expected `str`, got `int` - at `$.p`"),
    ("string", b"{}", "Object missing required field `p`"),
    ("string", b'{"p":"a","q":"\xff"}', "expected UTF-8 in properties outside the contract, got byte 0xff"),
    ("json", b'{"p":"\xff"}', "p: expected UTF-8, got byte 0xff"),
    (
        "string",
        b'{"p":"a","q":' + b"[" * 5000 + b"]" * 5000 + b"}",
        "expected properties outside the contract to be nested less deeply",
    ),
    ("string", b"{", "Input data was truncated"),
]


@pytest.mark.parametrize(("value_type", "line", "message"), REFUSED)
def test_unconvertible_line_is_the_only_one_left_out(
    value_type: ValueType, line: bytes, message: str
) -> None:
    good = {"json": b'{"p":[]}', "string": b'{"p":"x"}'}.get(value_type, b'{"p":7}')
    made, row_errors = table(one_property(value_type, required=True), good, line, good, good, line)
    assert row_errors == [(1, message), (4, message)]
    assert made.num_rows == 3
    assert made["_event_id"].to_pylist() == [f"{index:032x}" for index in (0, 2, 3)]


def test_delivery_identity_is_not_in_extra() -> None:
    delivered = Contract(
        "t", "t", "t", "1.0.0", "d", "", (Property("p", "integer"),), None, identity="delivery"
    )
    made, row_errors = table(delivered, b'{"p":1,"_id":"topic/0/7"}', b'{"p":2,"q":3,"_id":"topic/0/8"}')
    assert row_errors == []
    assert made.select(["p", "_extra"]).to_pylist() == [
        {"p": 1, "_extra": None},
        {"p": 2, "_extra": '{"q":3}'},
    ]


def test_each_way_of_reading_takes_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    delivered = replace(one_property("integer"), identity="delivery")
    stored = [b'{"p":1,"_id":"topic/0/7"}', b'{"p":2,"_id":"topic/0/8"}']
    assert rows(read_lines(delivered, stored) or []) == [[1, 2]]
    unknown = [b'{"p":1,"q":1.10}', b'{"p":2}']
    assert read_lines(delivered, unknown) is None
    assert rows(read_lines(delivered, unknown, ignore_unknown=True) or []) == [[1, 2]]
    # A line is rewritten only if the reader cannot take it without its unknown members.
    monkeypatch.setattr(from_json, "rewrite_lines", None)
    columns, extra, row_errors = read_with_unknown(one_property("integer"), unknown)
    assert (rows(columns), extra.to_pylist(), row_errors) == ([[1, 2]], ['{"q":1.10}', None], [])


OWN = [
    (b"", None),
    (b',"_id":5', '{"_id":5}'),
    (b',"_id":"mongo-65f0","other":1', '{"_id":"mongo-65f0","other":1}'),
    (b',"_id":{"$oid":"x"},"_id":null', '{"_id":null}'),
    (b',"\\u005fid":"escaped"', '{"_id":"escaped"}'),
    (b',"q":",\\"_id\\":\\"x\\"}"', '{"q":",\\"_id\\":\\"x\\"}"}'),
    (b',"_event_id":"mine","_extra":{},"_segment_id":1,"_ingested_at":2,"_repaired":3',)
    + ('{"_event_id":"mine","_extra":{},"_segment_id":1,"_ingested_at":2,"_repaired":3}',),
]
"""Members of records that have names of Sluice, and the `_extra` that they are in."""


@pytest.mark.parametrize("identity", ["content", "properties", "delivery"])
@pytest.mark.parametrize("json_column", [False, True], ids=["read at once", "read one by one"])
@pytest.mark.parametrize(("members", "extra"), OWN)
def test_own_member_with_a_name_of_sluice_is_in_extra(
    identity: Identity, json_column: bool, members: bytes, extra: str | None
) -> None:
    properties = (
        Property("p", "integer", required=True, unique=True),
        *[Property("j", "json")] * json_column,
    )
    contract = Contract("t", "t", "t", "1.0.0", "d", "", properties, None, identity=identity)
    records = [b'{"p":1%b}' % members, b'{"p":2}']
    lines = records
    if identity == "delivery":
        lines = [with_delivery(record, f"topic/0/{number}") for number, record in enumerate(records)]
        assert list(map(delivery_of, lines)) == ["topic/0/0", "topic/0/1"]
        assert list(map(without_delivery, lines)) == records
    made, row_errors = table(contract, *lines)
    assert row_errors == []
    assert made.select(["p", "_extra"]).to_pylist() == [{"p": 1, "_extra": extra}, {"p": 2, "_extra": None}]
    assert "_id" not in made.column_names


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ZONES: Any = st.none() | st.builds(
    lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-1439, 1439)
)
TIMES = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES)  # noqa: DTZ001  the zones are drawn, too
NUMBERS = st.decimals(-(10**28), 10**28, allow_nan=False, places=9) | st.decimals(-9, 9, places=2)
KNOWN: dict[str, st.SearchStrategy[str]] = {
    "items": st.lists(st.tuples(st.uuids(), NUMBERS), max_size=3).map(
        lambda items: "[%s]" % ",".join(f'{{"price":{p:f},"product_id":"{u}"}}' for u, p in items)
    ),
    "address": TEXT.map(lambda city: json.dumps({"city": city})),
    "count": st.integers(-(2**63), 2**63 - 1).map(str),
    "ratio": st.floats(allow_nan=False, allow_infinity=False).map(repr),
    "total": NUMBERS.map(lambda number: f"{number:f}") | NUMBERS.map(lambda number: f"{number:e}"),
    "paid": st.booleans().map(json.dumps),
    "day": st.dates().map(lambda day: f'"{day}"'),
}


@st.composite
def events(draw: st.DrawFn) -> bytes:
    members = {"event_type": '"order"', "at": f'"{draw(TIMES).isoformat(draw(st.sampled_from("T ")))}"'}
    for name in draw(st.lists(st.sampled_from(sorted(KNOWN)), unique=True)):
        members[name] = draw(st.just("null") | KNOWN[name])
    space = draw(st.sampled_from(["", " ", "\r\t"]))
    return (
        "{" + f"{space},".join(f'"{key}"{space}:{value}' for key, value in members.items()) + "}"
    ).encode()


@given(st.lists(events(), min_size=1, max_size=5))
def test_all_ways_of_reading_give_the_same_rows(lines: list[bytes]) -> None:
    read = read_lines(ORDER, lines)
    plain = read_plain(ORDER, lines)
    separated, extras, _ = read_with_unknown(ORDER, [line[:-1] + b',"x":{"y":[0]}}' for line in lines])
    rewritten, extra, row_errors = rewrite_lines(ORDER, find_unknown(ORDER, lines))
    assert (row_errors, extra.null_count) == ([], len(lines))
    assert read is not None
    assert rows(read) == rows(rewritten) == rows(separated)
    times = [datetime.fromisoformat(json.loads(line)["at"]) for line in lines]
    if plain is None:
        assert any(b"null" in line or rb"\ud" in line for line in lines) or not all(
            time.tzinfo for time in times
        )
    else:
        assert rows(plain) == rows(read)
    assert extras.to_pylist() == ['{"x":{"y":[0]}}'] * len(lines)


@given(
    events(),
    st.sampled_from([b'"x":0', b'"count":7', b'"total":0e400', b'"at":"2025-02-08t13:09:00.1234567z"']),
)
def test_rewritten_line_changes_no_other_row(line: bytes, member: bytes) -> None:
    suspects = line[:-1] + b"," + member + b"}"
    alone, _, _ = rewrite_lines(ORDER, find_unknown(ORDER, [line]))
    made, row_errors = table(ORDER, line, suspects, line)
    assert row_errors == []
    assert rows([made.column(i).combine_chunks()[:1] for i in range(9)]) == rows(alone)
    assert made.slice(0, 1).select(range(9)).equals(made.slice(2, 1).select(range(9)))
