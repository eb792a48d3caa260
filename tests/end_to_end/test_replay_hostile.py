"""Any bytes as a record: an accepted event or a dead letter, with the identical bytes, never less, never more."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from tests.end_to_end.hostile_records import ACCEPTED, CASES, event, nested
from tests.end_to_end.replay_fixture import Replay, lines_of


class Outcome(NamedTuple):
    """What the run made: accepted line -> where it is stored, and dead letters by payload."""

    lines: Counter[tuple[str, bytes]]
    dead_letters: Counter[tuple[str, bytes]]
    replay: Replay
    offsets: dict[bytes, int]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Send all cases as lines of one file, in one run; starting a run costs seconds."""
    folder = tmp_path_factory.mktemp("hostile")
    records = [case.record for case in CASES.values()]
    (folder / "in").write_bytes(b"\n\n".join(records))
    with TemporaryDirectory(prefix="replay") as scratch:
        replay = Replay(folder / "out", Path(scratch))
        replay.run(folder / "in")
        lines = Counter(
            {
                (name, line): times
                for name, stored in replay.events().items()
                for line, times in stored.items()
            }
        )
        dead_letters = Counter(
            (dead_letter["code"], payload(dead_letter)) for dead_letter in replay.stored_dead_letters()
        )
        offsets = {
            payload(dead_letter): dead_letter["source"]["offset"]
            for dead_letter in replay.stored_dead_letters()
        }
        yield Outcome(lines, dead_letters, replay, offsets)


def payload(dead_letter: dict[str, Any]) -> bytes:
    assert ("payload" in dead_letter) != ("payload_base64" in dead_letter)
    return (
        dead_letter["payload"].encode()
        if "payload" in dead_letter
        else base64.b64decode(dead_letter["payload_base64"])
    )


@pytest.mark.parametrize("name", CASES)
def test_record_becomes_an_event_or_a_dead_letter_with_identical_bytes(outcome: Outcome, name: str) -> None:
    case = CASES[name]
    as_event = [(where, line, times) for (where, line), times in outcome.lines.items() if line in case.lines]
    rejected = {
        code: times for (code, record), times in outcome.dead_letters.items() if record == case.record
    }
    if case.verdict == ACCEPTED:
        stored = sorted((f"inventory/{case.minute}", line, 1) for line in case.lines)
        assert (sorted(as_event), rejected) == (stored, {})
    else:
        assert (as_event, rejected) == ([], {case.verdict: 1})


def test_no_hostile_record_is_lost_or_added(outcome: Outcome) -> None:
    verdicts = Counter(case.verdict == ACCEPTED for case in CASES.values() for _ in case.lines)
    assert outcome.replay.figures() == (
        verdicts.total(),
        verdicts[True],
        0,
        verdicts[False],
        verdicts[True],
        0,
    )
    assert (outcome.lines.total(), outcome.dead_letters.total()) == (verdicts[True], verdicts[False])
    assert outcome.replay.sql("select count(*) from inventory_events") == [(verdicts[True],)]
    assert outcome.replay.sql("select count(*) from dead_letters") == [(verdicts[False],)]


def test_dead_letters_have_the_byte_offset_of_their_record(outcome: Outcome) -> None:
    at = 0
    for case in CASES.values():
        if case.verdict != ACCEPTED:
            assert outcome.offsets[case.record] == at
        at += len(case.record) + 2


def test_dead_letter_table_has_identical_bytes(outcome: Outcome) -> None:
    rows = outcome.replay.sql("select code, payload, payload_base64 from dead_letters")
    loaded = Counter(
        (code, text.encode() if text is not None else base64.b64decode(packed)) for code, text, packed in rows
    )
    assert loaded == outcome.dead_letters


def test_unknown_properties_are_kept_with_their_text(outcome: Outcome) -> None:
    rows = dict(outcome.replay.sql("select inventory_id::varchar, _extra::varchar from inventory_events"))
    for name, case in CASES.items():
        if case.extra is not None:
            assert rows[json.loads(case.record, parse_int=str)["inventory_id"]] == case.extra, name
    assert outcome.replay.sql("select count(_extra->>'x'), count(json_keys(_extra)) from inventory_events")[
        0
    ][1] >= len([case for case in CASES.values() if case.extra is not None])


def test_times_are_stored_to_the_microsecond(outcome: Outcome) -> None:
    rows = dict(
        outcome.replay.sql('select inventory_id::varchar, epoch_us("timestamp") from inventory_events')
    )
    for case in CASES.values():
        if case.verdict == ACCEPTED:
            value = json.loads(case.lines[0], parse_int=str)
            time = datetime.fromisoformat(value["timestamp"].upper())
            time = time if time.tzinfo else time.replace(tzinfo=UTC)
            since = time - datetime(1970, 1, 1, tzinfo=UTC)
            assert rows[value["inventory_id"]] in (
                us := (since.days * 86_400 + since.seconds) * 10**6 + since.microseconds,
                us + 1,
            )


def test_hostile_records_in_documents_and_compressed_files_are_read(tmp_path: Path) -> None:
    elements = [
        event(1, b',"x":"\\"]}[{"'),
        event(2, b',"x":"\xff"'),
        event(3, nested(255)),
        event(4, nested(300)),
        b"tru",
        b'{"a":}',
        b'"\\ud800"',
        event(5, b',"x":1e999'),
        event(6, b',"x":"' + b"a" * 3_000_000 + b'"'),
        event(7, b',"x":"\0"'),
        event(8)[:-1] + b',\r\n "x" : [ 1.10 , \n{ } ]\n}',
    ]
    accepted = {1, 3, 5, 6, 8}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_bytes(b"[" + b",\n".join(elements) + b"]")
    packed = [event(9, b',"x":"\xff"'), event(10), b"\0" * 3_000_000, b"[" * 100_000]
    (tmp_path / "in" / "b.gz").write_bytes(gzip.compress(b"\n".join(packed)))
    with TemporaryDirectory(prefix="replay") as scratch:
        replay = Replay(tmp_path / "out", Path(scratch))
        replay.run(tmp_path / "in")
    stored = [line for data in replay.log().values() for line in lines_of(data)]
    ids = [int(json.loads(line)["inventory_id"][-12:], 16) for line in stored]
    assert sorted(ids) == sorted([*accepted, 10])
    assert event(8, b',"x":[1.10,{}]') in stored
    assert {elements[0], elements[2], elements[7], elements[8], packed[1]} < set(stored)
    rejected = [elements[1], elements[3], elements[4], elements[5], elements[6], elements[9]]
    rejected += [packed[0], packed[2], packed[3]]
    assert Counter(payload(dead_letter) for dead_letter in replay.stored_dead_letters()) == Counter(rejected)
    assert replay.figures() == (15, 6, 0, 9, 6, 0)
