"""One suite for every warehouse: exact values, each segment once, whoever loads it, however often."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sluice.arrow.from_json import to_table
from sluice.arrow.window_counts import count_events
from sluice.warehouses import SegmentLoad, open_warehouse

from tests.warehouses.backends import Backend
from tests.warehouses.order_segments import (
    DEAD_LETTER,
    EMPTY_ORDER,
    ID,
    MINUTE,
    NOW,
    ORDER,
    as_stored,
    event_counts,
    load,
    number_of,
    numbers,
    order,
    prepared,
    read_back,
    segment,
    segment_rows,
)

SPAWN = multiprocessing.get_context("spawn")


LARGEST = b"99999999999999999999999999999.999999999"
SOLD_LINE = (
    b'{"by":"\xc5\xbe","price":1.5,"at":"2025-02-08T13:09:07.5Z","day":"2025-02-08","gift":false,"tags":["a"],'
    b'"shop":{"id":7}}'
)
SOLD = {
    "by": "ž",
    "price": Decimal("1.5"),
    "at": datetime(2025, 2, 8, 13, 9, 7, 500_000, tzinfo=UTC),
    "day": date(2025, 2, 8),
    "gift": False,
    "tags": ["a"],
    "shop": {"id": 7},
}
VALUES: list[tuple[str, Any, Any]] = [
    ("text", "žluťoučký kůň 椅子 🐎 \u202e\u0301", "žluťoučký kůň 椅子 🐎 \u202e\u0301"),
    ("text", "'; DROP TABLE order_events; -- \"`$1?%s\\N\\", "'; DROP TABLE order_events; -- \"`$1?%s\\N\\"),
    ("text", "\x01\t\r\n\x7f\x85\u2028", "\x01\t\r\n\x7f\x85\u2028"),
    ("text", "", ""),
    ("text", " null ", " null "),
    ("text", "x" * 1_000_000, "x" * 1_000_000),
    ("total", LARGEST, Decimal(LARGEST.decode())),
    ("total", b"-" + LARGEST, Decimal(f"-{LARGEST.decode()}")),
    ("total", b"0.000000001", Decimal("0.000000001")),
    ("total", b"1e2", Decimal(100)),
    ("total", 0, Decimal(0)),
    ("ratio", b"0.1", 0.1),
    ("ratio", b"1.7976931348623157e308", 1.7976931348623157e308),
    ("ratio", b"5e-324", 5e-324),
    ("number", 2**63 - 1, 2**63 - 1),
    ("number", -(2**63), -(2**63)),
    ("paid", True, True),
    ("paid", False, False),
    ("day", "2024-02-29", date(2024, 2, 29)),
    ("tags", [], []),
    ("tags", ["", "ž", 'a"b\\c\n'], ["", "ž", 'a"b\\c\n']),
    ("items", [], []),
    (
        "items",
        b'[{"product_id":"%b","price":%b,"since":"2025-02-08T13:09:07.000001+02:00","sizes":[1,2]},'
        b'{"sizes":[]},{"price":0.5}]' % (ID.upper().encode(), LARGEST),
        [
            {
                "product_id": ID,
                "price": Decimal(LARGEST.decode()),
                "since": datetime(2025, 2, 8, 11, 9, 7, 1, tzinfo=UTC),
                "sizes": [1, 2],
            },
            {"product_id": None, "price": None, "since": None, "sizes": []},
            {"product_id": None, "price": Decimal("0.5"), "since": None, "sizes": None},
        ],
    ),
    ("deep", {}, {"a": None}),
    (
        "deep",
        b'{"a":{"b":{"c":[{"leaf":{"name":"\\"\\u017e\\\\","price":1.10}},{"leaf":null},{}]}}}',
        {
            "a": {
                "b": {
                    "c": [
                        {"leaf": {"name": '"ž\\', "price": Decimal("1.1")}},
                        {"leaf": None},
                        {"leaf": None},
                    ]
                }
            }
        },
    ),
    (
        "note",
        b'{"a":[1.10,12345678901234567890.123456789],"b":{"c":"\\"\\u017e"},"d":null}',
        {"a": [Decimal("1.10"), Decimal("12345678901234567890.123456789")], "b": {"c": '"ž'}, "d": None},
    ),
    ("note", {}, {}),
    ("sold", SOLD_LINE, SOLD),
    ("sold", None, None),
    (
        "sales",
        b'[{"n":1},{"sold":%b},{"sold":null},{}]' % SOLD_LINE,
        [
            {"n": 1, "sold": None},
            {"n": None, "sold": SOLD},
            {"n": None, "sold": None},
            {"n": None, "sold": None},
        ],
    ),
]


def test_values_of_every_type_are_read_back_exactly(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    lines = [order(**{name: value}) for name, value, _ in VALUES]
    assert load(warehouse, ORDER, segment(1, *lines)) == []
    for row, (name, value, expected) in zip(read_back(backend), VALUES, strict=True):
        assert row == as_stored(backend, {**EMPTY_ORDER, name: expected}), (name, value)


def test_timestamps_are_read_back_to_the_microsecond(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    texts = ("0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z")
    assert load(warehouse, ORDER, segment(1, *(order(at=text) for text in texts))) == []
    assert [row["at"] for row in read_back(backend)] == [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ]


def test_unknown_properties_are_stored_in_extra(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    load(warehouse, ORDER, segment(1, order(foo="ž", bar=b"1.10"), order(items=[{"x": 1}]), order()))
    assert [row["_extra"] for row in read_back(backend)] == [
        {"foo": "ž", "bar": Decimal("1.10")},
        {"items": {"0": {"x": 1}}},
        None,
    ]


@pytest.mark.parametrize(
    "where", [{"text": "a\0b"}, {"tags": ["a\0b"]}, {"note": {"a": "\0"}}, {"foo": "\0"}]
)
def test_row_with_a_zero_character_is_stored_or_rejected_alone(
    backend: Backend, where: dict[str, Any]
) -> None:
    warehouse = prepared(backend.url)
    row_errors = load(warehouse, ORDER, segment(1, order(text="before"), order(**where), order(text="after")))
    rows = read_back(backend)
    as_stored = [row["text"] for row in rows]
    if row_errors:
        assert numbers(row_errors) == [1]
        assert row_errors[0][1].strip()
        assert as_stored == ["before", "after"]
    else:
        name, value = next(iter(where.items()))
        row = rows[1]
        assert (row["_extra"][name] if name == "foo" else row[name]) == value
    assert sum(events for *_, events in event_counts(backend)) == len(rows)


def test_rows_have_event_id_and_segment_id(backend: Backend) -> None:
    load(prepared(backend.url), ORDER, segment(7, order(), order(1)))
    rows = backend.query("SELECT _event_id, _segment_id FROM order_events ORDER BY 1")
    assert [tuple(row) for row in rows] == [
        (f"{7:016x}{0:016x}", f"{7:032x}"),
        (f"{7:016x}{1:016x}", f"{7:032x}"),
    ]


def test_prepared_warehouse_is_empty(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    for table in ("order_events", "dead_letters", "event_counts", "_segments"):
        assert number_of(backend, table) == 0
    assert warehouse.row_errors(f"{1:032x}", MINUTE) is None


def test_prepare_twice_changes_nothing(backend: Backend) -> None:
    load(prepared(backend.url), ORDER, segment(1, order()))
    again = prepared(backend.url)
    assert number_of(backend, "order_events") == 1
    assert again.row_errors(f"{1:032x}", MINUTE) == []


def test_event_counts_sum_over_segments_without_dead_letters(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    load(warehouse, ORDER, segment(1, order(0), order(9.999999), order(10)))
    load(warehouse, ORDER, segment(2, order(5)))
    dead_letter = b'{"at":"2025-02-08T13:09:00Z","payload":"x"}'
    load(warehouse, DEAD_LETTER, segment(3, dead_letter, event_type="dead_letter"))
    start = datetime(2025, 2, 8, 13, 9, tzinfo=UTC)
    ten = timedelta(seconds=10)
    assert event_counts(backend) == [
        ("order", start, start + ten, 3),
        ("order", start + ten, start + 2 * ten, 1),
    ]
    assert [row["payload"] for row in read_back(backend, DEAD_LETTER)] == ["x"]


def test_events_are_counted_by_the_property_of_the_contract(backend: Backend) -> None:
    by_text = replace(ORDER, count_by="text")
    order_segment = segment(
        1, order(0, text="b"), order(1, text="a"), order(2), order(3, text="b"), order(4, text="order")
    )
    table, row_errors = to_table(by_text, order_segment, [f"{n:032x}" for n in range(5)], NOW)
    prepared(backend.url).load(
        SegmentLoad(by_text, order_segment, table, row_errors, count_events(by_text, table, 60, MINUTE), NOW)
    )
    assert [(kind, n) for kind, _, _, n in event_counts(backend)] == [("a", 1), ("b", 2), ("order", 2)]


def test_counts_and_rows_can_be_loaded_without_each_other(backend: Backend) -> None:
    warehouse = open_warehouse(backend.url)
    warehouse.prepare([DEAD_LETTER])
    order_segment = segment(1, order(0), b'{"at":7}', order(1))
    table, row_errors = to_table(ORDER, order_segment, [f"{n:032x}" for n in range(3)], NOW)
    windows = count_events(ORDER, table, 10, MINUTE)
    none = table.slice(0, 0)
    for _ in range(2):
        assert warehouse.load(SegmentLoad(ORDER, order_segment, none, row_errors, windows, NOW)) == row_errors
    assert warehouse.row_errors(order_segment.id, order_segment.minute) == row_errors
    assert [(kind, n) for kind, _, _, n in event_counts(backend)] == [("order", 2)]
    assert [mark[4:6] for mark in segment_rows(backend)] == [(2, 1)]
    again = prepared(backend.url)  # with the table
    assert (
        again.load(SegmentLoad(ORDER, replace(order_segment, id=f"{2:032x}"), table, row_errors, [], NOW))
        == row_errors
    )
    assert (number_of(backend, "order_events"), [mark[4:6] for mark in segment_rows(backend)]) == (
        2,
        [(2, 1), (2, 1)],
    )
    assert [(kind, n) for kind, _, _, n in event_counts(backend)] == [("order", 2)]


def test_loaded_segment_is_one_row_of_segments(backend: Backend) -> None:
    load(prepared(backend.url), ORDER, segment(1, order(0), order(10), b'{"at":7}'))
    minute = datetime(2025, 2, 8, 13, 9, tzinfo=UTC)
    assert segment_rows(backend) == [(f"{1:032x}", "order", "files/order/1.json", minute, 2, 1, NOW)]


def test_segment_loaded_twice_is_stored_once_and_returns_its_row_errors_again(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    order_segment = segment(1, order(), b'{"at":7}', order(1))
    assert warehouse.row_errors(order_segment.id, order_segment.minute) is None
    row_errors = load(warehouse, ORDER, order_segment)
    assert numbers(row_errors) == [1]
    assert load(warehouse, ORDER, order_segment) == row_errors
    assert warehouse.row_errors(order_segment.id, order_segment.minute) == row_errors
    assert open_warehouse(backend.url).row_errors(order_segment.id, order_segment.minute) == row_errors
    assert (number_of(backend, "order_events"), len(segment_rows(backend))) == (2, 1)
    assert sum(events for *_, events in event_counts(backend)) == 2


def test_segment_of_rejected_lines_alone_is_loaded_without_rows(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    assert numbers(load(warehouse, ORDER, segment(1, b'{"at":7}', b'{"at":8}'))) == [0, 1]
    assert [mark[4:6] for mark in segment_rows(backend)] == [(0, 2)]
    assert (number_of(backend, "order_events"), event_counts(backend)) == (0, [])


def test_open_warehouse_can_be_pickled(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    load(warehouse, ORDER, segment(1, order()))
    sent = pickle.loads(pickle.dumps(warehouse))
    load(sent, ORDER, segment(2, order()))
    load(warehouse, ORDER, segment(3, order()))
    assert number_of(backend, "order_events") == 3


def test_contract_with_a_new_description_loads_into_the_same_table(backend: Backend) -> None:
    load(prepared(backend.url), ORDER, segment(1, order()))
    newer = replace(ORDER, version="1.0.1", description="It's what customers ordered.")
    warehouse = open_warehouse(backend.url)
    warehouse.prepare([newer, DEAD_LETTER])
    load(warehouse, newer, segment(2, order()))
    assert number_of(backend, "order_events") == 2


# What other processes do is done by these, so that races and kills are real.


def _load_all(url: str, first: int, last: int) -> None:
    warehouse = open_warehouse(url)
    for number in range(first, last):
        load(warehouse, ORDER, segment(number, order(0), order(11), b'{"at":7}'))


def _killed_after(url: str) -> None:
    """Load a segment and die of SIGKILL before anybody hears of it."""
    _load_all(url, 1, 2)
    os.kill(os.getpid(), signal.SIGKILL)


def test_processes_that_load_the_same_segments_load_each_once(backend: Backend) -> None:
    prepared(backend.url)
    processes = [SPAWN.Process(target=_load_all, args=(backend.url, 0, 20)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (number_of(backend, "order_events"), len(segment_rows(backend))) == (40, 20)
    assert [events for *_, events in event_counts(backend)] == [20, 20]


def test_processes_can_prepare_at_the_same_time(backend: Backend) -> None:
    processes = [SPAWN.Process(target=prepared, args=(backend.url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert number_of(backend, "order_events") == 0


def test_load_of_a_killed_worker_is_not_repeated(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    process = SPAWN.Process(target=_killed_after, args=(backend.url,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    order_segment = segment(1, order(0), order(11), b'{"at":7}')
    known = warehouse.row_errors(order_segment.id, order_segment.minute)
    assert known is not None
    assert numbers(known) == [2]
    assert load(warehouse, ORDER, order_segment) == known
    assert (number_of(backend, "order_events"), len(segment_rows(backend))) == (2, 1)
    assert [events for *_, events in event_counts(backend)] == [1, 1]
