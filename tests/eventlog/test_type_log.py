"""The settings that an event log is created with, and that every later job must have."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import xxhash
from sluice.contracts import Contract, Property
from sluice.errors import ConfigError, LogChangedError, StorageError
from sluice.eventlog import type_log as type_log_module
from sluice.eventlog.log import EventLog
from sluice.eventlog.type_log import SettingsPresence, TypeLog
from sluice.storage import open_store
from sluice.storage.local import LocalStore


def content() -> Callable[[bytes], bytes]:
    return xxhash.xxh3_128_digest


ORDER = TypeLog("order", "order", "content", content)
KEYED = TypeLog("keyed", "keyed", "properties key", content)


def contents(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(paths)}


def test_open_writes_settings_once_and_new_types_may_be_added(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    EventLog(store, {"order": ORDER}, shards=2).open()
    before = contents(tmp_path)
    assert before == {
        "order/_log.json": b"""{
  "format": 1,
  "event_type": "order",
  "identity": "content",
  "shards": 2
}
"""
    }
    EventLog(store, {"order": ORDER, "keyed": KEYED}, shards=2).open()
    after = contents(tmp_path)
    assert sorted(after) == ["keyed/_log.json", "order/_log.json"]
    assert after["order/_log.json"] == before["order/_log.json"]


@pytest.mark.parametrize(
    ("type_log", "name", "shards", "difference"),
    [
        (ORDER, "order", 4, "shards: expected 2, as this log was created with, got 4 from the job"),
        (
            TypeLog("order", "order", "delivery", content),
            "order",
            2,
            'identity: expected "content", as this log was created with, got "delivery" from the job',
        ),
        (
            TypeLog("order", "refund", "content", content),
            "refund",
            2,
            'event_type: expected "order", as this log was created with, got "refund" from the job',
        ),
    ],
)
def test_open_rejects_a_job_with_other_settings(
    tmp_path: Path, type_log: TypeLog, name: str, shards: int, difference: str
) -> None:
    store = open_store(str(tmp_path))
    EventLog(store, {"order": ORDER}, shards=2).open()
    with pytest.raises(ConfigError) as caught:
        EventLog(store, {name: type_log}, shards).open()
    assert (
        str(caught.value)
        == f"{tmp_path}/order/_log.json: {difference}; change the job, or use another folder"
    )


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff"])
def test_open_rejects_a_foreign_settings_file(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "order" / "_log.json"
    path.parent.mkdir()
    path.write_bytes(text)
    with pytest.raises(StorageError) as caught:
        EventLog(open_store(str(tmp_path)), {"order": ORDER}).open()
    expected = f"{path}: expected a JSON object with format, event_type, identity, shards, got "
    assert str(caught.value).startswith(expected)
    assert path.read_bytes() == text


def test_launchers_that_open_a_log_at_the_same_time_agree(tmp_path: Path) -> None:
    barrier, failures = threading.Barrier(4), []

    def launch() -> None:
        barrier.wait()
        try:
            EventLog(open_store(str(tmp_path)), {"order": ORDER, "keyed": KEYED}).open()
        except (ConfigError, StorageError) as error:
            failures.append(error)

    threads = [threading.Thread(target=launch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(contents(tmp_path)) == ["keyed/_log.json", "order/_log.json"]


def contract(identity: str, event_type: str = "order") -> Contract:
    return Contract(
        event_type=event_type,
        table="order_events",
        id="order",
        version="1.0.0",
        domain="backend_events",
        description="",
        properties=(
            Property("id", "uuid", unique=True),
            Property("n", "integer"),
            Property("k", "string", unique=True),
        ),
        event_time=None,
        identity=identity,  # type: ignore[arg-type]  # passed on unchanged
    )


@pytest.mark.parametrize(
    ("identity", "rule"),
    [("content", "content"), ("delivery", "delivery"), ("properties", "properties id, k")],
)
def test_type_log_of_a_contract_has_its_folder_and_rule(identity: str, rule: str) -> None:
    type_log = TypeLog.of(contract(identity))
    assert (type_log.folder, type_log.name, type_log.rule) == ("order", "order", rule)
    assert TypeLog.of(contract(identity), folder="").folder == ""
    assert pickle.loads(pickle.dumps(type_log)).rule == rule


def test_type_log_of_a_contract_compares_contents_unless_both_are_kept() -> None:
    keyed = contract("properties")
    both = TypeLog.of(replace(keyed, on_conflict="keep_both"))
    assert (both.rule, both.compile_content) == ("properties id, k; content", None)
    assert TypeLog.of(contract("content")).compile_content is None
    compile_content = TypeLog.of(keyed).compile_content
    assert compile_content is not None
    assert compile_content()(b'{"n":1,"k":"a"}') == compile_content()(b'{"k":"a", "n":1}')


def test_presence_of_the_settings_is_checked_again_after_ten_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(type_log_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    store, presence = open_store(str(tmp_path)), SettingsPresence()
    settings = tmp_path / "order" / "_log.json"

    def is_found(*, seldom: bool) -> bool:
        try:
            presence.check(store, ORDER, seldom=seldom)
        except LogChangedError:
            return False
        return True

    assert is_found(seldom=False)  # nothing is expected of a log that is not open
    EventLog(store, {"order": ORDER}, presence=presence).open()
    settings.unlink()
    assert not is_found(seldom=True)  # the first check
    settings.write_text("{}")
    assert is_found(seldom=True)
    settings.unlink()
    for passed, found in ((0.0, True), (9.999, True), (10.0, False)):
        now[0] = 1000.0 + passed
        assert is_found(seldom=True) is found
        with pytest.raises(LogChangedError):
            presence.check(store, ORDER)
    settings.write_text("{}")
    assert is_found(seldom=False)
    settings.unlink()
    assert is_found(seldom=True)  # as it was found just now
    with pytest.raises(LogChangedError):
        pickle.loads(pickle.dumps(presence)).check(store, ORDER, seldom=True)
    pickle.loads(pickle.dumps(SettingsPresence())).check(store, ORDER)


@pytest.mark.parametrize("name", ["", ".hidden", "_log", "a/b", "..", "a b", "é"])
def test_name_that_would_leave_the_folder_is_rejected(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TypeLog.of(contract("content", name), folder="order")
    assert (
        str(caught.value) == f"{name!r}: expected letters, digits, '_', '.' and '-' in an event type's name"
    )


DEAD = TypeLog("", "dead_letter", "content", content)


@pytest.mark.parametrize(
    ("type_log", "path"),
    [
        (ORDER, "order/2026/08/13/14/07/order_2026081314070001.json"),
        (ORDER, "order/0001/01/01/00/00/order_0001010100000099.json"),
        (DEAD, "2026/08/13/14/07/dead_letter_2026081314070002.json"),
    ],
)
def test_log_with_segments_and_without_settings_is_refused(
    tmp_path: Path, type_log: TypeLog, path: str
) -> None:
    """Its settings are not known: it could have other shards, or another deduplication key."""
    store = open_store(str(tmp_path))
    log = EventLog(store, {type_log.name: type_log}, shards=2)
    assert store.create(path, b"1\n")
    settings = {"format": 1, "event_type": type_log.name, "identity": "content", "shards": 2}
    text = json.dumps(settings, separators=(",", ":"))
    with pytest.raises(StorageError) as caught:
        log.open()
    assert str(caught.value) == (
        f"{tmp_path}/{type_log.settings_path}: expected the settings of this log, since it has {tmp_path}/{path}, got "
        "none; restore the file, or, if the log was always written with the settings of this job, create it with "
        f"{text}"
    )
    assert sorted(contents(tmp_path)) == [path]
    (tmp_path / type_log.settings_path).write_text(text)
    log.open()


@pytest.mark.parametrize(
    ("type_log", "path"),
    [
        (ORDER, "user/2026/08/13/14/07/user_2026081314070001.json"),
        (ORDER, "order/2026/08/13/14/07/user_2026081314070001.json"),
        (ORDER, "order/notes.txt"),
        (ORDER, "order/sub/2026/08/13/14/07/order_2026081314070001.json"),
        (DEAD, "redelivery/2026/08/13/14/07/redelivery_2026081314070001.json"),
        (DEAD, "dead_letter/2026/08/13/14/07/dead_letter_2026081314070001.json"),
        (DEAD, "9.json"),
    ],
)
def test_files_of_others_are_no_segments_of_a_new_log(tmp_path: Path, type_log: TypeLog, path: str) -> None:
    store = open_store(str(tmp_path))
    assert store.create(path, b"1\n")
    EventLog(store, {type_log.name: type_log}).open()
    assert sorted(contents(tmp_path)) == sorted([path, type_log.settings_path])


@pytest.mark.parametrize("type_log", [DEAD, ORDER])
def test_new_log_looks_no_further_than_its_years(tmp_path: Path, type_log: TypeLog) -> None:
    class Walked(LocalStore):
        def walk(self, folder: str = "", after: str = "") -> Iterator[str]:
            for path in super().walk(folder, after):
                walked.append(path.rpartition("/")[2])
                yield path

    walked: list[str] = []
    (tmp_path / type_log.folder).mkdir(exist_ok=True)
    for name in ("2026.txt", "9", "9z", "a", "b", "c"):
        (tmp_path / type_log.folder / name).write_text("x")
    EventLog(Walked(str(tmp_path)), {type_log.name: type_log}).open()
    assert walked == ["2026.txt", "9", "9z", "a"]


@pytest.mark.parametrize("type_log", [DEAD, ORDER])
@pytest.mark.parametrize("earlier", ["1z.txt", "9.json", "9z", ".a"])
def test_segment_of_the_last_year_is_found_behind_other_files(
    tmp_path: Path, type_log: TypeLog, earlier: str
) -> None:
    store = open_store(str(tmp_path))
    folder = f"{type_log.folder}/" if type_log.folder else ""
    segment = f"{folder}9999/12/31/23/59/{type_log.name}_9999123123590001.json"
    assert store.create(segment, b"1\n")
    assert store.create(f"{folder}{earlier}", b"")
    with pytest.raises(StorageError, match=f"since it has {tmp_path}/{segment}, got none"):
        EventLog(store, {type_log.name: type_log}).open()


def test_log_that_another_run_creates_meanwhile_is_opened(tmp_path: Path) -> None:
    class Overtaken(LocalStore):
        def walk(self, folder: str = "", after: str = "") -> Iterator[str]:
            other = EventLog(LocalStore(self.root), {"order": ORDER})
            other.open()
            other.append("order", 1_786_630_020, 0, [b"1"])
            yield from super().walk(folder, after)

    EventLog(Overtaken(str(tmp_path)), {"order": ORDER}).open()
    with pytest.raises(ConfigError, match="shards"):
        EventLog(Overtaken(str(tmp_path)), {"order": ORDER}, shards=2).open()
