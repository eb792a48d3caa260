"""The event log: immutable segment files in a folder for each minute, every event in them exactly once.

A folder such as `order/2026/08/13/14/05/` is an append-only log of the events of one type and minute. Its files are
numbered, and a file is never changed once it exists. To append, a writer

1. lists the folder and reads the segments that it has not read yet,
2. drops the lines whose deduplication key one of them has,
3. creates the rest as a file with the next number. The store creates a file only if none of that name exists.

No writer holds a lock. Each assumes that it is alone; if it is not, the creation in step 3 fails, because another
writer has taken the number. Then it reads that segment, drops what it has, and tries the next number. This is
optimistic concurrency: table formats commit in the same way. Retries, regrouped batches, reruns, overlapping inputs
and several writers at once therefore all end in the same log, and nothing is ever overwritten.

Why every event is stored exactly once: an event belongs to one folder (by type and minute) and one shard (by its
deduplication key). The segments of a shard are numbered in one sequence, and a writer can create a number only after
it has read every earlier number of that sequence. So no segment repeats an event of an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import numpy as np

from sluice.elements import LogKey, Segment, StoredSegment
from sluice.errors import ConfigError, LogChangedError, StorageError, WarehouseError
from sluice.eventlog.conflicts import Conflict, ConflictFinder
from sluice.eventlog.minute_folders import MAX_CACHED_KEYS, FolderCache, MinuteFolder
from sluice.eventlog.paths import minute_prefix, parse_segment_path, segment_id, segment_number, segment_path
from sluice.eventlog.type_log import SettingsPresence, TypeLog, open_type_log
from sluice.line_block import LineBlock
from sluice.storage import Store
from sluice.validation.content import ContentFunction
from sluice.validation.deduplication_keys import KEY_BYTES, Distinct, KeyFunction, find_distinct

_LINE_FEED = ord("\n")

SegmentGuard = Callable[[Segment | StoredSegment], None]
"""Raises StorageError if the file of a segment is known to have had other content, WarehouseError if it cannot tell."""


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What one append did. `appended + duplicates` is the number of lines that it was given.

    `segment` is the new segment; None if every line was a duplicate. `unloaded` are older segments of the same type,
    minute and shard that a warehouse may not have, because the run that wrote them may have died before it loaded
    them: those that have a duplicate of a given line, and those that this process reads for the first time. So every
    given line is in `segment` or in one of `unloaded`. Load them all; a warehouse loads each segment at most once.
    """

    segment: Segment | None
    unloaded: tuple[StoredSegment, ...]
    appended: int
    duplicates: int
    conflicts: tuple[Conflict, ...] = ()
    """Duplicates whose content differs from that of the stored event; nothing of them is in the log."""
    kept: bytes | None = None
    """1 for each given line that was appended, 0 for each duplicate; None if all were appended."""


class EventLog:
    """The event log in one store: any number of writers, in any processes, may append at the same time.

    An instance pickles without its cache and without connections. Threads may share it. It remembers deduplication
    keys between appends, so that it reads each segment once. After an exception it may be used again.
    """

    def __init__(
        self,
        store: Store,
        type_logs: Mapping[str, TypeLog],
        shards: int = 1,
        max_cached_keys: int = MAX_CACHED_KEYS,
        guard: SegmentGuard | None = None,
        presence: SettingsPresence | None = None,
    ) -> None:
        """`type_logs` are by event type; each minute of each has `shards` independent sequences of segments.

        `guard` sees each segment before the log relies on it or creates it. It must pickle.
        """
        if shards < 1:
            message = f"shards: expected at least 1, got {shards}"
            raise ConfigError(message)
        self.store = store
        self.type_logs = dict(type_logs)
        self.shards = shards
        self.guard = guard
        self._presence = presence or SettingsPresence()
        self._folders = FolderCache(max_cached_keys)
        self._key_functions: dict[str, KeyFunction] = {}
        self._content_functions: dict[str, ContentFunction | None] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the cache behind: it is rebuilt from the folders, wherever this arrives."""
        return type(self), (
            self.store,
            self.type_logs,
            self.shards,
            self._folders.max_keys,
            self.guard,
            self._presence,
        )

    def open(self) -> None:
        """Create `_log.json` in the folder of each event type, or check the one that exists.

        Called in the launcher, before any append. Each type has a file of its own, so a job may add new
        types to an old log. Of two launchers at the same time one creates the file and the other checks it.

        Raises:
            ConfigError: the log was created with other shards or another deduplication key than the job's.
            StorageError: the store cannot be written, or a file is not a settings file.

        """
        for event_type, type_log in self.type_logs.items():
            open_type_log(self.store, event_type, type_log, self.shards)
        self._presence.expect()

    def check_presence(self) -> None:
        """Check, at the end of a run, that the settings files that it found or made are still there.

        Raises:
            StorageError: the log, or an event type of it, was deleted while the run lasted.

        """
        for type_log in self.type_logs.values():
            self._presence.check(self.store, type_log)

    def append(self, event_type: str, minute: int, shard: int, lines: Sequence[bytes]) -> AppendResult:
        """Append those of `lines` that the folder of the minute does not have yet, as one new segment.

        `lines` are events of this type, minute (epoch seconds) and shard (see `deduplication_keys.shard_of`),
        without line feeds. Of lines with the same deduplication key the first stays. When this returns, every event
        of `lines` is stored durably, exactly once. After an exception they may or may not be stored: append them
        again.

        Raises:
            StorageError: the store failed, a segment in the folder is damaged, the guard refused one, or the log or
                a segment of the folder was deleted while the run lasts.

        """
        if not 0 <= shard < self.shards:
            message = f"shard: expected 0 to {self.shards - 1}, got {shard}"
            raise ValueError(message)
        log_key = LogKey(event_type, minute, shard)
        with self._folders.use(log_key, lambda: self._new_folder(log_key)) as folder:
            known = self._listed(folder, shard)
            if not known and not folder.segments and lines:
                distinct = find_distinct(self._key_function(event_type), lines)
                if distinct is not None:
                    if result := self._append_first(folder, log_key, distinct, len(lines)):
                        return result
                    known = self._listed(folder, shard)
            return self._append_to(folder, log_key, lines, known)

    def _append_first(
        self, folder: MinuteFolder, log_key: LogKey, distinct: Distinct, given: int
    ) -> AppendResult | None:
        """Append to a folder without segments; None if another writer has done so meanwhile.

        `distinct` are those of the `given` lines that differ in their keys.
        """
        lines, keys, kept = distinct
        self._check_before_append(folder)
        number = log_key.shard + 1
        segment = self._create(folder.file(number), log_key, lines, keys)
        if segment is None:
            return None
        if self._folders.max_keys:
            folder.add(number, segment, (keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)))
        return AppendResult(segment, (), len(lines), given - len(lines), (), kept)

    def _append_to(
        self, folder: MinuteFolder, log_key: LogKey, lines: Sequence[bytes], known: set[int]
    ) -> AppendResult:
        """Append to a folder that has the segments of the `known` numbers, and perhaps later ones."""
        keys = list(map(self._key_function(log_key.event_type), lines))
        first = _first_by_key(keys, lines)
        finder = ConflictFinder(keys, lines, first, self._content_function(log_key.event_type))
        self._read_new_segments(folder, log_key, known, finder)
        self._compare(folder, log_key, finder)  # before the creation, after which no read may fail
        new = folder.new_lines(first)
        number = max(folder.segments, default=log_key.shard + 1 - self.shards) + self.shards
        segment = None
        if new:
            self._check_before_append(folder)
        while new and segment is None:
            block = LineBlock.of(list(new.values()))
            segment = self._create(folder.file(number), log_key, block, b"".join(new))
            if segment is not None:
                folder.add(number, segment, new)
                finder.compare_new(segment, new)
            else:
                self._read_into(folder, number, log_key, finder)
                new = folder.new_lines(new)
                number += self.shards
        duplicates, kept = len(lines) - len(new), _kept(keys, new)
        return AppendResult(segment, folder.report(), len(new), duplicates, finder.conflicts(), kept)

    def check_segments(self, event_type: str) -> None:
        """Read all segments of a type and show each to the guard; nothing without a guard.

        Raises:
            StorageError: the guard refused one, or it cannot be read.

        """
        if self.guard is not None:
            for path in self.segments(event_type):
                self.guard(self.read(path))

    def read(self, path: str) -> Segment:
        """Return the segment at `path`, an address as in `Segment.path` and `StoredSegment.path`."""
        return self._read(self._relative(path), LogKey(*self.locate(path), 0))

    def locate(self, path: str) -> tuple[str, int]:
        """Return the event type and the minute of the segment at `path`, from its address alone."""
        name = parse_segment_path(self._relative(path))
        for event_type, type_log in self.type_logs.items():
            if name and (type_log.folder, type_log.name) == (name.folder, name.name):
                return event_type, name.minute
        message = f"{path}: expected a segment of {', '.join(self.type_logs)} in {self.store.url('')}"
        raise StorageError(message)

    def find(self, event_type: str, address: str) -> str | None:
        """Return the address of the segment that was at `address`, be it before the log was moved; None: none is."""
        type_log = self.type_logs.get(event_type)
        name = parse_segment_path("/".join(address.split("/")[-6:]))
        if type_log is None or name is None or (name.folder, name.name) != ("", type_log.name):
            return None
        path = segment_path(name.name, name.minute, name.number, type_log.folder)
        return self.store.url(path) if self._is_listed(path) else None

    def appended_at(self, path: str) -> datetime:
        """Return when the segment at `path` was created; StorageError if there is none."""
        return self.store.created_at(self._relative(path))

    def segments(self, event_type: str | None = None) -> Iterator[str]:
        """Yield the addresses of all segments, or of one type's, by type and time."""
        for type_log in self.type_logs.values() if event_type is None else (self.type_logs[event_type],):
            for path in self.store.walk(type_log.folder):
                name = parse_segment_path(path)
                if name and (type_log.folder, type_log.name) == (name.folder, name.name):
                    yield self.store.url(path)

    def _relative(self, path: str) -> str:
        return path.removeprefix(self.store.url("").rstrip("/") + "/")

    def _key_function(self, event_type: str) -> KeyFunction:
        if event_type not in self._key_functions:
            self._key_functions[event_type] = self.type_logs[event_type].compile_key()
        return self._key_functions[event_type]

    def _content_function(self, event_type: str) -> ContentFunction | None:
        if event_type not in self._content_functions:
            compile_content = self.type_logs[event_type].compile_content
            self._content_functions[event_type] = None if compile_content is None else compile_content()
        return self._content_functions[event_type]

    def _new_folder(self, log_key: LogKey) -> MinuteFolder:
        type_log = self.type_logs[log_key.event_type]
        path, stem = minute_prefix(type_log.name, log_key.minute, type_log.folder)
        return MinuteFolder(path, stem, log_key.event_type)

    def _read_new_segments(
        self, folder: MinuteFolder, log_key: LogKey, listed: set[int], finder: ConflictFinder
    ) -> None:
        """Read the `listed` segments that the cache has not seen; raise StorageError if one was deleted."""
        last = max(listed, default=0)
        if len(listed) < len(range(log_key.shard + 1, last + 1, self.shards)):
            # A listing is no snapshot: of 2 and 3, created while it runs, it may have 3 alone. A listing that starts
            # now has every number before 3. If it has later numbers, their creation will fail, and they are read then.
            listed = {number for number in self._listed(folder, log_key.shard) if number <= last}
        if deleted := folder.segments.keys() - listed:
            path = folder.segments[min(deleted)].path
            folder.clear()
            message = (
                f"{path}: expected the segment that this run has used, got none: it was deleted; restore it"
            )
            raise LogChangedError(message)
        for number in sorted(listed - folder.segments.keys()):
            self._read_into(folder, number, log_key, finder)

    def _compare(self, folder: MinuteFolder, log_key: LogKey, finder: ConflictFinder) -> None:
        """Compare duplicates with the segments that were read before this append: the cache has only their keys."""
        for number, keys in finder.to_read(folder).items():
            segment = self._read(folder.file(number), log_key)
            if not finder.copies(segment, keys):
                finder.compare(number, segment, self._keys(segment))

    def _listed(self, folder: MinuteFolder, shard: int) -> set[int]:
        numbers = (segment_number(folder.stem, file) for file in self.store.list(folder.path))
        return {number for number in numbers if number and (number - 1) % self.shards == shard}

    def _read_into(self, folder: MinuteFolder, number: int, log_key: LogKey, finder: ConflictFinder) -> None:
        segment = self._read(folder.file(number), log_key)
        keys = self._keys(segment)
        folder.add(number, segment, keys)
        folder.to_report.add(number)
        folder.unguarded.add(number)
        finder.compare(number, segment, keys)

    def _keys(self, segment: Segment) -> list[bytes]:
        try:
            return list(map(self._key_function(segment.event_type), segment.lines))
        except (msgspec.DecodeError, ValueError) as error:
            message = (
                f"{segment.path}: expected events of {segment.event_type}, got {error}; "
                "it was changed: restore it"
            )
            raise LogChangedError(message) from error

    def _read(self, path: str, log_key: LogKey) -> Segment:
        data = self.store.read(path)
        if not data.endswith(b"\n"):
            message = (
                f"{self.store.url(path)}: expected lines that each end with a line feed, got {len(data)} "
                "bytes without the last one; the file is damaged: restore it, or move it away"
            )
            raise LogChangedError(message)
        return self._segment(path, log_key, LineBlock(data))

    def _create(self, path: str, log_key: LogKey, lines: LineBlock, keys: bytes) -> Segment | None:
        """Create a segment of lines, and the keys of them; None if another writer took its number."""
        # NumPy counts in a tenth of the time of bytes.count.
        if np.count_nonzero(np.frombuffer(lines.data, np.uint8) == _LINE_FEED) != len(lines):
            message = f"{self.store.url(path)}: expected lines without line feeds"
            raise ValueError(message)
        segment = self._segment(path, log_key, lines, keys)
        try:
            if self.guard is not None:
                self.guard(segment)
        except LogChangedError:
            # Another writer may have taken the number, and the warehouse may have loaded its segment since.
            if self._is_listed(path):
                return None
            raise
        return segment if self.store.create(path, lines.data) else None

    def _is_listed(self, path: str) -> bool:
        folder, _, file = path.rpartition("/")
        return file in self.store.list(folder)

    def _check_before_append(self, folder: MinuteFolder) -> None:
        """Check that the log is there, and that the guard accepts what was read of the folder; else forget it."""
        self._presence.check(self.store, self.type_logs[folder.event_type], seldom=True)
        if self.guard is None:
            return
        try:
            while folder.unguarded:
                self.guard(folder.segments[min(folder.unguarded)])
                folder.unguarded.remove(min(folder.unguarded))
        except (StorageError, WarehouseError):
            folder.clear()
            raise

    def _segment(self, path: str, log_key: LogKey, lines: LineBlock, keys: bytes = b"") -> Segment:
        event_type, minute, _ = log_key
        id_ = segment_id(event_type, minute, lines.data)
        return Segment(id_, event_type, self.store.url(path), minute, lines, keys)


def _first_by_key(keys: Sequence[bytes], lines: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return deduplication key -> the first line that has it, in order."""
    first = dict(zip(keys, lines, strict=True))
    if len(first) < len(keys):  # seldom, so the fast way is tried first
        first.update(zip(reversed(keys), reversed(lines), strict=True))
    return first


def _kept(keys: Sequence[bytes], new: Collection[bytes]) -> bytes | None:
    """Return which of some lines, by their keys, are the first with one of the `new` keys; see `AppendResult.kept`."""
    if len(new) == len(keys):
        return None
    kept, left = bytearray(len(keys)), set(new)
    for index, key in enumerate(keys):
        if key in left:
            left.remove(key)
            kept[index] = 1
    return bytes(kept)
