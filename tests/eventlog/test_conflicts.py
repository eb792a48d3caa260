"""Duplicates that differ: which lines of an append conflict with the log, in whatever way their segment is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from sluice.contracts import Contract, OnConflict, Property
from sluice.errors import ConfigError, StorageError
from sluice.eventlog.conflicts import Conflict
from sluice.eventlog.log import EventLog
from sluice.eventlog.type_log import TypeLog
from sluice.storage import Names, Store, open_store
from sluice.validation.content import compile_content
from sluice.validation.deduplication_keys import compile_deduplication_key

MINUTE = 1_786_630_020  # 2026-08-13T14:07:00Z


def contract(on_conflict: OnConflict = "keep_first") -> Contract:
    properties = (Property("k", "integer", required=True, unique=True), Property("v", "integer"))
    return Contract(
        "sale", "sales", "sale", "1", "shop", "", properties, None, "properties", on_conflict=on_conflict
    )


KEY_OF, CONTENT_OF = compile_deduplication_key(contract()), compile_content(contract())


def make_log(store: Path | Store, on_conflict: OnConflict = "keep_first") -> EventLog:
    opened = open_store(str(store)) if isinstance(store, Path) else store
    return EventLog(opened, {"sale": TypeLog.of(contract(on_conflict))})


def line(key: int, value: int, blank: str = "") -> bytes:
    return f'{{"k":{key},{blank}"v":{value}}}'.encode()


def conflict(index: int, given: bytes, stored: bytes, root: Path, number: int = 1) -> Conflict:
    segment = f"{root}/sale/2026/08/13/14/07/sale_202608131407{number:04d}.json"
    return Conflict(index, KEY_OF(given), CONTENT_OF(given), CONTENT_OF(stored), segment)


class Recording:
    """A store that notes which segments are read, and may be disturbed."""

    def __init__(self, inner: Store) -> None:
        self.inner, self.root = inner, inner.root
        self.reads: list[str] = []
        self.before_create: Callable[[], object] = lambda: None
        self.is_down = False

    def url(self, path: str) -> str:
        return self.inner.url(path)

    def list(self, folder: str) -> Names:
        return self.inner.list(folder)

    def walk(self, folder: str = "", after: str = ""):  # type: ignore[no-untyped-def]  # as the class that it wraps
        return self.inner.walk(folder, after)

    def read(self, path: str) -> bytes:
        if self.is_down:
            message = "the store is down"
            raise StorageError(message)
        self.reads.append(path.rpartition("/")[2])
        return self.inner.read(path)

    def created_at(self, path: str) -> datetime:
        return self.inner.created_at(path)

    def create(self, path: str, data: bytes) -> bool:
        hook, self.before_create = self.before_create, lambda: None
        hook()
        return self.inner.create(path, data)


def test_lines_of_one_append_conflict_with_the_first_of_their_key(tmp_path: Path) -> None:
    lines = [line(1, 1), line(2, 1), line(1, 2), line(1, 1, " "), line(1, 3), line(1, 2), line(2, 1)]
    result = make_log(tmp_path).append("sale", MINUTE, 0, lines)
    assert result.segment is not None
    assert (result.segment.lines, result.appended, result.duplicates) == ([line(1, 1), line(2, 1)], 2, 5)
    assert result.conflicts == tuple(
        conflict(index, lines[index], line(1, 1), tmp_path) for index in (2, 4, 5)
    )


@pytest.mark.parametrize("fresh_instance", [False, True], ids=["cached keys", "new process"])
def test_lines_conflict_with_earlier_segments_of_their_folder(tmp_path: Path, fresh_instance: bool) -> None:
    log = make_log(tmp_path)
    log.append("sale", MINUTE, 0, [line(1, 1), line(2, 1)])
    log.append("sale", MINUTE, 0, [line(3, 1), line(4, 1)])
    lines = [
        line(5, 1),
        line(4, 1),
        line(3, 2),
        line(2, 1, " "),
        line(1, 7),
        line(5, 2),
        line(1, 1),
        line(1, 7),
    ]
    for append in range(2):  # the conflicts of a repeated append are the same
        log = make_log(tmp_path) if fresh_instance else log
        result = log.append("sale", MINUTE, 0, lines)
        assert (result.appended, result.duplicates) == ((1, 7) if append == 0 else (0, 8))
        assert result.conflicts == (
            conflict(2, line(3, 2), line(3, 1), tmp_path, 2),
            conflict(4, line(1, 7), line(1, 1), tmp_path, 1),
            conflict(5, line(5, 2), line(5, 1), tmp_path, 3),
            conflict(7, line(1, 7), line(1, 1), tmp_path, 1),
        )


def test_lines_conflict_with_those_of_a_rival_that_took_their_number(tmp_path: Path) -> None:
    store = Recording(open_store(str(tmp_path)))
    rival = make_log(tmp_path)
    store.before_create = lambda: rival.append("sale", MINUTE, 0, [line(1, 9), line(2, 1)])
    lines = [line(1, 1), line(1, 9), line(2, 1), line(3, 1), line(3, 2)]
    result = make_log(store).append("sale", MINUTE, 0, lines)
    assert (result.appended, result.duplicates) == (1, 4)
    assert result.conflicts == (
        conflict(0, line(1, 1), line(1, 9), tmp_path, 1),
        conflict(4, line(3, 2), line(3, 1), tmp_path, 2),
    )


def test_segment_is_read_again_only_for_its_duplicates(tmp_path: Path) -> None:
    store = Recording(open_store(str(tmp_path)))
    log = make_log(store)
    log.append("sale", MINUTE, 0, [line(1, 1)])
    log.append("sale", MINUTE, 0, [line(2, 1)])
    log.append("sale", MINUTE, 0, [line(3, 1), line(3, 2)])
    assert store.reads == []
    assert log.append("sale", MINUTE, 0, [line(2, 1), line(4, 1)]).conflicts == ()
    assert store.reads == ["sale_2026081314070002.json"]
    store.reads.clear()
    make_log(store).append("sale", MINUTE, 0, [line(2, 1), line(3, 2)])
    assert store.reads == [f"sale_202608131407{number:04d}.json" for number in (1, 2, 3, 4)]


def test_log_that_keeps_all_contents_reads_nothing_again(tmp_path: Path) -> None:
    store = Recording(open_store(str(tmp_path)))
    log = make_log(store, "keep_both")
    log.append("sale", MINUTE, 0, [line(1, 1)])
    assert log.append("sale", MINUTE, 0, [line(1, 1), line(1, 2), line(1, 2)]).conflicts == ()
    assert store.reads == []


@pytest.mark.parametrize("fresh_instance", [False, True], ids=["cached keys", "new process"])
@pytest.mark.parametrize(
    ("lines", "conflicting"),
    [
        ([line(1, 1), line(1, 2)], [1]),  # the first is a copy, and another one with its key is none
        ([line(1, 2), line(1, 1)], [0]),
        ([line(1, 1), line(2, 1), line(2, 2)], [2]),
        ([line(2, 1), line(2, 1), line(1, 2)], [2]),
    ],
)
def test_copy_of_a_stored_line_hides_no_other_with_its_key(
    tmp_path: Path, lines: list[bytes], conflicting: list[int], fresh_instance: bool
) -> None:
    log = make_log(tmp_path)
    log.append("sale", MINUTE, 0, [line(1, 1)])
    result = (make_log(tmp_path) if fresh_instance else log).append("sale", MINUTE, 0, lines)
    assert [conflict.index for conflict in result.conflicts] == conflicting


@pytest.mark.parametrize("fresh_instance", [False, True], ids=["cached keys", "new process"])
def test_content_of_copies_is_never_computed(tmp_path: Path, fresh_instance: bool) -> None:
    computed: list[bytes] = []

    def content_of(stored: bytes) -> bytes:
        computed.append(stored)
        return CONTENT_OF(stored)

    def make() -> EventLog:
        type_log = replace(TypeLog.of(contract()), compile_content=lambda: content_of)
        return EventLog(open_store(str(tmp_path)), {"sale": type_log})

    log = make()
    log.append("sale", MINUTE, 0, [line(1, 1), line(2, 1), line(1, 1)])
    log = make() if fresh_instance else log
    assert log.append("sale", MINUTE, 0, [line(3, 1), line(1, 1), line(3, 1), line(1, 1)]).duplicates == 3
    assert computed == []
    log.append("sale", MINUTE, 0, [line(2, 1), line(1, 1), line(2, 2)])
    assert sorted(computed) == [line(2, 1), line(2, 1), line(2, 2)]


def test_failing_store_leaves_an_append_that_can_be_repeated(tmp_path: Path) -> None:
    store = Recording(open_store(str(tmp_path)))
    log = make_log(store)
    log.append("sale", MINUTE, 0, [line(1, 1)])
    lines = [line(1, 2), line(2, 1), line(2, 2)]
    store.is_down = True
    with pytest.raises(StorageError, match="the store is down"):
        log.append("sale", MINUTE, 0, lines)
    store.is_down = False
    result = log.append("sale", MINUTE, 0, lines)
    assert (result.appended, result.duplicates) == (1, 2)
    assert result.conflicts == (
        conflict(0, line(1, 2), line(1, 1), tmp_path),
        conflict(2, line(2, 2), line(2, 1), tmp_path, 2),
    )


def test_keep_both_stores_each_content_once(tmp_path: Path) -> None:
    log = make_log(tmp_path, "keep_both")
    lines = [line(1, 1), line(1, 2), line(1, 1, " "), line(1, 2), line(2, 1)]
    result = log.append("sale", MINUTE, 0, lines)
    assert result.segment is not None
    assert (result.segment.lines, result.duplicates) == ([line(1, 1), line(1, 2), line(2, 1)], 2)
    assert result.conflicts == log.append("sale", MINUTE, 0, lines).conflicts == ()


def test_log_keeps_the_conflict_rule_that_it_was_created_with(tmp_path: Path) -> None:
    make_log(tmp_path).open()
    assert TypeLog.of(contract("keep_both")).rule == "properties k; content"
    with pytest.raises(ConfigError, match='expected "properties k", as this log was created with'):
        make_log(tmp_path, "keep_both").open()


def test_other_content_at_the_position_of_a_stored_record_is_a_conflict(tmp_path: Path) -> None:
    by_delivery = replace(contract(), identity="delivery")
    log = EventLog(open_store(str(tmp_path)), {"sale": TypeLog.of(by_delivery)})

    def at(offset: int, value: int, blank: str = "") -> bytes:
        return f'{{"k":1,{blank}"v":{value},"_id":"in/a.json/{offset}"}}'.encode()

    log.append("sale", MINUTE, 0, [at(0, 1), at(20, 1)])
    replaced = [
        at(0, 1),
        at(0, 1, " "),
        at(20, 2),
        at(40, 2),
    ]  # the file has another second line, and a third
    result = log.append("sale", MINUTE, 0, replaced)
    assert (result.appended, result.duplicates) == (1, 3)
    assert [conflicting.index for conflicting in result.conflicts] == [2]
