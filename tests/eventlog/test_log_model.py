"""Any interleaving of writers, crashes, races and retries ends with every event in the log exactly once.

Hypothesis makes up the interleavings. Faults are injected around the real local store, never instead of it:
a crash before or after a create has happened, rivals that append between a writer's listing and its create.
"""

from __future__ import annotations

import pickle
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import compress
from pathlib import Path

import xxhash
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)
from sluice.errors import StorageError
from sluice.eventlog.log import AppendResult, EventLog
from sluice.eventlog.paths import parse_segment_path
from sluice.eventlog.type_log import TypeLog
from sluice.storage import Names, Store, open_store
from sluice.validation.deduplication_keys import shard_of

MINUTES = [0, 60]
TYPES = ["order", "user"]
CACHE = 40
"""Small enough for folders to be evicted: a folder weighs its identities and ten more."""

EVENTS = st.lists(st.integers(0, 30).map(lambda number: b"event %d" % number), min_size=1, max_size=12)
"""Few enough for most panes to overlap."""

Key = tuple[str, int, int]
Pane = tuple[Key, list[bytes]]


def content() -> Callable[[bytes], bytes]:
    return xxhash.xxh3_128_digest


def content_by_python() -> Callable[[bytes], bytes]:
    """Return the same keys by a function that the native core does not stand in for."""
    return partial(xxhash.xxh3_128_digest)


TYPE_LOGS = {
    "order": TypeLog("order", "order", "content", content),
    "user": TypeLog("user", "user", "content", content_by_python),
}


class CrashError(BaseException):
    """The process is gone; no code of the product may see this and go on."""


class Faulty:
    """The real store, and what is to happen around its next creates."""

    def __init__(self, inner: Store) -> None:
        self.inner, self.root = inner, inner.root
        self.before: list[Callable[[], object]] = []
        self.after: list[Callable[[], object]] = []

    def url(self, path: str) -> str:
        return self.inner.url(path)

    def list(self, folder: str) -> Names:
        return self.inner.list(folder)

    def walk(self, folder: str = "", after: str = "") -> Iterator[str]:
        return self.inner.walk(folder, after)

    def read(self, path: str) -> bytes:
        return self.inner.read(path)

    def created_at(self, path: str) -> datetime:
        return self.inner.created_at(path)

    def create(self, path: str, data: bytes) -> bool:
        if self.before:
            self.before.pop(0)()
        created = self.inner.create(path, data)
        if self.after:
            self.after.pop(0)()
        return created


class Worker:
    """A writer with its own instance and cache."""

    def __init__(self, root: Path, shards: int) -> None:
        self.store = Faulty(open_store(str(root)))
        self.log = EventLog(self.store, TYPE_LOGS, shards, max_cached_keys=CACHE)


def crash() -> None:
    raise CrashError


def fail() -> None:
    message = "connection reset"
    raise StorageError(message)


class LogMachine(RuleBasedStateMachine):
    """`panes` have been read from a source and are not acknowledged: each is appended until it succeeds."""

    panes: Bundle[Pane] = Bundle("panes")

    @initialize(shards=st.sampled_from([1, 2, 3]))
    def start(self, shards: int) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.shards = shards
        self.workers = [Worker(self.root, shards) for _ in range(3)]
        self.acknowledged: set[tuple[str, int, bytes]] = set()
        self.given: set[tuple[str, int, bytes]] = set()
        self.files: dict[str, bytes] = {}

    def teardown(self) -> None:
        if hasattr(self, "root"):
            shutil.rmtree(self.root)

    def split(self, event_type: str, minute: int, lines: list[bytes]) -> list[Pane]:
        """Give each line to its shard, as the graph does."""
        panes: dict[Key, list[bytes]] = {}
        for line in lines:
            shard = shard_of(content()(line), self.shards)
            panes.setdefault((event_type, minute, shard), []).append(line)
            self.given.add((event_type, minute, line))
        return list(panes.items())

    @rule(
        target=panes,
        event_type=st.sampled_from(TYPES),
        minute=st.sampled_from(MINUTES),
        events=EVENTS,
    )
    def arrive(self, event_type: str, minute: int, events: list[bytes]) -> MultipleResults[Pane]:
        """Events arrive, often ones that came before, and are grouped."""
        return multiple(*self.split(event_type, minute, events))

    @rule(target=panes, one=consumes(panes), other=consumes(panes), cut=st.integers(1, 11))
    def regroup(self, one: Pane, other: Pane, cut: int) -> MultipleResults[Pane]:
        """A runner that recovers groups its records anew: panes of one key merge and are cut elsewhere."""
        if one[0] != other[0]:
            return multiple(one, other)
        lines = one[1] + other[1]
        return multiple(*[(one[0], part) for part in (lines[:cut], lines[cut:]) if part])

    @rule(pane=consumes(panes), worker=st.integers(0, 2))
    def append(self, pane: Pane, worker: int) -> None:
        self.run(pane, self.workers[worker])
        self.succeed(pane)

    @rule(pane=panes, worker=st.integers(0, 2))
    def append_and_lose_the_answer(self, pane: Pane, worker: int) -> None:
        """The append succeeded, the bundle did not: the pane stays, and is appended again by anyone."""
        self.run(pane, self.workers[worker])

    @rule(pane=panes, worker=st.integers(0, 2), after=st.booleans())
    def crash_around_a_create(self, pane: Pane, worker: int, after: bool) -> None:
        """The process dies, and another one with an empty cache takes its place."""
        store = self.workers[worker].store
        (store.after if after else store.before).append(crash)
        try:
            self.run(pane, self.workers[worker])
        except CrashError:
            pass
        self.workers[worker] = Worker(self.root, self.shards)

    @rule(pane=panes, worker=st.integers(0, 2), after=st.booleans())
    def fail_around_a_create(self, pane: Pane, worker: int, after: bool) -> None:
        """The store fails, perhaps after the create has happened; the same instance goes on."""
        store = self.workers[worker].store
        (store.after if after else store.before).append(fail)
        try:
            self.run(pane, self.workers[worker])
        except StorageError:
            pass
        store.before.clear()
        store.after.clear()

    @rule(pane=consumes(panes), rivals=st.lists(EVENTS, min_size=1, max_size=4), again=st.booleans())
    def race(self, pane: Pane, rivals: list[list[bytes]], again: bool) -> None:
        """Others append between a listing and its create; perhaps the same pane, as a zombie does."""
        key = pane[0]
        panes = [
            candidate
            for events in rivals
            for candidate in self.split(key[0], key[1], events)
            if candidate[0] == key
        ]
        for number, rival in enumerate([pane] * again + panes):
            worker = self.workers[1 + number % 2]
            self.workers[0].store.before.append(partial(self.run, rival, worker))
        self.run(pane, self.workers[0])
        self.workers[0].store.before.clear()
        self.succeed(pane)

    @rule(worker=st.integers(0, 2))
    def travel(self, worker: int) -> None:
        """The log is pickled to another process; its store, a test's own wrapper, is put back."""
        there = self.workers[worker]
        there.log.store = there.store.inner
        there.log = pickle.loads(pickle.dumps(there.log))
        there.log.store = there.store

    def run(self, pane: Pane, worker: Worker) -> AppendResult:
        (event_type, minute, shard), lines = pane
        result = worker.log.append(event_type, minute, shard, list(lines))
        assert result.appended + result.duplicates == len(lines)
        kept = [True] * len(lines) if result.kept is None else list(map(bool, result.kept))
        assert list(compress(lines, kept)) == (list(result.segment.lines) if result.segment else [])
        first = [line not in lines[:index] for index, line in enumerate(lines)]
        assert all(is_first for is_first, is_kept in zip(first, kept, strict=True) if is_kept)
        assert result.appended == (len(result.segment.lines) if result.segment else 0)
        reported = [worker.log.read(reference.path) for reference in result.unloaded]
        assert [(segment.id, segment.path, segment.minute) for segment in reported] == [
            (reference.id, reference.path, minute) for reference in result.unloaded
        ]
        new = [result.segment] if result.segment else []
        assert len({segment.path for segment in reported + new}) == len(reported + new)
        # Whoever loads what is reported has every event of the pane, whatever happened before.
        assert set(lines) <= {line for segment in reported + new for line in segment.lines}
        return result

    def succeed(self, pane: Pane) -> None:
        (event_type, minute, _), lines = pane
        self.acknowledged |= {(event_type, minute, line) for line in lines}

    @invariant()
    def every_event_is_there_once_and_no_file_ever_changes(self) -> None:
        if not hasattr(self, "root"):
            return
        files = {
            path.relative_to(self.root).as_posix(): path for path in self.root.rglob("*") if path.is_file()
        }
        assert files.keys() >= self.files.keys()
        events: Counter[tuple[str, int, bytes]] = Counter()
        for name, path in files.items():
            data = path.read_bytes()
            assert self.files.setdefault(name, data) == data
            segment = parse_segment_path(name)
            assert segment is not None
            assert data.endswith(b"\n")
            for line in data[:-1].split(b"\n"):
                assert shard_of(content()(line), self.shards) == (segment.number - 1) % self.shards
                events[segment.name, segment.minute, line] += 1
        assert set(events.values()) <= {1}
        assert self.acknowledged <= events.keys() <= self.given


TestLog = LogMachine.TestCase
TestLog.settings = settings(max_examples=200, stateful_step_count=40)
