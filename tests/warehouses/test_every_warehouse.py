"""One suite for every warehouse: exact values, each segment once, whoever loads it, however often."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sluice.arrow.from_json import to_table
from sluice.arrow.window_counts import count_events
from sluice.contracts import Property
from sluice.errors import ConfigError
from sluice.tooling.tables import Changes, apply_contracts, compare_tables, create_tables, fit_to_table
from sluice.warehouses import SegmentLoad, open_warehouse

from tests.warehouses.backends import BACKENDS, Backend, MakeBackend
from tests.warehouses.order_segments import (
    ID,
    LETTER,
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


@pytest.fixture(scope="module", params=BACKENDS)
def make_backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeBackend]:
    with BACKENDS[request.param](tmp_path_factory.mktemp("server")) as make:
        yield make


@pytest.fixture
def backend(make_backend: MakeBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backend:
    made = make_backend(tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


EMPTY = {prop.name: None for prop in ORDER.properties} | {
    "order_id": ID,
    "at": datetime(2025, 2, 8, 13, 9, tzinfo=UTC),
    "_extra": None,
}
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


def test_values_come_back_exactly(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    lines = [order(**{name: value}) for name, value, _ in VALUES]
    assert load(warehouse, ORDER, segment(1, *lines)) == []
    for row, (name, value, expected) in zip(read_back(backend), VALUES, strict=True):
        assert row == as_stored(backend, {**EMPTY, name: expected}), (name, value)


def test_times_come_back_to_the_microsecond(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    texts = ("0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z")
    assert load(warehouse, ORDER, segment(1, *(order(at=text) for text in texts))) == []
    assert [row["at"] for row in read_back(backend)] == [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ]


def test_unknown_properties_are_kept(backend: Backend) -> None:
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
def test_a_zero_character_is_kept_or_refused_by_itself(backend: Backend, where: dict[str, Any]) -> None:
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


def test_columns_that_sluice_adds(backend: Backend) -> None:
    load(prepared(backend.url), ORDER, segment(7, order(), order(1)))
    rows = backend.query("SELECT _event_id, _segment_id FROM order_events ORDER BY 1")
    assert [tuple(row) for row in rows] == [
        (f"{7:016x}{0:016x}", f"{7:032x}"),
        (f"{7:016x}{1:016x}", f"{7:032x}"),
    ]


def test_a_fresh_warehouse_is_empty(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    for table in ("order_events", "dead_letters", "event_counts", "_segments"):
        assert number_of(backend, table) == 0
    assert warehouse.row_errors(f"{1:032x}", MINUTE) is None


def test_preparing_again_changes_nothing(backend: Backend) -> None:
    load(prepared(backend.url), ORDER, segment(1, order()))
    again = prepared(backend.url)
    assert number_of(backend, "order_events") == 1
    assert again.row_errors(f"{1:032x}", MINUTE) == []


def test_counts_sum_over_segments_and_leave_dead_letters_out(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    load(warehouse, ORDER, segment(1, order(0), order(9.999999), order(10)))
    load(warehouse, ORDER, segment(2, order(5)))
    letter = b'{"at":"2025-02-08T13:09:00Z","payload":"x"}'
    load(warehouse, LETTER, segment(3, letter, event_type="dead_letter"))
    start = datetime(2025, 2, 8, 13, 9, tzinfo=UTC)
    ten = timedelta(seconds=10)
    assert event_counts(backend) == [
        ("order", start, start + ten, 3),
        ("order", start + ten, start + 2 * ten, 1),
    ]
    assert [row["payload"] for row in read_back(backend, LETTER)] == ["x"]


def test_counts_are_by_property_where_the_contract_says_so(backend: Backend) -> None:
    by_text = replace(ORDER, count_by="text")
    each = segment(
        1, order(0, text="b"), order(1, text="a"), order(2), order(3, text="b"), order(4, text="order")
    )
    table, row_errors = to_table(by_text, each, [f"{n:032x}" for n in range(5)], NOW)
    prepared(backend.url).load(
        SegmentLoad(by_text, each, table, row_errors, count_events(by_text, table, 60), NOW)
    )
    assert [(kind, n) for kind, _, _, n in event_counts(backend)] == [("a", 1), ("b", 2), ("order", 2)]


def test_counts_can_be_loaded_alone_and_rows_without_counts(backend: Backend) -> None:
    warehouse = open_warehouse(backend.url)
    warehouse.prepare([LETTER])
    each = segment(1, order(0), b'{"at":7}', order(1))
    table, row_errors = to_table(ORDER, each, [f"{n:032x}" for n in range(3)], NOW)
    windows = count_events(ORDER, table, 10)
    none = table.slice(0, 0)
    for _ in range(2):
        assert warehouse.load(SegmentLoad(ORDER, each, none, row_errors, windows, NOW)) == row_errors
    assert warehouse.row_errors(each.id, each.minute) == row_errors
    assert [(kind, n) for kind, _, _, n in event_counts(backend)] == [("order", 2)]
    assert [mark[4:6] for mark in segment_rows(backend)] == [(2, 1)]
    again = prepared(backend.url)  # with the table
    assert (
        again.load(SegmentLoad(ORDER, replace(each, id=f"{2:032x}"), table, row_errors, [], NOW))
        == row_errors
    )
    assert (number_of(backend, "order_events"), [mark[4:6] for mark in segment_rows(backend)]) == (
        2,
        [(2, 1), (2, 1)],
    )
    assert [(kind, n) for kind, _, _, n in event_counts(backend)] == [("order", 2)]


def test_each_segment_is_one_row_of_segments(backend: Backend) -> None:
    load(prepared(backend.url), ORDER, segment(1, order(0), order(10), b'{"at":7}'))
    minute = datetime(2025, 2, 8, 13, 9, tzinfo=UTC)
    assert segment_rows(backend) == [(f"{1:032x}", "order", "files/order/1.json", minute, 2, 1, NOW)]


def test_a_segment_loaded_twice_is_there_once_and_tells_its_refused_lines_again(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    each = segment(1, order(), b'{"at":7}', order(1))
    assert warehouse.row_errors(each.id, each.minute) is None
    row_errors = load(warehouse, ORDER, each)
    assert numbers(row_errors) == [1]
    assert load(warehouse, ORDER, each) == row_errors
    assert warehouse.row_errors(each.id, each.minute) == row_errors
    assert open_warehouse(backend.url).row_errors(each.id, each.minute) == row_errors
    assert (number_of(backend, "order_events"), len(segment_rows(backend))) == (2, 1)
    assert sum(events for *_, events in event_counts(backend)) == 2


def test_a_segment_of_refused_lines_only_is_loaded_without_rows(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    assert numbers(load(warehouse, ORDER, segment(1, b'{"at":7}', b'{"at":8}'))) == [0, 1]
    assert [mark[4:6] for mark in segment_rows(backend)] == [(0, 2)]
    assert (number_of(backend, "order_events"), event_counts(backend)) == (0, [])


def test_an_opened_warehouse_can_be_sent_to_workers(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    load(warehouse, ORDER, segment(1, order()))
    sent = pickle.loads(pickle.dumps(warehouse))
    load(sent, ORDER, segment(2, order()))
    load(warehouse, ORDER, segment(3, order()))
    assert number_of(backend, "order_events") == 3


def test_a_contract_that_learnt_a_description_loads_into_the_same_table(backend: Backend) -> None:
    load(prepared(backend.url), ORDER, segment(1, order()))
    newer = replace(ORDER, version="1.0.1", description="It's what customers ordered.")
    warehouse = open_warehouse(backend.url)
    warehouse.prepare([newer, LETTER])
    load(warehouse, newer, segment(2, order()))
    assert number_of(backend, "order_events") == 2


NEW = (
    Property("colour", "string", description="It's new."),
    Property("discount", "decimal"),
    Property("gifts", "array", items=Property("item", "string", required=True)),
)
NEWER = replace(ORDER, version="1.1.0", properties=(*NEW, *ORDER.properties))
NEW_LINE: dict[str, Any] = {"colour": "ž", "discount": b"1.10", "gifts": ["a"]}
NEW_ROW: dict[str, Any] = {"colour": "ž", "discount": Decimal("1.1"), "gifts": ["a"]}


def test_a_new_optional_property_is_in_extra_until_its_column_is_added(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    assert compare_tables(warehouse, [ORDER, LETTER]).left == []
    load(warehouse, ORDER, segment(1, order(**NEW_LINE)))
    warehouse = open_warehouse(backend.url)
    warehouse.prepare([NEWER, LETTER])
    (as_it_is,) = fit_to_table(warehouse, [NEWER])
    assert as_it_is.properties == ORDER.properties
    load(warehouse, as_it_is, segment(2, order(**NEW_LINE), order()))
    differences = warehouse.differences(NEWER)
    assert differences is not None
    assert [(each.path, each.effect) for each in differences] == [(each.name, "addable") for each in NEW]
    changes = apply_contracts(warehouse, [NEWER, LETTER])
    assert (changes.left, changes.done) == ([], [f"order_events.{each.name}: added" for each in NEW])
    assert apply_contracts(warehouse, [NEWER, LETTER]) == Changes([], [])
    load(warehouse, as_it_is, segment(3, order(**NEW_LINE)))  # a run that began before
    assert fit_to_table(warehouse, [NEWER]) == [NEWER]
    load(warehouse, NEWER, segment(4, order(**NEW_LINE)))
    without = as_stored(
        backend, {**EMPTY, **dict.fromkeys(NEW_LINE)} | ({"gifts": []} if "bigquery" in backend.url else {})
    )
    in_extra = {**without, "_extra": NEW_ROW}
    rows = [in_extra, in_extra, without, in_extra, {**without, **NEW_ROW}]
    assert read_back(backend, NEWER) == rows
    prepared(backend.url).prepare([NEWER, LETTER])
    assert read_back(backend, NEWER) == rows


def test_a_new_member_of_an_object_is_nowhere_lost(backend: Backend) -> None:
    """It is a column's part in some warehouses, and so may be lacking; others keep objects whole."""
    warehouse = prepared(backend.url)
    newer = replace(ORDER, properties=tuple(_with_member(each) for each in ORDER.properties))
    line = order(deep=b'{"new":1.10}', items=b'[{"new":"x","price":2}]')
    load(warehouse, ORDER, segment(1, line))
    for number in (2, 3):
        warehouse.prepare([newer, LETTER])
        load(warehouse, fit_to_table(warehouse, [newer])[0], segment(number, line))
        left = apply_contracts(warehouse, [newer]).left
    extra = {"deep": {"new": Decimal("1.10")}, "items": {"0": {"new": "x"}}}
    if backend.url.startswith("bigquery:"):  # the emulator answers that it has done so, and adds none
        assert left == [
            f"order_events.{name}: expected {name} {kind}, got no such column:"
            " the warehouse was asked to add it, and has not"
            for name, kind in (("items[].new", "STRING"), ("deep.new", "NUMERIC"))
        ]
        assert [row["_extra"] for row in read_back(backend)] == [extra] * 3
        return
    assert (left, warehouse.differences(newer)) == ([], [])
    last = read_back(backend, newer)[-1]
    assert (last["deep"]["new"], last["items"][0]["new"], last["_extra"]) == (Decimal("1.1"), "x", None)
    assert read_back(backend, newer)[0]["_extra"] == extra


def _with_member(prop: Property) -> Property:
    if prop.name == "deep":
        return replace(prop, properties=(*prop.properties, Property("new", "decimal")))
    if prop.name == "items" and prop.items is not None:
        inner = replace(prop.items, properties=(*prop.items.properties, Property("new", "string")))
        return replace(prop, items=inner)
    return prop


def test_what_is_not_only_more_is_refused_and_left_alone(backend: Backend) -> None:
    warehouse = open_warehouse(backend.url)
    assert compare_tables(warehouse, [ORDER]).left == ["order_events: no such table"]
    assert create_tables(warehouse, [ORDER, LETTER]) == Changes(
        ["order_events: created", "dead_letters: created"], []
    )
    assert create_tables(warehouse, [ORDER, LETTER]) == Changes([], [])
    other = tuple(each for each in ORDER.properties if each.name not in ("number", "paid"))
    changed = replace(
        ORDER, properties=(*NEW[:1], Property("number", "string"), *other), path="order.odcs.yaml"
    )
    found = warehouse.differences(changed)
    assert found is not None
    assert [(each.path, each.effect) for each in found] == [
        ("colour", "addable"),
        ("number", "incompatible"),
        (found[2].path, "tolerated"),
    ]
    assert found[2].path.lower() == "paid"
    before = [str(each) for each in found]
    with pytest.raises(ConfigError) as raised:
        fit_to_table(warehouse, [changed])
    assert str(raised.value) == (
        f"order.odcs.yaml: table {before[1]}; alter the table, or load into another one"
    )
    assert apply_contracts(warehouse, [changed]) == Changes(
        [],
        [
            f"{before[0]}: not added, as no run can load into this table",
            f"{before[1]}: left, as only columns that may be null are added; no run can load",
            f"{before[2]}: left, as only columns that may be null are added; a run works",
        ],
    )
    assert compare_tables(warehouse, [changed]).left == before
    warehouse.prepare([changed])
    assert compare_tables(warehouse, [changed]).left == before
    required = replace(ORDER, properties=(Property("colour", "string", required=True), *ORDER.properties))
    effect = "addable" if backend.url.startswith("duckdb:") else "incompatible"  # a view requires nothing
    assert [each.effect for each in warehouse.differences(required) or []] == [effect]


# What other processes do is done by these, so that races and kills are real.


def _load_all(url: str, first: int, last: int) -> None:
    warehouse = open_warehouse(url)
    for number in range(first, last):
        load(warehouse, ORDER, segment(number, order(0), order(11), b'{"at":7}'))


def _killed_after(url: str) -> None:
    """Load a segment and die of SIGKILL before anybody hears of it."""
    _load_all(url, 1, 2)
    os.kill(os.getpid(), signal.SIGKILL)


def test_processes_that_race_for_the_same_segments_load_each_once(backend: Backend) -> None:
    prepared(backend.url)
    processes = [SPAWN.Process(target=_load_all, args=(backend.url, 0, 20)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (number_of(backend, "order_events"), len(segment_rows(backend))) == (40, 20)
    assert [events for *_, events in event_counts(backend)] == [20, 20]


def test_runs_that_start_at_once_all_prepare(backend: Backend) -> None:
    processes = [SPAWN.Process(target=prepared, args=(backend.url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert number_of(backend, "order_events") == 0


def test_a_worker_killed_after_a_load_leaves_it_done(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    process = SPAWN.Process(target=_killed_after, args=(backend.url,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    each = segment(1, order(0), order(11), b'{"at":7}')
    known = warehouse.row_errors(each.id, each.minute)
    assert known is not None
    assert numbers(known) == [2]
    assert load(warehouse, ORDER, each) == known
    assert (number_of(backend, "order_events"), len(segment_rows(backend))) == (2, 1)
    assert [events for *_, events in event_counts(backend)] == [1, 1]
