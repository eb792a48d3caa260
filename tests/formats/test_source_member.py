"""The member `_source`: what is added to a line can be read back, whatever the record says."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from sluice.formats.source_member import Source, source_of, with_source, without_position, without_source
from sluice.provenance import Origin

ARRIVAL = 1736330400.25
ARRIVED_AT = datetime(2025, 1, 8, 10, 0, 0, 250000, tzinfo=UTC)
ORIGIN = Origin("sales/a.csv", ARRIVAL, offset=42)


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (
            b"{}",
            b'{"_source":{"uri":"sales/a.csv","arrived_at":"2025-01-08T10:00:00.250000Z","position":42}}',
        ),
        (
            b' {"a":1 } ',
            b' {"a":1,"_source":{"uri":"sales/a.csv","arrived_at":"2025-01-08T10:00:00.250000Z","position":42}}',
        ),
    ],
)
def test_source_is_the_last_member(record: bytes, line: bytes) -> None:
    assert with_source(record, ORIGIN) == line


@pytest.mark.parametrize(
    "record",
    [
        b"{}",
        b'{"a":1}',
        b'{"_source":"mine"}',
        b'{"_source":{"uri":"mine","arrived_at":"2020-01-01T00:00:00Z","position":7},"b":{}}',
        b'{"a":"\\",\\"_source\\":{\\"uri\\":\\"x\\",\\"position\\":1}}"}',
        b'{"a":",\\"position\\":5"}',
        b'{"a":{"position":5}}',
    ],
)
@pytest.mark.parametrize(
    ("origin", "source"),
    [
        (ORIGIN, Source("sales/a.csv", ARRIVED_AT, 42)),
        (
            Origin('o"\\\n\u00e9.csv', 0.0, offset=0),
            Source('o"\\\n\u00e9.csv', datetime(1970, 1, 1, tzinfo=UTC), 0),
        ),
        (Origin("kafka://b/t", ARRIVAL, partition=3, offset=9), Source("kafka://b/t/3", ARRIVED_AT, 9)),
        (Origin("pubsub://s", ARRIVAL, message_id="m"), Source("pubsub://s", ARRIVED_AT, 0)),
        (Origin("https://a/b", ARRIVAL, message_id="m", place=7), Source("https://a/b", ARRIVED_AT, 7)),
        (Origin("a", ARRIVAL, offset=1, timed=False), Source("a", datetime(1970, 1, 1, tzinfo=UTC), 1)),
        (Origin(',"position":1', ARRIVAL, offset=2), Source(',"position":1', ARRIVED_AT, 2)),
    ],
    ids=["file", "escapes", "partition", "message", "place", "untimed", "position"],
)
def test_source_of_any_record_is_read_back(record: bytes, origin: Origin, source: Source) -> None:
    line = with_source(record, origin)
    msgspec.json.decode(line)
    assert b"\n" not in line
    assert source_of(line) == source
    assert without_source(line) == record


def test_line_without_position_is_that_of_its_record_and_export() -> None:
    moved = Origin("sales/a.csv", ARRIVAL, offset=43)
    later = Origin("sales/a.csv", ARRIVAL + 1e-6, offset=42)
    other = Origin("sales/b.csv", ARRIVAL, offset=42)
    line = without_position(with_source(b'{"a":1}', ORIGIN))
    assert without_position(with_source(b'{"a":1}', moved)) == line
    lines = [with_source(b'{"a":1}', later), with_source(b'{"a":1}', other), with_source(b'{"a":2}', ORIGIN)]
    assert line not in map(without_position, lines)


@pytest.mark.parametrize("line", [b"{}", b'{"a":1}', b'{"_source":1}', b""])
def test_line_without_a_source_is_an_error(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        without_position(line)
    with pytest.raises((msgspec.DecodeError, msgspec.ValidationError)):
        source_of(line)
    assert without_source(line) == line
