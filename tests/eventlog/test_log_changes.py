"""What an append does when its log is changed behind its back: segments and logs that are deleted, and the guard."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sluice.elements import Segment, StoredSegment
from sluice.errors import LogChangedError, StorageError
from sluice.eventlog import type_log
from sluice.eventlog.log import EventLog, SegmentGuard
from sluice.storage import Names, Store, open_store
from sluice.storage.local import LocalStore

from tests.eventlog.test_log import FOLDER, KEYED, MINUTE, ORDER, Recording, content, contents


class CountedListings(LocalStore):
    """A folder that counts how often it is listed."""

    listings = 0

    def list(self, folder: str) -> Names:
        self.listings += 1
        return super().list(folder)


def make_log(root: Path | Store, guard: SegmentGuard | None = None) -> EventLog:
    return EventLog(open_store(str(root)) if isinstance(root, Path) else root, {"order": ORDER}, guard=guard)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_segment_that_is_deleted_while_the_run_lasts_is_an_error(tmp_path: Path, number: int) -> None:
    log = make_log(tmp_path)
    for line in (b"1", b"2", b"3"):
        log.append("order", MINUTE, 0, [line])
    path = tmp_path / FOLDER / f"order_202608131407000{number}.json"
    data = path.read_bytes()
    path.unlink()
    with pytest.raises(LogChangedError) as caught:
        log.append("order", MINUTE, 0, [b"1", b"4"])
    assert str(caught.value) == (
        f"{path}: expected the segment that this run has used, got none: it was deleted; restore it"
    )
    path.write_bytes(data)
    assert log.append("order", MINUTE, 0, [b"1", b"4"]).appended == 1


@pytest.mark.parametrize("deleted", ["", "order", "order/_log.json"])
def test_log_that_is_deleted_while_the_run_lasts_is_an_error(
    tmp_path: Path, deleted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "files"
    log = make_log(root)
    log.open()
    copy = pickle.loads(pickle.dumps(log))
    copy.append("order", MINUTE, 0, [b"1"])
    gone = root / deleted
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    message = (
        f"{root}/order/_log.json: expected the log that was there when the run started, got none: it was deleted or "
        "moved; restore it, and run again"
    )
    with pytest.raises(LogChangedError) as caught:
        log.check_presence()
    assert str(caught.value) == message
    with pytest.raises(LogChangedError) as caught:
        pickle.loads(pickle.dumps(log)).append("order", MINUTE + 60, 0, [b"1"])
    assert str(caught.value) == message
    monkeypatch.setattr(type_log, "PRESENCE_SECONDS", 0.0)
    with pytest.raises(LogChangedError) as caught:
        copy.append("order", MINUTE + 60, 0, [b"1"])
    assert str(caught.value) == message


def test_presence_of_the_log_is_checked_seldom(tmp_path: Path) -> None:
    make_log(tmp_path).open()
    store = CountedListings(str(tmp_path))
    log = make_log(store)
    log.open()
    store.listings = 0
    for minute in range(3):
        log.append("order", MINUTE + 60 * minute, 0, [b"1"])
    assert store.listings == 4


class Refusing:
    """A guard that knows the segments it has seen, and refuses those of a line."""

    def __init__(self, line: bytes) -> None:
        self.line = line
        self.seen: list[str] = []

    def __call__(self, segment: Segment | StoredSegment) -> None:
        self.seen.append(segment.path[-9:-5])
        if isinstance(segment, Segment) and self.line in segment.lines:
            message = "refused"
            raise StorageError(message)


def test_guard_sees_what_was_read_and_what_is_created_before_anything_is_appended(tmp_path: Path) -> None:
    make_log(tmp_path).append("order", MINUTE, 0, [b"1"])
    guard = Refusing(b"3")
    log = make_log(tmp_path, guard=guard)
    log.append("order", MINUTE, 0, [b"1"])
    assert guard.seen == []
    log.append("order", MINUTE, 0, [b"2"])
    assert guard.seen == ["0001", "0002"]
    with pytest.raises(StorageError, match="refused"):
        log.append("order", MINUTE, 0, [b"3"])
    assert [data for _, data in contents(tmp_path).items()] == [b"1\n", b"2\n"]


def test_segment_of_another_writer_that_is_loaded_before_ours_is_created_is_read(tmp_path: Path) -> None:
    """The other writer takes the number after the folder was listed, and the guard learns what was loaded from it."""
    loaded: dict[str, str] = {}

    def guard(segment: Segment | StoredSegment) -> None:
        if not loaded:
            other = make_log(tmp_path).append("order", MINUTE, 0, [b"1", b"2"]).segment
            assert other is not None
            loaded[other.path] = other.id
        if loaded.get(segment.path, segment.id) != segment.id:
            raise LogChangedError(segment.path)

    result = make_log(tmp_path, guard=guard).append("order", MINUTE, 0, [b"2", b"3"])
    assert (result.appended, result.duplicates) == (1, 1)
    assert [path.name for path in sorted((tmp_path / FOLDER).iterdir())] == [
        "order_2026081314070001.json",
        "order_2026081314070002.json",
    ]
    assert [data for _, data in contents(tmp_path).items()] == [b"1\n2\n", b"3\n"]


def test_folder_that_the_guard_refused_is_read_again(tmp_path: Path) -> None:
    make_log(tmp_path).append("order", MINUTE, 0, [b"1"])
    refused = [True]

    def guard(segment: Segment | StoredSegment) -> None:
        if isinstance(segment, StoredSegment) and refused.pop():
            raise StorageError(segment.path)

    log = make_log(tmp_path, guard=guard)
    with pytest.raises(StorageError):
        log.append("order", MINUTE, 0, [b"2"])
    refused.append(False)
    (tmp_path / FOLDER / "order_2026081314070001.json").write_bytes(b"2\n")
    assert log.append("order", MINUTE, 0, [b"2"]).duplicates == 1


def test_type_is_checked_by_showing_its_segments_to_the_guard(tmp_path: Path) -> None:
    both = {"order": ORDER, "keyed": KEYED}
    plain = EventLog(open_store(str(tmp_path)), both)
    for name, line in (("order", b"0001"), ("order", b"0002"), ("keyed", b"0003")):
        plain.append(name, MINUTE, 0, [line])
    plain.check_segments("order")  # there is no guard to ask
    guard = Refusing(b"0002")
    log = EventLog(open_store(str(tmp_path)), both, guard=guard)
    log.check_segments("keyed")
    assert guard.seen == ["0001"]
    with pytest.raises(StorageError, match="refused"):
        log.check_segments("order")
    assert guard.seen == ["0001", "0001", "0002"]


def test_guard_travels_with_the_log(tmp_path: Path) -> None:
    make_log(tmp_path).append("order", MINUTE, 0, [b"1"])
    copy = pickle.loads(pickle.dumps(make_log(tmp_path, guard=Refusing(b"1"))))
    with pytest.raises(StorageError, match="refused"):
        copy.check_segments("order")


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_shards_without_a_gap_are_listed_once(tmp_path: Path, shards: int) -> None:
    log = EventLog(open_store(str(tmp_path)), {"order": ORDER}, shards)
    for number in range(3 * shards):
        log.append("order", MINUTE, number % shards, [b"%d" % number])
    for shard in range(shards):
        store = Recording(open_store(str(tmp_path)))
        result = EventLog(store, {"order": ORDER}, shards).append("order", MINUTE, shard, [])
        assert store.calls[:2] == ["list", f"read order_202608131407{shard + 1:04d}.json"]
        assert [segment.path[-9:-5] for segment in result.unloaded] == [
            f"{shard + 1 + shards * n:04d}" for n in range(3)
        ]


@pytest.mark.parametrize("shards", [1, 3])
def test_gap_of_a_shard_is_listed_again(tmp_path: Path, shards: int) -> None:
    log = EventLog(open_store(str(tmp_path)), {"order": ORDER}, shards)
    for line in (b"1", b"2", b"3"):
        log.append("order", MINUTE, shards - 1, [line])
    names = [f"order_202608131407{number * shards:04d}.json" for number in (1, 2, 3)]
    for incomplete in ([names[2]], [names[1], names[2]], [names[0], names[2]]):
        store = Recording(open_store(str(tmp_path)))
        store.listings = [incomplete]
        EventLog(store, {"order": ORDER}, shards).append("order", MINUTE, shards - 1, [b"1"])
        assert store.calls == ["list", "list", *(f"read {name}" for name in names)]


def test_segments_of_each_type_are_found_by_their_addresses(tmp_path: Path) -> None:
    both = {"order": ORDER, "keyed": KEYED}
    log = EventLog(open_store(str(tmp_path)), both)
    for name in both:
        log.append(name, MINUTE, 0, [b"0001", b"0002"])
    paths = list(log.segments())
    assert [log.locate(path) for path in paths] == [("order", MINUTE), ("keyed", MINUTE)]
    assert [log.read(path).lines for path in paths] == [[b"0001", b"0002"]] * 2
    assert list(log.segments("keyed")) == paths[1:]
    assert log.appended_at(paths[0]).timestamp() == pytest.approx(Path(paths[0]).stat().st_mtime, abs=1e-6)
    with pytest.raises(StorageError):
        log.appended_at(paths[0].replace("0001.json", "0009.json"))


@pytest.mark.parametrize("fresh_instance", [False, True])
@pytest.mark.parametrize(
    ("lines", "conflicting"), [([b"0001 a"], []), ([b"0001 b"], [0]), ([b"0001 a", b"0002", b"0001 b"], [2])]
)
def test_line_that_differs_from_the_stored_one_of_its_key_is_reported(
    tmp_path: Path, fresh_instance: bool, lines: list[bytes], conflicting: list[int]
) -> None:
    type_logs = {"keyed": replace(KEYED, compile_content=content)}
    log = EventLog(open_store(str(tmp_path)), type_logs)
    log.append("keyed", MINUTE, 0, [b"0001 a"])
    log = EventLog(open_store(str(tmp_path)), type_logs) if fresh_instance else log
    result = log.append("keyed", MINUTE, 0, lines)
    assert [conflict.index for conflict in result.conflicts] == conflicting
    assert {conflict.segment for conflict in result.conflicts} <= {
        f"{tmp_path}/keyed/2026/08/13/14/07/keyed_2026081314070001.json"
    }
