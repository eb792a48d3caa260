"""One conformance suite for all stores, and the log on top: local, and emulators of GCS and S3."""

from __future__ import annotations

import pickle
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import xxhash
from sluice.errors import StorageError
from sluice.eventlog.log import AppendResult, EventLog
from sluice.eventlog.type_log import TypeLog
from sluice.storage import Store, objects, open_store
from sluice.validation.deduplication_keys import shard_of

from devservers import gcs, s3

MINUTE = 1_786_630_020  # 2026-08-13T14:07:00Z
BUCKET = "events"
WRITERS = 4


def content() -> Callable[[bytes], bytes]:
    return xxhash.xxh3_128_digest


@pytest.fixture(scope="module")
def gs_root() -> Iterator[str]:
    with gcs.start(BUCKET) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield f"gs://{BUCKET}"


@pytest.fixture(scope="module")
def s3_root() -> Iterator[str]:
    with s3.start(BUCKET) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield f"s3://{BUCKET}"


@pytest.fixture(params=["local", "gs", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty place."""
    if request.param == "local":
        return str(tmp_path)
    place: str = request.getfixturevalue(f"{request.param}_root")
    return f"{place}/{uuid.uuid4().hex}/output"


@pytest.fixture
def store(root: str) -> Store:
    return open_store(root)


def together(work: Callable[[int], object], workers: int = WRITERS) -> None:
    """Run `work(0)`, `work(1)`, … at the same time; an exception in one of them fails the test."""
    barrier, failures = threading.Barrier(workers), []

    def run(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        except (StorageError, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_create_never_overwrites(root: str) -> None:
    first, second = open_store(root), open_store(root)
    assert first.create("order/x.json", b"1\n") is True
    assert second.create("order/x.json", b"2\n") is False
    assert first.create("order/x.json", b"1\n") is False
    assert second.read("order/x.json") == b"1\n"


@pytest.mark.parametrize("size", [0, 1, 12_000_000])
def test_objects_of_every_size_are_read_back(store: Store, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert store.create("x.json", data) is True
    assert store.read("x.json") == data
    assert store.create("x.json", data) is False


def test_file_says_when_it_was_created(store: Store) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=10)  # a file system takes the time of the last tick
    assert store.create("x.json", b"1\n") is True
    created_at = store.created_at("x.json")
    assert before <= created_at <= datetime.now(UTC)
    assert store.create("x.json", b"2\n") is False
    assert store.created_at("x.json") == created_at
    with pytest.raises(StorageError):
        store.created_at("missing.json")


def test_listing_is_sorted_and_limited_to_the_prefix(store: Store) -> None:
    for path in ("b.json", "a.json", ".hidden", "order/2026/c.json", "order2/d.json", "order/.e", ".git/f"):
        assert store.create(path, b"1") is True
    assert store.list("") == ["a.json", "b.json"]
    assert store.list("order") == []
    assert store.list("order/2026") == ["c.json"]
    assert store.list("missing") == []
    assert list(store.walk()) == ["a.json", "b.json", "order/2026/c.json", "order2/d.json"]
    assert list(store.walk("order")) == ["order/2026/c.json"]
    assert list(store.walk(after="a.json")) == ["b.json", "order/2026/c.json", "order2/d.json"]
    assert list(store.walk(after="order2")) == ["order2/d.json"]
    assert list(store.walk("order", "2026/c")) == ["order/2026/c.json"]
    assert list(store.walk("order", "2026/c.json")) == []
    assert list(store.walk("missing")) == []


@pytest.mark.parametrize(
    "name",
    ["a b", "a[1]", "a*", "a%20b", "a+b", "{a}", "a\\b", "caf\u00e9", "cafe\u0301", "~", "a&b"],
)
def test_folder_name_is_taken_literally(root: str, name: str) -> None:
    for folder in (name, "x"):
        assert open_store(f"{root}/{folder}").create("order/1.json", b"1\n")
    store = open_store(f"{root}/{name}")
    assert (store.list("order"), list(store.walk()), list(store.walk("order"))) == (
        ["1.json"],
        ["order/1.json"],
        ["order/1.json"],
    )
    assert (store.read("order/1.json"), store.create("order/1.json", b"2\n")) == (b"1\n", False)


def test_key_that_obstore_does_not_take_is_one_line(s3_root: str) -> None:
    with pytest.raises(StorageError) as caught:
        open_store(f"{s3_root}/a//b\nc").create("x", b"")
    assert str(caught.value).startswith(f"{s3_root}/a//b\\nc: cannot write x: Could not parse path:")
    assert "\n" not in str(caught.value)


def test_listing_of_many_pages_is_complete(store: Store) -> None:
    together(lambda worker: [store.create(f"x/{number:04d}", b"") for number in range(worker, 1200, WRITERS)])
    names = [f"{number:04d}" for number in range(1200)]
    assert store.list("x") == names
    assert list(store.walk("x")) == [f"x/{name}" for name in names]


def test_missing_object_is_not_found(store: Store) -> None:
    with pytest.raises(StorageError) as caught:
        store.read("order/x.json")
    message = str(caught.value)
    assert message.startswith(f"{store.root}/order: cannot read x.json: ")
    assert "\n" not in message


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_operation_on_a_missing_bucket_is_a_one_line_error(
    request: pytest.FixtureRequest, scheme: str
) -> None:
    request.getfixturevalue(f"{scheme}_root")
    store = open_store(f"{scheme}://missing/output")
    attempts: list[tuple[str, Callable[[], object]]] = [
        ("list", lambda: store.list("order")),
        ("list", lambda: list(store.walk("order"))),
        ("read x.json", lambda: store.read("order/x.json")),
        ("write x.json", lambda: store.create("order/x.json", b"1")),
    ]
    for action, attempt in attempts:
        with pytest.raises(StorageError) as caught:
            attempt()
        assert str(caught.value).startswith(f"{scheme}://missing/output/order: cannot {action}: ")


def test_store_is_pickled_with_an_open_connection(store: Store) -> None:
    store.create("x.json", b"1")
    copy: Store = pickle.loads(pickle.dumps(store))
    assert (copy.root, copy.read("x.json")) == (store.root, b"1")


def test_one_of_concurrent_writers_creates_each_object(root: str) -> None:
    created: list[tuple[str, int]] = []

    def write(worker: int) -> None:
        store = open_store(root)
        created.extend(
            (name, worker) for name in map(str, range(40)) if store.create(name, b"%d" % worker * 5000)
        )

    together(write)
    assert sorted(int(name) for name, _ in created) == list(range(40))
    store = open_store(root)
    assert {name: store.read(name) for name, _ in created} == {
        name: b"%d" % worker * 5000 for name, worker in created
    }


@pytest.mark.parametrize("root", ["gs", "s3"], indirect=True)
class TestUncertainAnswers:
    """The request goes to the real emulator; only its answer is lost or changed on the way back."""

    def answer(
        self, monkeypatch: pytest.MonkeyPatch, store: Store, change: Callable[[Callable[[], bool]], bool]
    ) -> None:
        put = store._put  # type: ignore[attr-defined]  # not in its types
        monkeypatch.setattr(store, "_put", lambda *arguments: change(lambda: put(*arguments)))

    def test_lost_answer_is_resolved_by_content(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        def lose(send: Callable[[], bool]) -> bool:
            send()
            message = "connection reset"
            raise StorageError(message)

        self.answer(monkeypatch, store, lose)
        assert store.create("x.json", b"1") is True
        assert store.create("x.json", b"1") is False
        assert store.read("x.json") == b"1"

    def test_request_repeated_by_the_client_creates_once(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.answer(monkeypatch, store, lambda send: send() and send())
        assert store.create("x.json", b"1") is True
        assert store.create("x.json", b"1") is False

    def test_request_that_never_arrived_is_an_error(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_: Callable[[], bool]) -> bool:
            message = "connection refused"
            raise StorageError(message)

        self.answer(monkeypatch, store, refuse)
        with pytest.raises(StorageError, match="(?m)^connection refused$"):
            store.create("x.json", b"1")
        assert store.list("") == []

    def test_conflict_with_a_failed_write_is_retried(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        conflicts = iter([True, True, False])
        self.answer(monkeypatch, store, lambda send: not next(conflicts) and send())
        assert store.create("x.json", b"1") is True

    def test_permanent_conflict_is_an_error(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        attempts: list[int] = []

        def conflict(_: Callable[[], bool]) -> bool:
            attempts.append(1)
            return False

        monkeypatch.setattr(objects, "CONFLICT_RETRY", replace(objects.CONFLICT_RETRY, seconds=1))
        self.answer(monkeypatch, store, conflict)
        with pytest.raises(StorageError) as caught:
            store.create("x.json", b"1")
        assert len(attempts) > 1
        assert str(caught.value) == (
            f"{store.root}/x.json: cannot create: the service says that it exists, but it cannot be found"
        )


def make_log(root: str, shards: int = 1) -> EventLog:
    return EventLog(open_store(root), {"order": TypeLog("order", "order", "content", content)}, shards)


def test_log_appends_and_deduplicates(root: str) -> None:
    log = make_log(root)
    log.open()
    make_log(root).open()
    first = log.append("order", MINUTE, 0, [b"1", b"2"]).segment
    result = make_log(root).append("order", MINUTE, 0, [b"2", b"3"])
    assert first is not None
    assert result.segment is not None
    assert (result.segment.lines, result.duplicates) == ([b"3"], 1)
    assert [reference.id for reference in result.unloaded] == [first.id]
    assert result.segment.path == f"{root}/order/2026/08/13/14/07/order_2026081314070002.json"
    paths = list(log.segments())
    assert [log.read(path) for path in paths] == [first, result.segment]


@pytest.mark.parametrize("shards", [1, 2])
def test_concurrent_logs_store_each_event_once(root: str, shards: int) -> None:
    """Four writers append overlapping panes; every event is stored once, and the counts add up."""
    lines = [b"event %d" % number for number in range(400)]
    results: list[AppendResult] = []

    def write(worker: int) -> None:
        log = make_log(root, shards)
        log.open()
        for start in range(0, 400, 40):  # each starts elsewhere and overlaps with all the others
            pane = [lines[(start + worker * 25 + offset) % 400] for offset in range(60)]
            for shard in range(shards):
                mine = [line for line in pane if shard_of(content()(line), shards) == shard]
                results.append(log.append("order", MINUTE, shard, mine))

    together(write)
    log = make_log(root, shards)
    stored = Counter(line for path in log.segments() for line in log.read(path).lines)
    assert stored == Counter(lines)
    assert sum(result.appended for result in results) == 400
    assert sum(result.duplicates for result in results) == WRITERS * 600 - 400
