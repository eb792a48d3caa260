"""Dead letters of hostile records, keys, headers and coordinates: each is a row of every warehouse."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sluice.config.job import Job
from sluice.dead_letters.envelope import (
    dead_letter_contract,
    make_dead_letter,
    make_redelivery_entry,
    minute_of,
    redelivery_contract,
)
from sluice.elements import DEAD_LETTER, REDELIVERY, Rejected, Segment, Violation
from sluice.graph.segment_loader import SegmentConverter
from sluice.provenance import CsvDialect, Origin, RedeliveryOrigin
from sluice.warehouses import RowLimited, open_warehouse

from tests.graph.graph_fixture import GraphRun
from tests.warehouses.backends import Backend
from tests.warehouses.order_segments import PLAIN, event_counts

NOW = datetime(2025, 2, 8, 14, 0, tzinfo=UTC)
ARRIVAL = datetime(2025, 2, 8, 13, 9, tzinfo=UTC).timestamp()
LARGE = 10_000_000
TEXTS = {
    "zero": "a\0b",
    "escaped zero": "a\\u0000b",
    "surrogate": "file\udcff.json",
    "controls": "".join(map(chr, range(32))) + "\x7f\x80\u2028",
    "quotes": "'; DROP TABLE dead_letters; -- \" `x` $1 %s ? :a {} \\N \\x00 /* */",
    "unicode": "\ufeffž椅子🐎\u202e\u0301\U0010ffff",
    "long": "ž" * 100_000,
}


def rejected(record: bytes = b"{", *, text: str = "x", **fields: Any) -> Rejected:
    """Return a rejected record whose coordinates, attributes and reasons hold `text`."""
    origin = Origin(
        uri=text, arrival=ARRIVAL, message_id=text, offset=2**63 - 1, attributes={text: text, "key": text}
    )
    return Rejected(
        record=record,
        origin=origin,
        step="decode",
        violations=(Violation("format", text, text, text),),
        **{"event_type": text, "contract": text, **fields},
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


SPACE: dict[str, Rejected] = {
    **{f"text {name}": rejected(text=text) for name, text in TEXTS.items()},
    "invalid UTF-8": rejected(b'{"a":"\xff\xfe"}'),
    "surrogate in the payload": rejected(b'{"a":"\\ud800"}'),
    "zero in the payload": rejected(b"\0"),
    "escaped zero in the payload": rejected(b'{"a":"\\u0000"}'),
    "every byte": rejected(bytes(range(256))),
    "nothing": rejected(b""),
    "deep": rejected(b"[" * 100_000),
    "deep objects": rejected(b'{"a":' * 50_000),
    "large text": rejected(b"x" * LARGE),
    "large bytes": rejected(b"\xff" * LARGE),
    "large key": rejected(b"{", text="k" * 1_000_000),
    "year 1": rejected(b"1", event_time=at("0001-01-01T00:00:00+00:00")),
    "year 999": rejected(b"999", event_time=at("0999-12-31T23:59:59.999999+00:00")),
    "year 9999": rejected(b"9999", event_time=at("9999-12-31T23:59:59.999999+00:00")),
    "columns": rejected(b";", dialect=CsvDialect(("a\0", "b", "'\""), ";", "utf-8")),
    "masked": rejected(b"masked", masked=frozenset({"a\0b", "items[].\0"})),
}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return GraphRun(tmp_path, live=False).job


def rows(backend: Backend) -> dict[str, dict[str, Any]]:
    """Return the rows of the table by `letter_id`."""
    columns = ("letter_id", "payload", "payload_base64", "attributes", "time", "_extra")
    quote = "`{}`" if backend.url.startswith("bigquery:") else '"{}"'
    table = '"dead_letters"'
    if backend.url.startswith("bigquery:"):
        table = "(SELECT * FROM `dead_letters` WHERE time >= @first)"
    found = backend.query(f"SELECT {', '.join(map(quote.format, columns))} FROM {table}")
    return {row[0]: dict(zip(columns, row, strict=True)) for row in found}


def as_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str | bytes) else value


def load_all(backend: Backend, job: Job) -> dict[str, dict[str, Any]]:
    """Load the dead letters of the whole space, each as a segment of its own; return their rows by name."""
    contract = dead_letter_contract()
    warehouse = open_warehouse(backend.url)
    warehouse.prepare([contract])
    limit = warehouse.max_row_bytes if isinstance(warehouse, RowLimited) else None
    converter = SegmentConverter(job, {DEAD_LETTER: contract}, limit)
    names = {}
    for number, (name, record) in enumerate(SPACE.items()):
        dead_letter = make_dead_letter(record, "job", NOW.timestamp())
        line = msgspec.json.encode(dead_letter)
        assert msgspec.json.decode(line, type=type(dead_letter)).record == record.record
        letters = Segment(f"{number:032x}", DEAD_LETTER, "d.json", minute_of(dead_letter.time), [line])
        assert warehouse.load(converter.convert(letters, NOW, NOW).load) == [], name
        names[dead_letter.letter_id] = name
    found = rows(backend)
    assert found.keys() == names.keys()
    return {names[letter_id]: row for letter_id, row in found.items()}


def test_dead_letter_of_any_record_is_a_row(backend: Backend, job: Job) -> None:
    by_name = load_all(backend, job)
    zero = by_name["text zero"]
    assert as_json(zero["attributes"]) == {"a\\u0000b": "a\\u0000b", "key": "a\\u0000b"}
    assert as_json(zero["_extra"])["escaped"] == [
        "attributes",
        "contract",
        "event_type",
        "source",
        "violations",
    ]
    literal = by_name["text escaped zero"]
    assert as_json(literal["attributes"]) == {"a\\u0000b": "a\\u0000b", "key": "a\\u0000b"}
    assert literal["_extra"] is None
    assert as_json(by_name["text surrogate"]["attributes"])["key"] == "file\\udcff.json"
    assert as_json(by_name["text controls"]["attributes"])["key"] == TEXTS["controls"].replace(
        "\0", "\\u0000"
    )
    for name in ("quotes", "unicode", "long"):
        assert as_json(by_name[f"text {name}"]["attributes"])["key"] == TEXTS[name]
        assert by_name[f"text {name}"]["_extra"] is None
    assert (by_name["nothing"]["payload"], by_name["deep"]["payload"]) == ("", "[" * 100_000)
    assert by_name["large text"]["payload"] == "x" * LARGE
    assert by_name["large bytes"]["_extra"] is None
    years = [str(by_name[name]["time"])[:10] for name in ("year 999", "year 9999")]
    assert years == ["0999-12-31", "9999-12-31"]


def test_view_says_what_became_of_each_dead_letter(backend: Backend, job: Job) -> None:
    contracts = {DEAD_LETTER: dead_letter_contract(), REDELIVERY: redelivery_contract()}
    warehouse = open_warehouse(backend.url)
    for _ in range(2):  # what is there stays
        warehouse.prepare(list(contracts.values()))
    converter = SegmentConverter(job, contracts)
    again = msgspec.structs.replace(rejected(b"4").origin, redelivery=RedeliveryOrigin("again", 4, NOW))
    records = {
        "open": rejected(b"1"),
        "redelivered": rejected(b"2", text="a\0b"),
        "resolved": rejected(b"3"),
        "fourth": replace(rejected(b"4"), origin=again),
    }
    letters = {name: make_dead_letter(record, "job", ARRIVAL) for name, record in records.items()}
    entries = [
        make_redelivery_entry(
            RedeliveryOrigin(letters[name].letter_id, attempt, letters[name].time),
            "job",
            ARRIVAL + attempt,
            outcome,
        )
        for name, attempt, outcome in (
            ("redelivered", 2, letters["redelivered"]),
            ("resolved", 2, letters["resolved"]),
            ("resolved", 3, None),
        )
    ]
    for number, (event_type, rows) in enumerate(((DEAD_LETTER, letters.values()), (REDELIVERY, entries))):
        lines = [msgspec.json.encode(row) for row in rows]
        stored = Segment(f"{number:032x}", event_type, "d.json", minute_of(letters["open"].time), lines)
        assert warehouse.load(converter.convert(stored, NOW, NOW).load) == []
    names = {letter.letter_id: name for name, letter in letters.items()}
    found = backend.query("SELECT letter_id, status, attempts FROM dead_letter_status")
    assert {names[letter_id]: (status, int(attempts)) for letter_id, status, attempts in found} == {
        "open": ("open", 1),
        "redelivered": ("redelivered", 2),
        "resolved": ("resolved", 3),
        "fourth": ("open", 4),
    }
    # The emulator of Snowflake answers with no time that is null.
    for column, expected in (
        ("last_redelivered_at", {"redelivered": 2.0, "resolved": 3.0}),
        ("resolved_at", {"resolved": 3.0}),
    ):
        ats = backend.query(f"SELECT letter_id, {column} FROM dead_letter_status WHERE {column} IS NOT NULL")
        seconds = {names[letter_id]: PLAIN["timestamp"](at).timestamp() - ARRIVAL for letter_id, at in ats}
        assert seconds == expected
    assert event_counts(backend) == []
