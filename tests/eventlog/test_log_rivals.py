"""What an append does when another writer appends to the same folder, and which of its lines it keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from sluice.elements import StoredSegment
from sluice.eventlog.log import EventLog
from sluice.eventlog.paths import segment_id, segment_path
from sluice.eventlog.type_log import TypeLog
from sluice.native_core import native_core
from sluice.storage import open_store

from tests.eventlog.test_log import KEYED, MINUTE, ORDER, Recording, make_log
from tests.native import require_native_core


def calls_of_overtaken_append(root: Path, event_type: str) -> list[str]:
    """Append to an empty folder while another writer does, twice; return what is asked of the store."""
    store = Recording(open_store(str(root)))
    rival = make_log(root)

    def overtake() -> None:
        rival.append(event_type, MINUTE, 0, [b"1", b"9"])
        rival.append(event_type, MINUTE, 0, [b"8"])

    store.before_create = overtake
    result = make_log(store).append(event_type, MINUTE, 0, [b"1", b"2"])
    assert result.segment is not None
    assert (result.segment.lines, result.appended, result.duplicates) == ([b"2"], 1, 1)
    assert (result.kept, [segment.id for segment in result.unloaded]) == (
        b"\0\1",
        [segment_id(event_type, MINUTE, lines) for lines in (b"1\n9\n", b"8\n")],
    )
    assert [segment.path for segment in result.unloaded] == [
        f"{root}/{segment_path(event_type, MINUTE, number, event_type)}" for number in (1, 2)
    ]
    return store.calls


def test_number_that_another_writer_took_is_read_and_the_next_is_tried(tmp_path: Path) -> None:
    assert calls_of_overtaken_append(tmp_path, "keyed") == [
        "list",
        "create keyed_2026081314070001.json",
        "read keyed_2026081314070001.json",
        "create keyed_2026081314070002.json",
        "read keyed_2026081314070002.json",
        "create keyed_2026081314070003.json",
    ]


def test_first_number_that_another_writer_took_is_not_tried_again(tmp_path: Path) -> None:
    require_native_core()
    assert calls_of_overtaken_append(tmp_path, "order") == [
        "list",
        "create order_2026081314070001.json",
        "list",
        "read order_2026081314070001.json",
        "read order_2026081314070002.json",
        "create order_2026081314070003.json",
    ]


@pytest.mark.parametrize("event_type", ["order", "keyed"])
def test_which_lines_are_kept_is_reported_unless_all_are(tmp_path: Path, event_type: str) -> None:
    log = make_log(tmp_path)
    kept = [
        log.append(event_type, MINUTE, 0, lines).kept
        for lines in ([b"1", b"2", b"1"], [b"3"], [b"1", b"4", b"4"], [b"2"])
    ]
    assert kept == [b"\1\1\0", None, b"\0\1\0", b"\0"]


@pytest.mark.parametrize("shard", [0, 1, 2])
@pytest.mark.parametrize(("event_type", "type_log"), [("keyed", KEYED), ("order", ORDER)])
def test_rival_of_a_shard_moves_its_number_on_by_the_number_of_shards(
    tmp_path: Path, event_type: str, type_log: TypeLog, shard: int
) -> None:
    store, types = Recording(open_store(str(tmp_path))), {event_type: type_log}
    rival, log = (EventLog(place, types, shards=3) for place in (open_store(str(tmp_path)), store))
    rival.append(event_type, MINUTE, (shard + 1) % 3, [b"8"])  # another shard's, and none of its business
    store.before_create = lambda: rival.append(event_type, MINUTE, shard, [b"9"])
    result = log.append(event_type, MINUTE, shard, [b"1", b"9"])
    by_core = event_type == "order" and native_core() is not None
    assert store.calls == [
        "list",
        f"create {event_type}_202608131407{shard + 1:04d}.json",
        *(["list"] if by_core else []),
        f"read {event_type}_202608131407{shard + 1:04d}.json",
        f"create {event_type}_202608131407{shard + 4:04d}.json",
    ]
    assert (result.appended, result.duplicates) == (1, 1)
    path = f"{tmp_path}/{segment_path(event_type, MINUTE, shard + 1, event_type)}"
    stored = StoredSegment(event_type, path, MINUTE, segment_id(event_type, MINUTE, b"9\n"))
    assert result.unloaded == (stored,)
