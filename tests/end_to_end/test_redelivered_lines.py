"""A record that is accepted when it is redelivered is the line that it would have been at first.

Over the space of where records come from and how their events are told apart.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from sluice.contracts import Contract, Identity, Property
from sluice.dead_letters.envelope import make_dead_letter, minute_of
from sluice.dead_letters.log import DeadLetterLog
from sluice.dead_letters.reading import find_minutes, read_batches
from sluice.dead_letters.selection import Selection
from sluice.elements import DEAD_LETTER, LogKey, RecordBatch
from sluice.provenance import (
    CsvDialect,
    CsvProvenance,
    FileProvenance,
    MessageProvenance,
    PartitionProvenance,
    Provenance,
)
from sluice.validation.age_limits import AgeLimits
from sluice.validation.deduplication_keys import compile_deduplication_key
from sluice.validation.records import RecordDecoder

ARRIVAL = 1739020170.123456
RECORDS = [
    b'{"id":1,"at":"2025-02-08T13:09:01Z","kind":"new","_id":"mine","_source":"mine"}',
    b' {"id":2, "at":"2025-02-08T13:09:02Z", "kind":"new"} ',
    b'{"at":"2025-02-08T13:10:03Z","kind":"new","id":3}',
]
ROWS = [b"1,2025-02-08T13:09:01Z,new", b'2,"2025-02-08T13:09:02Z","new"', b"3,2025-02-08T13:10:03Z,new"]
TIMES = [ARRIVAL, ARRIVAL + 1, ARRIVAL + 0.25]
IDS = ["m-1", 'm"2', "m-\u00e9"]
HEADERS = [{"a": "1"}, {}, {"b": "\u00e9"}]
CSV = CsvDialect(("id", "at", "kind"), ",", "utf-8")
SOURCES: dict[str, Provenance] = {
    "file": FileProvenance("in/\u00e9 a.ndjson", ARRIVAL, [0, 100, 200]),
    "old file": FileProvenance("a", -1.5, [0, 100, 200]),
    "csv": CsvProvenance("in/a.csv", ARRIVAL, [20, 60, 90], [2, 3, 4], CSV),
    "partition": PartitionProvenance("kafka://b/t", ARRIVAL, 3, [7, 8, 9], TIMES, HEADERS, "T0p1c"),
    "partition of an old broker": PartitionProvenance("kafka://b/t", ARRIVAL, 0, [7, 8, 9], TIMES),
    "partition without times": PartitionProvenance(
        "kafka://b/t", ARRIVAL, 3, [7, 8, 9], TIMES, None, "T0p1c", untimed=frozenset({0, 2})
    ),
    "messages": MessageProvenance("pubsub://s", ARRIVAL, IDS, TIMES, HEADERS),
    "messages without times": MessageProvenance("pubsub://s", ARRIVAL, IDS, TIMES, untimed=frozenset({1})),
    "pages": MessageProvenance("https://a/b", ARRIVAL, IDS, TIMES, position=10, in_places=True),
}


def contract(identity: Identity, accepts: str, *, event_time: bool) -> Contract:
    return Contract(
        event_type="click",
        table="clicks",
        id="click",
        version="1.0.0",
        domain="test",
        description="",
        properties=(
            Property("id", "integer", required=True, unique=identity == "properties"),
            Property("at", "timestamp", required=True),
            Property("kind", "string", enum=(accepts,)),
        ),
        event_time="at" if event_time else None,
        identity=identity,
    )


def decoder(made: Contract) -> RecordDecoder:
    return RecordDecoder({"click": made}, None, AgeLimits(1e10, 1e10, started=None), 1)


@pytest.mark.parametrize("event_time", [True, False], ids=["event time", "arrival"])
@pytest.mark.parametrize("identity", ["content", "properties", "delivery", "export"])
@pytest.mark.parametrize("provenance", SOURCES.values(), ids=SOURCES)
def test_redelivered_line_is_the_one_that_would_have_been_stored(
    tmp_path: Path, provenance: Provenance, identity: Identity, event_time: bool
) -> None:
    narrow = contract(identity, "old", event_time=event_time)
    widened = contract(identity, "new", event_time=event_time)
    batch = RecordBatch(ROWS if isinstance(provenance, CsvProvenance) else RECORDS, provenance)
    stored = decoder(widened).decode(batch)
    assert not stored.rejected
    dead = decoder(narrow).decode(batch).rejected
    assert len(dead) == 3
    log = DeadLetterLog.at(str(tmp_path), redeliveries=True)
    log.open()
    for record in dead:
        dead_letter = make_dead_letter(record, "job", ARRIVAL + 60)
        log.append(DEAD_LETTER, minute_of(dead_letter.time), 0, [msgspec.json.encode(dead_letter)])
    redelivered: dict[LogKey, list[bytes]] = {}
    for minute in find_minutes(log):
        for again in read_batches(minute, log, Selection()):
            decoded = decoder(widened).decode(again)
            assert not decoded.rejected
            for key, lines in decoded.events.items():
                redelivered.setdefault(key, []).extend(lines)
    assert {key: sorted(lines) for key, lines in redelivered.items()} == {
        key: sorted(lines) for key, lines in stored.events.items()
    }
    key_of = compile_deduplication_key(widened)
    assert len({key_of(line) for lines in redelivered.values() for line in lines}) == 3
