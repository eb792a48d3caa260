"""What an append does in each situation; test_log_model.py has the interleavings."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
import xxhash
from sluice.elements import StoredSegment
from sluice.errors import ConfigError, StorageError
from sluice.eventlog.log import AppendResult, EventLog
from sluice.eventlog.minute_folders import MAX_CACHED_KEYS
from sluice.eventlog.paths import segment_id, segment_path
from sluice.eventlog.type_log import TypeLog
from sluice.storage import Store, open_store

MINUTE = 1_786_630_020  # 2026-08-13T14:07:00Z
FOLDER = "order/2026/08/13/14/07"


def content() -> Callable[[bytes], bytes]:
    return xxhash.xxh3_128_digest


def first_four() -> Callable[[bytes], bytes]:
    return lambda line: line[:4]


def numbers_only() -> Callable[[bytes], bytes]:
    return lambda line: int(line).to_bytes(16, "big")


ORDER = TypeLog("order", "order", "content", content)
KEYED = TypeLog("keyed", "keyed", "properties key", first_four)
DEAD_LETTERS = TypeLog("", "dead_letter", "content", content)


def make_log(root: Path | Store, shards: int = 1, max_cached_keys: int = MAX_CACHED_KEYS) -> EventLog:
    store = open_store(str(root)) if isinstance(root, Path) else root
    return EventLog(store, {"order": ORDER, "keyed": KEYED}, shards, max_cached_keys)


def stored(root: Path, number: int, lines: bytes) -> StoredSegment:
    path = f"{root}/{segment_path('order', MINUTE, number, 'order')}"
    return StoredSegment("order", path, MINUTE, segment_id("order", MINUTE, lines))


def contents(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(paths)}


class Recording:
    """A store that notes what is asked of it, and shows listings that a test has prepared."""

    def __init__(self, inner: Store) -> None:
        self.inner, self.root = inner, inner.root
        self.calls: list[str] = []
        self.listings: list[list[str]] = []
        self.before_create: Callable[[], object] = lambda: None

    def url(self, path: str) -> str:
        return self.inner.url(path)

    def list(self, folder: str):  # type: ignore[no-untyped-def]  # as the class that it wraps
        self.calls.append("list")
        return self.listings.pop(0) if self.listings else self.inner.list(folder)

    def walk(self, folder: str = "", after: str = ""):  # type: ignore[no-untyped-def]  # as the class that it wraps
        return self.inner.walk(folder, after)

    def read(self, path: str) -> bytes:
        self.calls.append(f"read {path.rpartition('/')[2]}")
        return self.inner.read(path)

    def created_at(self, path: str) -> datetime:
        return self.inner.created_at(path)

    def create(self, path: str, data: bytes) -> bool:
        hook, self.before_create = self.before_create, lambda: None
        hook()
        self.calls.append(f"create {path.rpartition('/')[2]}")
        return self.inner.create(path, data)


def test_append_writes_the_lines_as_they_are(tmp_path: Path) -> None:
    result = make_log(tmp_path).append("order", MINUTE, 0, [b'{"a": 1}', b'{"b":\r2}'])
    data = b'{"a": 1}\n{"b":\r2}\n'
    assert contents(tmp_path) == {f"{FOLDER}/order_2026081314070001.json": data}
    assert result.segment is not None
    assert (result.unloaded, result.appended, result.duplicates) == ((), 2, 0)
    assert result.segment.id == segment_id("order", MINUTE, data)
    assert result.segment.path == f"{tmp_path}/{FOLDER}/order_2026081314070001.json"
    assert (result.segment.event_type, result.segment.minute) == ("order", MINUTE)
    assert result.segment.lines == [b'{"a": 1}', b'{"b":\r2}']


@pytest.mark.parametrize("fresh_instance", [False, True])
def test_append_drops_lines_that_the_folder_has(tmp_path: Path, fresh_instance: bool) -> None:
    log = make_log(tmp_path)
    log.append("order", MINUTE, 0, [b"1", b"2"])
    result = (make_log(tmp_path) if fresh_instance else log).append(
        "order", MINUTE, 0, [b"2", b"3", b"1", b"3"]
    )
    assert result.segment is not None
    assert (result.segment.lines, result.appended, result.duplicates) == ([b"3"], 1, 3)
    assert contents(tmp_path) == {
        f"{FOLDER}/order_2026081314070001.json": b"1\n2\n",
        f"{FOLDER}/order_2026081314070002.json": b"3\n",
    }


def test_append_of_duplicates_alone_writes_nothing(tmp_path: Path) -> None:
    make_log(tmp_path).append("order", MINUTE, 0, [b"1", b"2"])
    before = contents(tmp_path)
    result = make_log(tmp_path).append("order", MINUTE, 0, [b"2", b"1"])
    assert (result.segment, result.appended, result.duplicates) == (None, 0, 2)
    assert contents(tmp_path) == before


def test_first_line_of_a_deduplication_key_stays_in_its_place(tmp_path: Path) -> None:
    result = make_log(tmp_path).append(
        "keyed", MINUTE, 0, [b"0001 a", b"0002 b", b"0001 c", b"0002 d", b"0003 e"]
    )
    assert result.segment is not None
    assert (result.segment.lines, result.duplicates) == ([b"0001 a", b"0002 b", b"0003 e"], 2)


def test_same_line_in_another_minute_or_type_is_another_event(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    counts = [
        log.append(name, minute, 0, [b"0001"]).appended
        for name, minute in [("order", MINUTE), ("order", MINUTE + 60), ("keyed", MINUTE)]
    ]
    assert counts == [1, 1, 1]


def test_shards_number_their_segments_independently(tmp_path: Path) -> None:
    log = make_log(tmp_path, shards=3)
    for shard, line in [(2, b"a"), (0, b"b"), (2, b"c"), (1, b"d"), (2, b"e")]:
        log.append("order", MINUTE, shard, [line])
    assert {path[-9:-5]: data for path, data in contents(tmp_path).items()} == {
        "0003": b"a\n",
        "0001": b"b\n",
        "0006": b"c\n",
        "0002": b"d\n",
        "0009": b"e\n",
    }


@pytest.mark.parametrize("shard", [-1, 2])
def test_unknown_shard_is_rejected(tmp_path: Path, shard: int) -> None:
    with pytest.raises(ValueError, match=f"shard: expected 0 to 1, got {shard}"):
        make_log(tmp_path, shards=2).append("order", MINUTE, shard, [b"1"])


def test_line_with_a_line_feed_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"order_2026081314070001\.json: expected lines without line feeds"):
        make_log(tmp_path).append("order", MINUTE, 0, [b"1\n2"])
    assert contents(tmp_path) == {}


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    (folder / "order_2026081314070002.json").mkdir(parents=True)  # a folder is no segment
    for name in (
        "order_2026081314070001.json~",
        ".order_2026081314070001.json.swp",
        "notes.txt",
        "order_1.json",
    ):
        (folder / name).write_bytes(b"1\n")
    result = make_log(tmp_path).append("order", MINUTE, 0, [b"1"])
    assert (result.appended, result.unloaded) == (1, ())
    assert (folder / "order_2026081314070001.json").read_bytes() == b"1\n"


@pytest.mark.parametrize(("data", "size"), [(b"", 0), (b"1\n2", 3)])
def test_damaged_segment_stops_the_append(tmp_path: Path, data: bytes, size: int) -> None:
    path = tmp_path / FOLDER / "order_2026081314070001.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    with pytest.raises(StorageError) as caught:
        make_log(tmp_path).append("order", MINUTE, 0, [b"1"])
    assert str(caught.value) == (
        f"{path}: expected lines that each end with a line feed, got {size} bytes without the last one; "
        "the file is damaged: restore it, or move it away"
    )
    assert contents(tmp_path) == {path.relative_to(tmp_path).as_posix(): data}


def test_edited_segment_stops_the_append(tmp_path: Path) -> None:
    path = tmp_path / segment_path("strict", MINUTE, 1, "strict")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"0001\noops\n")
    log = EventLog(
        open_store(str(tmp_path)), {"strict": TypeLog("strict", "strict", "properties key", numbers_only)}
    )
    with pytest.raises(StorageError) as caught:
        log.append("strict", MINUTE, 0, [b"0002"])
    assert str(caught.value) == (
        f"{path}: expected events of strict, got invalid literal for int() with base 10: b'oops'; "
        "it was changed: restore it"
    )


def test_segment_is_reported_when_it_is_first_read(tmp_path: Path) -> None:
    first = make_log(tmp_path)
    first.append("order", MINUTE, 0, [b"1", b"2"])
    first.append("order", MINUTE, 0, [b"3"])
    second = make_log(tmp_path)
    results = [second.append("order", MINUTE, 0, lines).unloaded for lines in ([b"1", b"4"], [b"5"])]
    assert results == [(stored(tmp_path, 1, b"1\n2\n"), stored(tmp_path, 2, b"3\n")), ()]
    assert first.append("order", MINUTE, 0, []).unloaded == (
        stored(tmp_path, 3, b"4\n"),
        stored(tmp_path, 4, b"5\n"),
    )


def test_segment_is_reported_again_when_its_events_are_appended_again(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    for lines in ([b"1", b"2"], [b"3"], [b"4"]):
        log.append("order", MINUTE, 0, lines)
    groups = (
        [b"2"],
        [b"x", b"x"],
        [b"4", b"y", b"1"],
    )  # a bundle whose results were lost, in another grouping
    results = [log.append("order", MINUTE, 0, lines).unloaded for lines in groups]
    first, third = stored(tmp_path, 1, b"1\n2\n"), stored(tmp_path, 3, b"4\n")
    assert results == [(first,), (), (first, third)]


def test_listing_with_a_gap_is_repeated(tmp_path: Path) -> None:
    rival = make_log(tmp_path)
    names = ["order_2026081314070001.json", "order_2026081314070002.json", "order_2026081314070003.json"]
    for line in (b"1", b"2", b"3"):
        rival.append("order", MINUTE, 0, [line])
    store = Recording(open_store(str(tmp_path)))
    store.listings = [[names[0], names[2]], [*names, "order_2026081314070005.json"]]
    result = make_log(store).append("order", MINUTE, 0, [b"2"])
    assert (result.appended, result.duplicates) == (0, 1)
    assert store.calls == ["list", "list", *(f"read {name}" for name in names)]


def test_cached_segment_is_read_once(tmp_path: Path) -> None:
    make_log(tmp_path).append("order", MINUTE, 0, [b"1", b"2"])
    store = Recording(open_store(str(tmp_path)))
    log = make_log(store)
    for lines in ([b"1"], [b"2"], [b"3"], [b"3"]):
        log.append("order", MINUTE, 0, lines)
    assert [call for call in store.calls if call.startswith("read")] == ["read order_2026081314070001.json"]


def test_folder_dropped_from_the_cache_is_read_again(tmp_path: Path) -> None:
    store = Recording(open_store(str(tmp_path)))
    log = make_log(store, max_cached_keys=15)
    log.append("order", MINUTE, 0, [b"1", b"2"])
    log.append("order", MINUTE + 60, 0, [b"3", b"4"])  # pushes the first folder out
    log.append("order", MINUTE, 0, [b"1"])
    log.append("order", MINUTE, 0, [b"2", b"5"])
    assert [call for call in store.calls if call.startswith("read")] == ["read order_2026081314070001.json"]
    assert [data for _, data in contents(tmp_path).items()] == [b"1\n2\n", b"5\n", b"3\n4\n"]


def test_threads_that_share_a_log_store_each_event_once(tmp_path: Path) -> None:
    log = make_log(tmp_path, max_cached_keys=400)
    barrier, appended = threading.Barrier(4), list[AppendResult]()

    def write(writer: int) -> None:
        barrier.wait()
        for start in range(0, 200, 10):
            lines = [b"%d" % number for number in range(start, start + 15)]  # five of them come twice
            for minute in (MINUTE + 60 * writer, MINUTE + 600):
                appended.append(log.append("order", minute, 0, lines))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    folders: dict[str, list[bytes]] = {}
    for path, data in contents(tmp_path).items():
        folders.setdefault(path.rpartition("/")[0], []).extend(data.splitlines())
    expected = sorted(b"%d" % number for number in range(205))
    assert [sorted(lines) for lines in folders.values()] == [expected] * 5
    assert sum(result.appended for result in appended) == 5 * 205
    assert len(appended) == 160


def test_failed_append_keeps_its_report_for_the_next(tmp_path: Path) -> None:
    make_log(tmp_path).append("order", MINUTE, 0, [b"1"])
    store = Recording(open_store(str(tmp_path)))
    log = make_log(store)

    def fail() -> None:
        message = "disk full"
        raise StorageError(message)

    store.before_create = fail
    with pytest.raises(StorageError, match="disk full"):
        log.append("order", MINUTE, 0, [b"2"])
    result = log.append("order", MINUTE, 0, [b"2"])
    assert (result.appended, result.unloaded) == (1, (stored(tmp_path, 1, b"1\n"),))


def test_log_pickles_without_its_cache(tmp_path: Path) -> None:
    log = make_log(tmp_path, shards=2)
    log.append("order", MINUTE, 1, [b"1"])
    copy: EventLog = pickle.loads(pickle.dumps(log))
    assert (copy.store.root, copy.shards, copy.type_logs) == (
        str(tmp_path),
        2,
        {"order": ORDER, "keyed": KEYED},
    )
    result = copy.append("order", MINUTE, 1, [b"1"])
    assert (result.duplicates, result.unloaded) == (1, (stored(tmp_path, 2, b"1\n"),))


def test_read_and_segments_return_what_was_appended(tmp_path: Path) -> None:
    log = EventLog(open_store(str(tmp_path)), {"dead_letter": DEAD_LETTERS, "order": ORDER})
    log.open()
    (tmp_path / "notes.txt").write_bytes(b"")
    written = [
        log.append(name, minute, 0, [line]).segment
        for name, minute, line in [
            ("dead_letter", MINUTE, b"x"),
            ("order", MINUTE - 60, b"0"),
            ("order", MINUTE, b"1"),
        ]
    ]
    paths = list(log.segments())
    assert paths == [segment.path for segment in written if segment]
    assert [log.read(path) for path in paths] == written
    assert list(log.segments("order")) == paths[1:]


@pytest.mark.parametrize("path", ["order/_log.json", "user/2026/08/13/14/07/user_2026081314070001.json"])
def test_reading_anything_but_a_segment_is_rejected(tmp_path: Path, path: str) -> None:
    with pytest.raises(StorageError) as caught:
        make_log(tmp_path).read(f"{tmp_path}/{path}")
    assert str(caught.value) == f"{tmp_path}/{path}: expected a segment of order, keyed in {tmp_path}"


def test_log_without_shards_is_rejected() -> None:
    with pytest.raises(ConfigError, match="shards: expected at least 1, got 0"):
        EventLog(open_store("out"), {}, shards=0)
