"""What an append does when its log is changed behind its back: segments and logs that are deleted, and the guard."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
from sluice.elements import Segment, StoredSegment
from sluice.errors import LogChangedError, StorageError
from sluice.eventlog import type_log
from sluice.eventlog.log import EventLog, SegmentGuard
from sluice.storage import Names, Store, open_store
from sluice.storage.local import LocalStore

from tests.eventlog.test_log import FOLDER, MINUTE, ORDER, contents


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
