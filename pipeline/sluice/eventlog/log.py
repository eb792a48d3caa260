"""The log: immutable segment files in a folder for each minute, every event in them exactly once.

A folder `order/2026/08/13/14/05/` is an append-only log of the events of one type and minute. `Log.append`
lists it, subtracts the identities that are already there, and creates the rest as the next number. If
another writer took that number, it reads that segment, subtracts again and tries the next: optimistic
concurrency, with the folder as the only truth. Retries, regrouped batches, reruns, overlapping histories and
several writers at once therefore all end in the same log; nothing is ever overwritten.

Why this is exact: an event belongs to one folder (by type and minute) and one shard (by its identity), a
shard's segments are numbered in one sequence, and a segment is created only by a writer that has read every
earlier number of that sequence. So no segment repeats an event of an earlier one.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from sluice.contracts import Contract
from sluice.elements import Acks, Segment
from sluice.errors import ConfigError, StorageError
from sluice.eventlog.paths import minute_prefix, parse_segment_path, segment_file, segment_id, segment_number
from sluice.storage import Store
from sluice.validation.deduplication_keys import KeyFunction, compile_deduplication_key

FORMAT = 1
"""Version of the layout that this module reads and writes."""

LOG_FILE = "_log.json"

MAX_CACHED_IDENTITIES = 1_000_000
"""Identities that one `Log` keeps between appends, least recently used folders first to go: about 100 MB.

A folder that is still filling should stay, or each append to it reads its segments again; a million holds the
minute in work at 16,000 events/s. The folder of the append under way is held whole, whatever its size.
"""

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class TypeLog:
    """One event type of a log: where its files lie and what makes two of its lines the same event.

    `identity` is called once in each process, when the first line arrives, and returns the function that is
    called for each line; both must pickle, so that the stream can travel to workers. `rule` describes it in
    `_log.json`, where it is fixed for the life of the log.
    """

    folder: str
    name: str
    rule: str
    identity: Callable[[], KeyFunction]

    def __post_init__(self) -> None:
        """Refuse names that would leave the log's folder, or be hidden in it."""
        for part in (self.name, *filter(None, self.folder.split("/"))):
            if not _SAFE_NAME.fullmatch(part):
                message = f"{part!r}: expected letters, digits, '_', '.' and '-' in an event type's name"
                raise ConfigError(message)

    @classmethod
    def of(cls, contract: Contract, folder: str | None = None) -> TypeLog:
        """Return the stream of a contract's events, in the folder `<event type>` unless told otherwise."""
        unique = [each.name for each in contract.properties if each.unique]
        return cls(
            folder=contract.event_type if folder is None else folder,
            name=contract.event_type,
            rule=f"properties {', '.join(unique)}"
            if contract.identity == "properties"
            else contract.identity,
            identity=partial(compile_deduplication_key, contract),
        )


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment that is in the log; `Log.read` brings its lines. `path` is a full address."""

    event_type: str
    path: str
    minute: int
    id: str


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What the log offers to a warehouse at once: segments of one event type and minute.

    `receipts` are what is owed once all of them are loaded.
    """

    segments: Sequence[Segment | StoredSegment]
    acks: Acks = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all lines that it brings, without line feeds."""
        return sum(each.size for each in self.segments if isinstance(each, Segment))


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What one append did. `appended + repeated` is the number of lines that it was given.

    `segment` is the new segment, None if every line was a repeat. `found` are older segments of the same
    type, minute and shard that a warehouse may not have, because whoever wrote them may have died before they
    were loaded: those that hold a repeated line, and those that this `Log` meets for the first time. So every
    line that was given is in `segment` or in one of `found`. Load them all; a load knows by the segment's id
    what it has.
    """

    segment: Segment | None
    found: tuple[StoredSegment, ...]
    appended: int
    duplicates: int


@dataclass(slots=True)
class _Folder:
    """What a `Log` remembers of one type, minute and shard; always a subset of what the store holds."""

    path: str
    stem: str
    numbers: dict[bytes, int] = field(default_factory=dict)
    """Identity -> number of the segment that holds it."""
    known: dict[int, StoredSegment] = field(default_factory=dict)
    found: set[int] = field(default_factory=set)
    """Numbers that the next append to succeed reports."""

    def file(self, number: int) -> str:
        return f"{self.path}/{segment_file(self.stem, number)}"

    def weight(self) -> int:
        """Return the identities held; an entry's own objects weigh as much as some ten more."""
        return len(self.numbers) + 10

    def clear(self) -> None:
        self.numbers.clear()
        self.known.clear()
        self.found.clear()

    def add(self, number: int, segment: Segment, identities: Iterable[bytes]) -> None:
        for identity in identities:
            self.numbers.setdefault(identity, number)
        self.known[number] = StoredSegment(segment.event_type, segment.path, segment.minute, segment.id)

    def subtract(self, fresh: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """Return the lines, by identity, that no known segment holds; find those that hold others."""
        if self.numbers.keys().isdisjoint(fresh):
            return fresh
        self.found.update(self.numbers[identity] for identity in fresh if identity in self.numbers)
        return {identity: line for identity, line in fresh.items() if identity not in self.numbers}

    def report(self) -> tuple[StoredSegment, ...]:
        numbers = sorted(self.found)
        self.found.clear()
        return tuple(self.known[number] for number in numbers)


class EventLog:
    """The log in one store: any number of writers, in any processes, may append at the same time.

    It pickles without its cache and without connections. Threads may share it. Between appends it remembers
    identities, so that a folder's segments are read once; the folder is listed on each append
    all the same, and what the cache has not seen is read. After an exception an instance may be used again.
    """

    def __init__(
        self,
        store: Store,
        type_logs: Mapping[str, TypeLog],
        shards: int = 1,
        cached_identities: int = MAX_CACHED_IDENTITIES,
    ) -> None:
        """`streams` are by event type; each minute of each has `shards` independent sequences of segments."""
        if shards < 1:
            message = f"shards: expected at least 1, got {shards}"
            raise ConfigError(message)
        self.store = store
        self.type_logs = dict(type_logs)
        self.shards = shards
        self._limit = cached_identities
        self._cached = 0
        self._lock = threading.Lock()
        self._folders: OrderedDict[tuple[str, int, int], _Folder] = OrderedDict()
        self._identities: dict[str, KeyFunction] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the cache behind: it is rebuilt from the folders, wherever this arrives."""
        return type(self), (self.store, self.type_logs, self.shards, self._limit)

    def open(self) -> None:
        """Create `_log.json` in the folder of each event type, or check the one that is there.

        Called in the launcher, before any append. Each type has a file of its own, so a job may bring new
        types to an old log, and of two launchers at the same time one creates it and the other checks.

        Raises:
            ConfigError: the log was created with other shards or another identity rule than the job's.
            StorageError: the store cannot be written, or the file is not one of ours.
        """
        for event_type, stream in self.type_logs.items():
            path = f"{stream.folder}/{LOG_FILE}" if stream.folder else LOG_FILE
            job = {"format": FORMAT, "event_type": event_type, "identity": stream.rule, "shards": self.shards}
            text = msgspec.json.format(msgspec.json.encode(job), indent=2) + b"\n"
            if not self.store.create(path, text):
                _check(self.store.url(path), self.store.read(path), job)

    def append(self, event_type: str, minute: int, shard: int, lines: Sequence[bytes]) -> AppendResult:
        """Append those of `lines` that the folder of the minute does not hold yet, as one new segment.

        `lines` are events of this type, minute (epoch seconds) and shard (see `deduplication_keys.shard_of`),
        without line feeds. Of lines with the same deduplication key the first stays. When this returns, every event of
        `lines` is stored durably, exactly once. After an exception that may or may not be so: append them again.

        Raises:
            StorageError: the store failed, or a segment in the folder is damaged.
        """
        if not 0 <= shard < self.shards:
            message = f"shard: expected 0 to {self.shards - 1}, got {shard}"
            raise ValueError(message)
        identify = self._key_of(event_type)
        with self._cached_folder(event_type, minute, shard) as folder:
            self._catch_up(folder, event_type, minute, shard)
            fresh = folder.subtract(_first_of_each(map(identify, lines), lines))
            number = max(folder.known, default=shard + 1 - self.shards) + self.shards
            segment = None
            while fresh and segment is None:
                segment = self._create(folder.file(number), event_type, minute, list(fresh.values()))
                if segment is not None:
                    folder.add(number, segment, fresh)
                else:
                    self._read_into(folder, number, event_type, minute)
                    fresh = folder.subtract(fresh)
                    number += self.shards
            return AppendResult(segment, folder.report(), len(fresh), len(lines) - len(fresh))

    def read(self, path: str) -> Segment:
        """Return the segment at `path`, as `segments`, `Segment.path` and `StoredSegment.path` name it."""
        relative = path.removeprefix(self.store.url("").rstrip("/") + "/")
        name = parse_segment_path(relative)
        for event_type, stream in self.type_logs.items():
            if name and (stream.folder, stream.name) == (name.folder, name.name):
                return self._read(relative, event_type, name.minute)
        message = f"{path}: expected a segment of {', '.join(self.type_logs)} in {self.store.url('')}"
        raise StorageError(message)

    def segments(self, event_type: str | None = None) -> Iterator[str]:
        """Yield the addresses of all segments, or of one type's, by type and time."""
        for stream in self.type_logs.values() if event_type is None else (self.type_logs[event_type],):
            for path in self.store.walk(stream.folder):
                name = parse_segment_path(path)
                if name and (stream.folder, stream.name) == (name.folder, name.name):
                    yield self.store.url(path)

    def _key_of(self, event_type: str) -> KeyFunction:
        if event_type not in self._identities:
            self._identities[event_type] = self.type_logs[event_type].identity()
        return self._identities[event_type]

    @contextmanager
    def _cached_folder(self, event_type: str, minute: int, shard: int) -> Iterator[_Folder]:
        """Take a folder out of the cache, or a new one, and put it back as the one used last."""
        key = event_type, minute, shard
        folder = self._take(key)
        if folder is None:
            stream = self.type_logs[event_type]
            folder = _Folder(*minute_prefix(stream.name, minute, stream.folder))
        try:
            yield folder
        finally:
            self._take(key)  # that of another thread that was in the same folder meanwhile
            with self._lock:
                self._folders[key] = folder
                self._cached += folder.weight()
                while self._cached > self._limit:
                    self._cached -= self._folders.popitem(last=False)[1].weight()

    def _take(self, key: tuple[str, int, int]) -> _Folder | None:
        with self._lock:
            folder = self._folders.pop(key, None)
            self._cached -= folder.weight() if folder is not None else 0
            return folder

    def _catch_up(self, folder: _Folder, event_type: str, minute: int, shard: int) -> None:
        """Read the segments of the shard that the cache has not seen; forget all if one was deleted."""
        listed = self._listed(folder, shard)
        last = max(listed, default=0)
        if len(listed) < len(range(shard + 1, last + 1, self.shards)):
            # A listing is no snapshot: 2 and 3, created while it runs, may show as 3 alone. What preceded 3
            # is in a listing that starts now. What is younger than 3 is left for the create to run into.
            listed = {number for number in self._listed(folder, shard) if number <= last}
        if not folder.known.keys() <= listed:
            folder.clear()
        for number in sorted(listed - folder.known.keys()):
            self._read_into(folder, number, event_type, minute)

    def _listed(self, folder: _Folder, shard: int) -> set[int]:
        numbers = (segment_number(folder.stem, file) for file in self.store.list(folder.path))
        return {number for number in numbers if number and (number - 1) % self.shards == shard}

    def _read_into(self, folder: _Folder, number: int, event_type: str, minute: int) -> None:
        segment = self._read(folder.file(number), event_type, minute)
        try:
            identities = list(map(self._key_of(event_type), segment.lines))
        except (msgspec.DecodeError, ValueError) as error:
            message = (
                f"{segment.path}: expected events of {event_type}, got {error}; it was changed: restore it"
            )
            raise StorageError(message) from error
        folder.add(number, segment, identities)
        folder.found.add(number)

    def _read(self, path: str, event_type: str, minute: int) -> Segment:
        data = self.store.read(path)
        if not data.endswith(b"\n"):
            message = (
                f"{self.store.url(path)}: expected lines that each end with a line feed, got {len(data)} "
                "bytes without the last one; the file is damaged: restore it, or move it away"
            )
            raise StorageError(message)
        return self._segment(path, event_type, minute, data, data[:-1].split(b"\n"))

    def _create(self, path: str, event_type: str, minute: int, lines: list[bytes]) -> Segment | None:
        """Create a segment; None if another writer took its number."""
        data = b"\n".join([*lines, b""])
        if data.count(b"\n") != len(lines):
            message = f"{self.store.url(path)}: expected lines without line feeds"
            raise ValueError(message)
        if not self.store.create(path, data):
            return None
        return self._segment(path, event_type, minute, data, lines)

    def _segment(self, path: str, event_type: str, minute: int, data: bytes, lines: list[bytes]) -> Segment:
        return Segment(segment_id(event_type, minute, data), event_type, self.store.url(path), minute, lines)


def _first_of_each(identities: Iterable[bytes], lines: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return identity -> the first line that has it, in order."""
    keys = list(identities)
    first = dict(zip(keys, lines, strict=True))
    if len(first) < len(keys):  # now and then; so the fast way is tried first
        first.update(zip(reversed(keys), reversed(lines), strict=True))
    return first


def _check(url: str, text: bytes, job: Mapping[str, object]) -> None:
    """Refuse a job that differs from the `_log.json` whose content is `text`."""
    try:
        log = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        message = f"{url}: expected a JSON object with {', '.join(job)}, got {error}"
        raise StorageError(message) from error
    for key, got in job.items():
        if log.get(key) != got:
            expected = msgspec.json.encode(log.get(key)).decode()
            message = (
                f"{url}: {key}: expected {expected}, as this log was created with, "
                f"got {msgspec.json.encode(got).decode()} from the job; change the job, or use another folder"
            )
            raise ConfigError(message)
